"""What a model itself does to the pixels before its first trained layer: layers that a file states, and parts of a live module."""
