"""Runs `python -m mnist_flax.sweep`."""

import sys

from mnist_flax.cli.exit_status import leave
from mnist_flax.sweep.command import main

if __name__ == "__main__":
    leave(main(sys.argv[1:]))
