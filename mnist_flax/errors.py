"""The one exception for whatever the user, and not the program, has to put right."""


class UserError(Exception):
    """Bad input: a config value, a file, a folder.

    The message is one line: what was wrong, where, and what to do about it. A command prints
    it without a traceback and exits with status 2.
    """
