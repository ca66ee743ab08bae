"""What a model does to its pixels itself, held against the preprocessing outside it: pixels that are normalised twice are wrong.

The layers are those of ``Source.inner``, each ``x * scale + offset``. Their values say what they were made for. Worked example: scale 1/255
and offset 0 take 0..255 to 0..1, so that the pixels outside stay as they are; scale 2 and offset -1 take 0..1 to -1..1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build.preprocessing import kept, sizes
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.image_input import ImageInput
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.stages import InnerLayer, Source
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import TWICE
from roadworthy.preprocess.steps import Normalize

SMALL = 0.1
"""A scale of at most this is for values up to 255: it takes them to at most 25."""
LARGE = 1.2
"""A scale above this is for values around 1."""
BRIGHT = 2.0
"""A zero point above this is not a value of 0..1 or -1..1."""
NEAR = 1e-3


@dataclass(frozen=True)
class Values:
    """Values that pixels have outside of a model: the preset that gives them, and (pixel * scale + offset) by numbers."""

    preset: str
    words: str
    scale: float
    offset: float


BYTE, UNIT, SIGNED = Values("raw", "0..255", 1.0, 0.0), Values("unit", "0..1", 1 / 255, 0.0), Values("tf", "-1..1", 1 / 127.5, -1.0)


def taken(layers: tuple[InnerLayer, ...]) -> Values | None:
    """The values that ``layers`` were made for; None where they scale nothing, or where their values do not tell."""
    scale, offset = np.ones(1), np.zeros(1)
    for layer in layers:
        if not layer.scale or not layer.offset:
            break
        scale, offset = scale * np.array(layer.scale), offset * np.array(layer.scale) + np.array(layer.offset)
    steepest = np.abs(scale).max()
    if steepest == 0 or not np.isfinite(scale).all() or not np.isfinite(offset).all():
        return None
    zero = -offset / np.where(scale == 0, 1, scale)
    if steepest <= SMALL or np.abs(zero).max() > BRIGHT:
        return BYTE
    if steepest < LARGE:
        return None
    return SIGNED if zero.min() < -1 / 2 else UNIT


def outside(source: Source, image: ImageInput | None) -> Found | None:
    """What images become outside of a model that normalises them itself; None where it does not, or takes no images."""
    values = taken(source.inner)
    if values is None or image is None or not all(layer.stated for layer in source.inner):
        return None
    scaling = _scaling(source.inner)
    steps = sizes.steps(image, Normalize(values.scale, (0.0 - values.offset,), (1.0,), image.axis))
    said = f"the model normalises pixels itself ({_listed(scaling)}), so it is given {values.words}"
    notes = [Note(said), *sizes.notes(image, source.inner)]
    return Found(Contract(steps), f"the model's own layers, which take {values.words}", tuple(notes))


def checked(found: Found, source: Source, asked: str | None) -> Found:
    """``found`` where it gives the model what its own layers take, with a warning where these are guessed.

    Raises DataError where the file states layers that take other values than the preprocessing that the user ``asked`` for gives.
    """
    problem = disagreement(found.contract, source.inner)
    if not problem:
        return found
    values = taken(source.inner)
    if asked is None or values is None or not all(layer.stated for layer in source.inner):
        return replace(found, notes=(*found.notes, Note(problem, warning=True)))
    instead = f"--preprocess {values.preset}{_size(found.contract)}"
    if asked.endswith(kept.SUFFIX):
        # The object itself has no name that could be typed.
        raise DataError(f"{problem}: pass {instead} instead of {found.origin}")
    raise DataError(f"{problem}: pass {instead}, or --preprocess {TWICE}{asked} if training normalised outside of the model as well")


def allowed(found: Found, source: Source) -> Found:
    """``found`` with a note, where the user says that training normalised twice; DataError where that is not so here."""
    problem = disagreement(found.contract, source.inner)
    if not problem:
        raise DataError(f"{found.origin} and the model do not normalise pixels twice: leave {TWICE} out")
    return replace(found, notes=(*found.notes, Note(f"{problem}, as the user says that training did")))


def disagreement(contract: Contract, layers: tuple[InnerLayer, ...]) -> str:
    """How ``contract`` and the model's own ``layers`` contradict each other, in words; empty where they do not."""
    if not contract.takes_images or not layers:
        return ""
    given, values, sure = _given(contract), taken(layers), all(layer.stated for layer in layers)
    if values is None:
        unknown = [layer for layer in layers if not layer.scale or not layer.offset]
        if not unknown or _same(given, BYTE):
            return ""
        return f"the model may normalise pixels itself ({_listed(unknown)}), and the preprocessing normalises them too"
    # What a guess does not see, such as a division by 255 in front, makes pixels as they are right too.
    if _same(given, values) or (not sure and _same(given, BYTE)):
        return ""
    low, high = _range(given)
    return (
        f"the model {'normalises' if sure else 'may normalise'} pixels itself ({_listed(_scaling(layers))}) and takes {values.words}, "
        f"and the preprocessing gives it values from {low:.4g} to {high:.4g}"
    )


def _scaling(layers: tuple[InnerLayer, ...]) -> list[InnerLayer]:
    return [layer for layer in layers if layer.scale != (1.0,) or any(layer.offset)]


def _listed(layers: list[InnerLayer]) -> str:
    return ", ".join(f"layer {layer.name!r}: {layer.words}" for layer in layers)


def _given(contract: Contract) -> tuple[Array, Array]:
    """Scale and offset by which the contract's steps change a pixel, one number for each channel or one for all."""
    scale, offset = np.ones(1), np.zeros(1)
    for step in contract.image:
        if isinstance(step, Normalize):
            std = np.array(step.std)
            scale, offset = scale * step.scale / std, (offset * step.scale - np.array(step.mean)) / std
    return scale, offset


def _same(given: tuple[Array, Array], values: Values) -> bool:
    scale, offset = given
    return bool(np.allclose(scale, values.scale, rtol=NEAR, atol=0) and np.allclose(offset, values.offset, rtol=0, atol=NEAR))


def _range(given: tuple[Array, Array]) -> tuple[float, float]:
    scale, offset = given
    ends = np.concatenate([np.broadcast_arrays(scale * pixel + offset, scale)[0] for pixel in (0, 255)])
    return float(ends.min()), float(ends.max())


def _size(contract: Contract) -> str:
    """The size as it stands behind a preset; empty where the image decides it, and where it is not square."""
    shape = contract.sample_shape()
    return f":{shape.height}" if shape.height is not None and shape.height == shape.width else ""
