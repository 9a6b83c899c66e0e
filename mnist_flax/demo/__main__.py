"""Runs `python -m mnist_flax.demo`."""

from mnist_flax.cli.exit_status import entry
from mnist_flax.demo.command import main

if __name__ == "__main__":
    entry(main)
