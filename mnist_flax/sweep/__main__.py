"""Runs `python -m mnist_flax.sweep`."""

from mnist_flax.cli.exit_status import entry
from mnist_flax.sweep.command import main

if __name__ == "__main__":
    entry(main)
