"""Tells images that look like no digit."""

import numpy as np

WARNING = "it looks like no digit"


def unlike_a_digit(images: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Placeholder until the measured score arrives."""
    return np.zeros(len(images), bool)
