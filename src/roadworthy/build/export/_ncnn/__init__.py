"""ncnn in a program: its static library, built once a machine, and a network of its files as the model of a program."""

from __future__ import annotations

from roadworthy.build.export._ncnn.library import built
from roadworthy.build.export._ncnn.model import FLAVOUR, make, write_licence

__all__ = ["FLAVOUR", "built", "make", "write_licence"]
