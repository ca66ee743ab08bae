"""Compression of Keras models."""

from __future__ import annotations

from roadworthy.build.compress.tensorflow.teaching import teach

__all__ = ["teach"]
