"""Pictures: curves, augmentations, mistakes, predictions, and their colours."""
