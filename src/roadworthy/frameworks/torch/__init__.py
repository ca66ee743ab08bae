"""PyTorch, for the runtimes and build steps that use it."""
