"""PyTorch files to live models."""
