"""Runs `python -m mnist_flax.bench`."""

from mnist_flax.bench.command import main
from mnist_flax.cli.exit_status import entry

if __name__ == "__main__":
    entry(main)
