"""The cut itself, and the same channels silenced in the original: two ways that must give one answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from roadworthy.build.compress.torch.channels import layers
from roadworthy.build.compress.torch.channels.groups import Anatomy
from roadworthy.core.types import Array


def cut(anatomy: Anatomy, kept: Array) -> None:
    """Take every set of channels that is not in ``kept`` (truth values by the number of the set) out of every layer."""
    course = anatomy.course
    for name in course.makes:
        made, read = kept[anatomy.sets(course.makes[name])], kept[anatomy.sets(course.reads[name])]
        if not (made.all() and read.all()):
            layers.cut(course.layers[name], read, made)


def silence(anatomy: Anatomy, kept: Array) -> None:
    """Set the weights with which layers read the channels that are not in ``kept`` to zero: nothing of these reaches the answer.

    Zeros in the layer that makes a channel would not do: a normalisation behind it adds its offset.
    """
    course = anatomy.course
    for name, reads in course.reads.items():
        read = kept[anatomy.sets(reads)]
        if layers.mixes(course.layers[name]) and not read.all():
            layers.silence(course.layers[name], read)


@contextmanager
def restored(anatomy: Anatomy) -> Iterator[None]:
    """After the block every layer has the tensors and the sizes that it had before."""
    held = list(_held(anatomy))
    try:
        yield
    finally:
        for layer, before in held:
            vars(layer).clear()
            vars(layer).update(before)


def _held(anatomy: Anatomy) -> Iterable[tuple[object, dict[str, object]]]:
    for name in anatomy.course.makes:
        layer = anatomy.course.layers[name]
        before = dict(vars(layer))
        yield layer, before | {table: dict(before[table]) for table in ("_parameters", "_buffers")}
