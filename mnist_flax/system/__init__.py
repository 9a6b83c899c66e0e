"""Says what the machine has, and speaks to it: CPU, libraries, paths, terminal."""
