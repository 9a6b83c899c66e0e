"""The fast operations: layers, Pillow's geometry, and the options of the compiler."""
