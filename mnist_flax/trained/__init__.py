"""A trained network: read from a run or a file of weights, and folded for export."""
