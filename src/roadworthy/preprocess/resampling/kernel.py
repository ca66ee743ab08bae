"""How pixels are interpolated, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Filter: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Centers: TypeAlias = Literal["half", "corner", "aligned"]
Like: TypeAlias = Literal["pillow", "torch", "tf", "opencv"]


@dataclass(frozen=True)
class Kernel:
    """The fields are those of ``steps.Resize``."""

    filter: Filter = "bilinear"
    antialias: bool = True
    centers: Centers = "half"
    rounded: bool = True
    like: Like = "pillow"
