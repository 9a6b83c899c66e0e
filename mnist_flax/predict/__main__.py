"""Runs `python -m mnist_flax.predict`."""

from mnist_flax.cli.exit_status import entry
from mnist_flax.predict.command import main

if __name__ == "__main__":
    entry(main)
