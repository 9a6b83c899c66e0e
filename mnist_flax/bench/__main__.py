"""Runs `python -m mnist_flax.bench`."""

import sys

from mnist_flax.bench.command import main
from mnist_flax.cli.exit_status import leave

if __name__ == "__main__":
    leave(main(sys.argv[1:]))
