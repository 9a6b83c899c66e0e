"""Runs `python -m mnist_flax.export`."""

from mnist_flax.cli.exit_status import entry
from mnist_flax.export.command import main

if __name__ == "__main__":
    entry(main)
