"""Blocks out of what was seen in a run: the channels that go together, the layers that make and read them, and why others stay."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from roadworthy.build.compress.stages import Block
from roadworthy.build.compress.torch.channels import layers
from roadworthy.build.compress.torch.channels.following import ChannelUse
from roadworthy.build.compress.torch.channels.ties import FIXED
from roadworthy.core.types import Array


@dataclass(frozen=True)
class Group:
    """Sets of channels that are cut together, in the order of the layer ``name``, which makes them; ``stream`` as in ``Block``."""

    name: str
    sets: Array
    makers: tuple[str, ...]
    multiple: int
    stream: bool


class Anatomy:
    """The groups of a model by name, and why the channels of each other layer stay."""

    def __init__(self, course: ChannelUse) -> None:
        self.course = course
        for name, reason in course.unfit.items():
            course.ties.stop(course.makes.get(name, np.empty(0, np.int64)), reason)
            course.ties.stop(course.reads.get(name, np.empty(0, np.int64)), f"is read by {name}, which {reason}")
        self._sets = course.ties.sets()
        self.groups: dict[str, Group] = {}
        self.left: dict[str, str] = {name: f"it {reason}" for name, reason in course.unfit.items()}
        for makers in self._together():
            self._add(makers)

    def sets(self, channels: Array) -> Array:
        """The set of each of ``channels``; FIXED for one that no layer makes."""
        return np.where(channels == FIXED, FIXED, self._sets[channels])

    @cached_property
    def count(self) -> int:
        """One more than the largest number of a set."""
        return len(self._sets)

    def touched(self, group: Group) -> tuple[str, ...]:
        """The layers whose weights a cut of ``group`` changes: the one that it is named after, then the others in the order of the run."""
        course = self.course
        found = [name for name in course.makes if self.share(group, course.makes[name]) or self.share(group, course.reads[name])]
        return (group.name, *(name for name in found if name != group.name))

    def share(self, group: Group, channels: Array) -> float:
        """The part of ``channels`` that belongs to ``group``."""
        return float(np.isin(self.sets(channels), group.sets).mean())

    def block(self, group: Group) -> Block:
        """``group`` for the world outside."""
        course, work = self.course, 0.0
        for name, multiplications in course.multiplications.items():
            made, read = self.share(group, course.makes[name]), self.share(group, course.reads[name])
            work += multiplications * (1 - (1 - made) * (1 - read) if layers.mixes(course.layers[name]) else made)
        total = sum(course.multiplications.values()) or 1
        return Block(group.name, len(group.sets), self.touched(group), work / total, group.multiple)

    def _together(self) -> Iterator[tuple[str, ...]]:
        """The layers that mix channels, in the order of the run, those with tied channels in one tuple."""
        makers = {name: set(self.sets(made).tolist()) for name, made in self.course.makes.items() if self._mixes(name)}
        while makers:
            name, joined = next(iter(makers.items()))
            together = [name]
            while grown := [other for other in makers if other not in together and makers[other] & joined]:
                together += grown
                joined = joined.union(*(makers[other] for other in grown))
            yield tuple(other for other in makers if other in together)
            makers = {other: sets for other, sets in makers.items() if other not in together}

    def _add(self, makers: tuple[str, ...]) -> None:
        sets = {name: self.sets(self.course.makes[name]) for name in makers}
        reasons = {name: self._reason(name, sets) for name in makers}
        first = next(((name, reason) for name, reason in reasons.items() if reason), None)
        group = None if first else self._group(makers, sets[makers[0]])
        if isinstance(group, Group):
            self.groups[group.name] = group
        for name in makers:
            if group is None or isinstance(group, str) or group.stream:
                self.left.setdefault(name, self._sentence(name, reasons[name] or (group if isinstance(group, str) else ""), makers, first))

    def _reason(self, name: str, sets: Mapping[str, Array]) -> str:
        """Why the channels of the layer ``name`` itself cannot be cut, empty where they can."""
        if reason := self.course.ties.obstacle(self.course.makes[name]):
            return reason
        if len(set(sets[name].tolist())) < len(sets[name]):
            return "has channels that are combined with each other"
        others = [other for other in sets if set(sets[other].tolist()) != set(sets[name].tolist())]
        return f"is {self._how(name)} that of {others[0]}, which has other channels" if others else ""

    def _group(self, makers: tuple[str, ...], order: Array) -> Group | str:
        course, multiple, read = self.course, 1, False
        for name in course.makes:
            if not self._mixes(name):
                continue
            made, reads = self.sets(course.makes[name]), self.sets(course.reads[name])
            read = read or bool(np.isin(reads, order).any())
            for channels in (made, reads):
                if layers.groups(course.layers[name]) > 1 and np.isin(channels, order).any():
                    if not np.array_equal(channels, order):
                        return f"is parted into the groups of {name} in another order"
                    multiple = math.lcm(multiple, layers.groups(course.layers[name]))
        if not read:
            return "is read by no layer whose weights can be cut"
        if len(order) % multiple or len(order) <= multiple:
            return f"has {len(order)} channels for {multiple} groups: none can be cut"
        return Group(makers[0], order, makers, multiple, len(makers) > 1 and self._summed(order))

    def _sentence(self, name: str, reason: str, makers: tuple[str, ...], first: tuple[str, str] | None) -> str:
        if reason:
            return f"its output {reason}"
        other = first[0] if first else next(maker for maker in makers if maker != name)
        why = f", whose output {first[1]}" if first else ""
        return f"its output is {self._how(name)} that of {other}{why}"

    def _how(self, name: str) -> str:
        return "added to" if self._summed(self.sets(self.course.makes[name])) else "combined with"

    def _summed(self, sets: Array) -> bool:
        """Whether one of the ``sets`` takes part in a sum of two layers' channels."""
        return any(np.isin(self.sets(channels), sets).any() for pair in self.course.sums for channels in pair)

    def _mixes(self, name: str) -> bool:
        return layers.mixes(self.course.layers[name])
