"""`python -m mnist_flax.report`: writes a page about a run."""
