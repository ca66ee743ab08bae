"""Single changes of the deployment's steps: which one makes its pixels those of training's transform.

The values of a step are changed one at a time, to each other value that the step has. What has no values to choose from is tried by what
usually goes wrong: the resize of the shorter side for that of both, BGR for RGB, the variance for the deviation, a scale that was
forgotten, a crop that begins one pixel aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from roadworthy.build.preprocessing.proof import toml
from roadworthy.preprocess.front import split
from roadworthy.preprocess.steps import Crop, Decode, Normalize, Resize, ReverseChannels, Step

Steps = tuple[Step, ...]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RANGES: tuple[tuple[str, float, tuple[float, ...], tuple[float, ...]], ...] = (
    ("does not scale the pixels and normalises nothing", 1.0, (0.0,), (1.0,)),
    ("scales to 0..1 and normalises nothing", 1 / 255, (0.0,), (1.0,)),
    ("scales to -1..1", 1 / 127.5, (1.0,), (1.0,)),
    ("normalises by ImageNet's mean and std", 1 / 255, *IMAGENET),
    ("normalises by ImageNet's mean and std without scaling to 0..1", 1.0, *IMAGENET),
    ("subtracts ImageNet's mean colour, blue first, from 0..255", 1.0, (103.939, 116.779, 123.68), (1.0,)),
    ("subtracts ImageNet's mean colour, red first, from 0..255", 1.0, (123.68, 116.779, 103.939), (1.0,)),
)
MOST_SIDES = 80
"""By so many pixels the shorter side may be larger than the crop."""
LARGER = (256 / 224, 1 / 0.875, 1 / 0.9, 1 / 0.95, 232 / 224)
"""What both sides are resized to, as a multiple of the crop."""
WORDS = {
    ("resize", "antialias", False): "training resizes without antialias",
    ("resize", "antialias", True): "training resizes with antialias",
    ("resize", "rounded", False): "training does not round after its resize",
    ("resize", "rounded", True): "training rounds after its resize",
    ("resize", "like", "torch"): "training resizes tensors, as torch does",
    ("resize", "like", "pillow"): "training resizes images, as Pillow does",
    ("resize", "centers", "corner"): "training resizes from the corners of the pixels, as TensorFlow 1 does",
    ("resize", "centers", "aligned"): "training resizes with aligned corners",
    ("crop", "rounding", "down"): "training rounds the start of its crop down",
    ("crop", "rounding", "even"): "training rounds the start of its crop to even",
    ("decode", "orient", True): "training follows the EXIF orientation",
    ("decode", "orient", False): "training does not follow the EXIF orientation",
}


@dataclass(frozen=True)
class Change:
    """``steps`` differ in one thing from those before; ``words`` say what training does, ``remedy`` what to write, empty where that
    cannot be written. ``shift`` is by how many pixels, down and to the right, the crop begins elsewhere than the steps say.
    """

    words: str
    remedy: str
    steps: Steps
    shift: tuple[int, int] = (0, 0)


def changes_of(steps: Steps, to: tuple[int, int]) -> Iterator[Change]:
    """Every single change; training gives samples of the size ``to``, (height, width)."""
    for place, step in enumerate(steps):
        yield from (Change(words, remedy, _with(steps, place, other)) for words, remedy, other in _values(step))
    yield from _geometries(steps, to)
    yield from _colours(steps)
    yield from _shifts(steps)


def _with(steps: Steps, place: int, *others: Step) -> Steps:
    return (*steps[:place], *others, *steps[place + 1 :])


def _values(step: Step) -> Iterator[tuple[str, str, Step]]:
    """Every other value of the fields that have a few, and the usual ranges of a Normalize."""
    kind, hints = step.__struct_config__.tag, get_type_hints(type(step))
    for field in msgspec.structs.fields(type(step)):
        value = getattr(step, field.name)
        for other in _others(hints[field.name], value):
            changed = msgspec.structs.replace(step, **{field.name: other})
            written = toml.of_field(changed, field.name)
            words = WORDS.get((str(kind), field.name, other), f"training's {kind} is that with {written}")
            if (kind, field.name) == ("resize", "filter"):
                words = f"training resizes with the filter {other}"
            yield words, written, changed
    if isinstance(step, Normalize):
        yield from _ranges(step)


def _others(hint: Any, value: Any) -> Iterator[Any]:
    if hint is bool:
        yield not value
    if get_origin(hint) is Literal:
        yield from (other for other in get_args(hint) if other != value)


def _ranges(step: Normalize) -> Iterator[tuple[str, str, Normalize]]:
    deviation, variance = (tuple(float(value) for value in values) for values in (np.sqrt(step.std), np.square(step.std)))
    own: tuple[tuple[str, dict[str, Any]], ...] = (
        ("training divides by the variance", {"std": variance}),
        ("training divides by the deviation, and the std here is the variance", {"std": deviation}),
        ("training does not scale to 0..1", {"scale": 1.0}),
        ("training scales to 0..1", {"scale": 1 / 255}),
        ("training scales twice", {"scale": step.scale / 255}),
        ("training subtracts no mean", {"mean": (0.0,)}),
        ("training divides by no std", {"std": (1.0,)}),
        ("training has mean and std in the order BGR", {"mean": step.mean[::-1], "std": step.std[::-1]}),
    )
    for words, fields in own:
        changed = msgspec.structs.replace(step, **fields)
        yield words, ", ".join(toml.of_field(changed, name) for name in fields), changed
    for words, scale, mean, std in RANGES:
        changed = msgspec.structs.replace(step, scale=scale, mean=mean, std=std)
        yield f"training {words}", ", ".join(toml.of_field(changed, name) for name in ("scale", "mean", "std")), changed


def _geometries(steps: Steps, to: tuple[int, int]) -> Iterator[Change]:
    """Other ways to the size ``to``: both sides, the shorter side and a crop, a crop alone, or nothing."""
    head, tail = split(steps)
    resize = next((step for step in head if isinstance(step, Resize)), Resize(to))
    crop = next((step for step in head if isinstance(step, Crop)), Crop(to))
    first, square = head[0], to[0] if to[0] == to[1] else to
    whole = msgspec.structs.replace(resize, size=to)
    cropped = msgspec.structs.replace(crop, size=square)
    yield _geometry("training resizes both sides", (whole,), first, tail)
    yield _geometry("training does not resize or crop", (), first, tail)
    yield _geometry("training crops and does not resize", (cropped,), first, tail)
    for side in range(min(to), min(to) + MOST_SIDES + 1):
        shorter = msgspec.structs.replace(resize, size=side)
        yield _geometry(f"training resizes the shorter side to {side} and crops", (shorter, cropped), first, tail)
    for factor in LARGER:
        for rounding in (int, round):
            pair = (rounding(to[0] * factor), rounding(to[1] * factor))
            both = msgspec.structs.replace(resize, size=pair)
            yield _geometry(f"training resizes both sides to {pair[0]} x {pair[1]} and crops", (both, cropped), first, tail)


def _geometry(words: str, middle: Steps, first: Step, tail: Steps) -> Change:
    return Change(
        words, " and ".join(f"{step.__struct_config__.tag} with {toml.of_field(step, 'size')}" for step in middle), (first, *middle, *tail)
    )


def _colours(steps: Steps) -> Iterator[Change]:
    place = next((place for place, step in enumerate(steps) if isinstance(step, ReverseChannels)), None)
    if place is not None:
        yield Change("training has the colours in the order RGB", 'color = "RGB"', (*steps[:place], *steps[place + 1 :]))
    elif isinstance(steps[0], Decode) and steps[0].color == "RGB":
        head, tail = split(steps)
        yield Change("training has the colours in the order BGR", 'color = "BGR"', (*head, ReverseChannels(), *tail))


def _shifts(steps: Steps) -> Iterator[Change]:
    """A crop that begins one pixel aside."""
    if not any(isinstance(step, Crop) for step in steps):
        return
    for down, right in ((1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1)):
        where = " and ".join(
            f"one pixel {words}"
            for move, words in ((down, "lower" if down > 0 else "higher"), (right, "to the right" if right > 0 else "to the left"))
            if move
        )
        yield Change(f"training's crop begins {where}", "", steps, (down, right))
