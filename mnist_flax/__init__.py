"""MNIST at 99.4 % with fewer than 20,000 parameters, in JAX and Flax."""

__version__ = "0.1.0"
