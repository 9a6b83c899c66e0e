"""Runs `python -m mnist_flax.demo`."""

import sys

from mnist_flax.cli.exit_status import leave
from mnist_flax.demo.command import main

if __name__ == "__main__":
    leave(main(sys.argv[1:]))
