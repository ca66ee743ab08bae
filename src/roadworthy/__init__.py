"""Roadworthy: a trained model onto a CPU server, with the same answers and the proof."""

from __future__ import annotations

__version__ = "0.1.0"
