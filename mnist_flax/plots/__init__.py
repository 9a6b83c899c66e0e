"""Draws pictures: curves, augmentations, mistakes, predictions, and their colours."""
