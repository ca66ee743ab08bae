"""The planted classifier for this folder."""

from support.models.linear import linear, planted

__all__ = ["linear", "planted"]
