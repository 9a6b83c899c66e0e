"""Runs `python -m mnist_flax.report`."""

from mnist_flax.cli.exit_status import entry
from mnist_flax.report.command import main

if __name__ == "__main__":
    entry(main)
