"""Compression of PyTorch models."""

from __future__ import annotations

from roadworthy.build.compress.torch.teaching import teach

__all__ = ["teach"]
