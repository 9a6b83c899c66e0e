"""`python -m mnist_flax.report`: a page about a run."""
