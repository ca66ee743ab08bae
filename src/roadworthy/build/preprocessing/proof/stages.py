"""Training's own steps, where its transform is a list of them, beside the deployment's: the first that gives something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from roadworthy.build.preprocessing.proof.prepared import prepare
from roadworthy.build.preprocessing.proof.transform import TrainingTransform, parts_of
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.types import Array
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.pixels import as_array
from roadworthy.preprocess.steps import Step

CLOSE = 1e-3
"""Two states are the same where no value differs by more, in levels of a pixel."""
LONGEST = 160


def first_that_differs(transform: TrainingTransform, steps: tuple[Step, ...], pictures: Pictures) -> str:
    """A sentence that names the first of training's steps after which the first of ``pictures`` is not as at any of the deployment's.

    Empty where the transform is not a list. Steps that change nothing but the type or the layout fit any of ours. The names are the user's
    own: what each part says of itself.
    """
    parts = parts_of(transform.function)
    if not parts:
        return ""
    ours = _states(steps, pictures)
    place = 0
    for number, part in enumerate(parts):
        try:
            theirs = transform.run(pictures, 0, _prefix(parts[: number + 1]))
        except RoadworthyError:
            # A state that is not an image, such as the path that the first part opens.
            continue
        reached = next((later for later in range(place, len(ours)) if _same(theirs, ours[later])), None)
        if reached is None:
            beside = steps[min(place + 1, len(steps) - 1)].describe()
            return f"the first step that differs is training's {_named(part)}; the deployment's there: {beside}"
        place = reached
    return ""


def _prefix(parts: tuple[Any, ...]) -> Callable[[Any], Any]:
    def run(image: Any) -> Any:
        for part in parts:
            image = part(image)
        return image

    return run


def _states(steps: tuple[Step, ...], pictures: Pictures) -> list[Array]:
    """The image after each of the steps."""
    pixels: Any = prepare(pictures, 0, steps[:1])
    states = [np.array(pixels)]
    for step in steps[1:]:
        pixels = step.apply(pixels)
        states.append(np.array(as_array(pixels)))
    return states


def _same(theirs: Array, state: Array) -> bool:
    """Whether both hold one image: as values or as a part of 255, channels first or last."""
    if sorted(theirs.shape) != sorted(state.shape):
        return False
    turned = [theirs, *(np.moveaxis(theirs, *axes) for axes in ((0, 2), (2, 0)))]
    wide, values = state.astype(np.float64), [one.astype(np.float64) for one in turned if one.shape == state.shape]
    pixels = state.dtype == np.uint8
    close = CLOSE if pixels else CLOSE / 255
    return any(
        np.abs(one * factor - wide).max() <= close * (1 if pixels else max(1.0, np.abs(wide).max()))
        for one in values
        for factor in (1, 255)
    )


def _named(part: Any) -> str:
    said = " ".join(repr(part).split())
    return said if len(said) <= LONGEST and " at 0x" not in said else type(part).__name__
