"""Which axis of each tensor counts the samples, and which other axes are free: found by calling the model at several sizes."""
