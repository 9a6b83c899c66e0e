"""`python -m mnist_flax.predict`: reads the digits in a person's own pictures."""
