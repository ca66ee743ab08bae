"""The planted classifier for these tests."""

from support.models.linear import linear, planted

__all__ = ["linear", "planted"]
