"""`python -m mnist_flax.demo`: writes a page to draw digits on."""
