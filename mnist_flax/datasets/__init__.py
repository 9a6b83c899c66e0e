"""Datasets: for each a tfds builder, the files it reads, and its preparation."""
