"""Pillow's filters, which torchvision, timm and transformers name too, by the numbers that Pillow gives them."""

from __future__ import annotations

from roadworthy.preprocess.resampling import Filter

PILLOW_FILTERS: tuple[Filter, ...] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
