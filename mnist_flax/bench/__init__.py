"""`python -m mnist_flax.bench`: what a run costs on this machine."""
