"""The planted classifier for this room."""

from support.models.linear import linear, planted

__all__ = ["linear", "planted"]
