"""Which layer makes which channels and which layers read them, seen in one run of a PyTorch model, and the blocks that follow from it."""
