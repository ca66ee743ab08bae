"""The input and the output contract as data: how bytes become the model's input, and outputs become answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

PIXEL_LIMIT = 25_000_000

Activation: TypeAlias = Literal["auto", "none", "applied", "softmax", "sigmoid"]


@dataclass(frozen=True)
class Resize:
    """``size`` is (height, width), or one number for the shorter side with the aspect kept."""

    size: int | tuple[int, int]
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    antialias: bool = True


@dataclass(frozen=True)
class ImageInput:
    """How one image becomes one sample: decode, colours, resize, centre crop, scale, normalise, layout, dtype.

    The pixel value ``p`` (0..255) becomes ``(p * scale - mean) / std`` by channel; ``mean`` and ``std`` hold one
    number for each channel, or one for all, in the order of ``color``. ``uint8`` keeps the pixel as it is; ``int8``, for
    quantised models, is the nearest whole number to that, from -128 to 127.
    """

    color: Literal["RGB", "BGR", "L"] = "RGB"
    resize: Resize | None = None
    crop: int | tuple[int, int] | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Literal["CHW", "HWC"] = "CHW"
    dtype: Literal["float32", "uint8", "int8"] = "float32"
    pixel_limit: int = PIXEL_LIMIT


@dataclass(frozen=True)
class Answer:
    """How the first output becomes an answer for a user.

    ``applied`` says that the outputs are probabilities already, ``none`` that they are scores of no unit. ``auto`` is settled
    when the bundle is packed: ``applied`` where all answers of the original are in 0..1, else ``softmax``.

    An output of one number a sample tells two classes apart where there are exactly two ``labels``: ``applied`` says that it is the
    probability of the second (above 0.5 the second is the answer), ``sigmoid`` that it is its logit (above 0). For such an output
    ``auto`` is settled to one of these, and to ``none`` where no two classes are known.
    """

    activation: Activation = "auto"
    top_k: int = 5
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """Both ends; ``image`` is ``None`` for a model that takes tensors as they are."""

    image: ImageInput | None = None
    answer: Answer = field(default_factory=Answer)
