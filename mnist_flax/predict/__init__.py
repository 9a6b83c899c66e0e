"""`python -m mnist_flax.predict`: digits in a person's own pictures."""
