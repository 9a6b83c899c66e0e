"""`python -m mnist_flax.sweep`: many seeds and settings, with their statistics."""
