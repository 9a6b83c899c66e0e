"""The datasets: a tfds builder each, the files it is made from, and its preparation."""
