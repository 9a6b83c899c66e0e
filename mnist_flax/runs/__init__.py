"""The folder of a run: its lock, checkpoints, metrics and TensorBoard files."""
