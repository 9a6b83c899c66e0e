"""`python -m mnist_flax.export`: a trained network as a file for other programs."""
