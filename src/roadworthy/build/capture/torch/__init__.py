"""Capture of PyTorch modules."""
