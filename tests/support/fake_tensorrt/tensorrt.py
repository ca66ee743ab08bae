"""A stand-in for TensorRT: it only has a version."""

__version__ = "0.fake"
