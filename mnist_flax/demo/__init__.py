"""`python -m mnist_flax.demo`: a page to draw a digit on."""
