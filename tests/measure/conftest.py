"""The planted classifier for this room."""

from linear import linear, planted

__all__ = ["linear", "planted"]
