"""The way of a layer's channels through a model: on to the layers that take them, and back to those that make what they are joined with."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from roadworthy.build.compress.tensorflow import channels, wiring
from roadworthy.build.compress.tensorflow.channels import MAKERS, Channels, NotFollowed, Setting, Touch
from roadworthy.build.compress.tensorflow.wiring import LayerCall, Tensor, Wiring

LONGEST = 10_000
"""Layers on all ways from one layer: where ways join again and again, each is walked."""


@dataclass(frozen=True)
class Place:
    """What of a layer belongs to a block: weights, and numbers in its configuration.

    ``made`` are the channels of its answer where it makes them, ``taken`` those of its input where it takes them.
    """

    call: LayerCall
    touches: tuple[Touch, ...]
    settings: tuple[Setting, ...] = ()
    made: Channels | None = None
    taken: Channels | None = None


@dataclass(frozen=True)
class LiveBlock:
    """A block as found in a live model; the first of its ``places`` makes the channels. ``summed``: some are sums of several layers'."""

    places: tuple[Place, ...]
    summed: bool

    @property
    def name(self) -> str:
        return self.places[0].call.path

    @property
    def channels(self) -> int:
        return channels.size(self.places[0].call.layer)

    @property
    def groups(self) -> int:
        """What divides its widths: the groups of a grouped convolution keep the same number each."""
        return math.lcm(*(int(getattr(maker.call.layer, "groups", 1)) for maker in self.makers))

    @property
    def makers(self) -> tuple[Place, ...]:
        """Where its channels begin."""
        return tuple(place for place in self.places if place.made is not None)

    @property
    def takers(self) -> tuple[Place, ...]:
        """Where its channels end."""
        return tuple(place for place in self.places if place.taken is not None)


def block(wired: Wiring, maker: LayerCall) -> LiveBlock:
    """The block of what ``maker`` makes; NotFollowed where one of the ways ends elsewhere than in a layer that takes the channels."""
    return _Walk(wired).run(maker)


class _Walk:
    def __init__(self, wired: Wiring) -> None:
        self._wired = wired
        self._places: list[Place] = []
        self._seen: dict[int, list[Channels]] = {}
        self._waiting: deque[tuple[Tensor, Channels]] = deque()
        self._summed = False

    def run(self, maker: LayerCall) -> LiveBlock:
        self._make(maker)
        steps = 0
        while self._waiting:
            tensor, here = self._waiting.popleft()
            consumers = self._wired.consumers.get(tensor.key, ())
            self._refuse_answer(tensor)
            if not consumers:
                raise NotFollowed("no layer takes its channels")
            for call in consumers:
                steps += 1
                if steps > LONGEST:
                    raise NotFollowed(f"its channels reach more than {LONGEST} layers")
                self._follow(call, tensor, here)
        return LiveBlock(tuple(self._places), self._summed and sum(place.made is not None for place in self._places) > 1)

    def _make(self, call: LayerCall) -> None:
        self._refuse_answer(call.outputs[0])
        self._refuse_shared(call)
        made = channels.made(call)
        self._places.append(Place(call, made.touches, made.settings, made=made.after))
        self._reach(call.outputs[0], made.after)

    def _reach(self, tensor: Tensor, here: Channels) -> None:
        known = self._seen.setdefault(tensor.key, [])
        if not any(here.same(other) for other in known):
            known.append(here)
            self._waiting.append((tensor, here))

    def _follow(self, call: LayerCall, tensor: Tensor, here: Channels) -> None:
        if wiring.inside(call.layer):
            raise NotFollowed(f"its channels reach the model {call.path!r} inside this one")
        if channels.joins(call):
            self._join(call, here)
            return
        passage = channels.through(call, tensor.key, here)
        if passage.touches or passage.settings:
            self._refuse_shared(call)
        if passage.after is None:
            self._places.append(Place(call, passage.touches, taken=here))
            return
        if passage.touches or passage.settings:
            self._places.append(Place(call, passage.touches, passage.settings))
        self._reach(call.outputs[0], passage.after)

    def _join(self, call: LayerCall, here: Channels) -> None:
        """Every input of ``call`` must hold the same channels as ``here``, but for one that has a single number for all of them."""
        count = len(here.origin)
        if not np.array_equal(here.origin, np.arange(channels.size(self._places[0].call.layer))):
            raise NotFollowed(f"its channels reach {call.words} in another order, or with others")
        for tensor in call.inputs:
            if len(tensor.shape) != len(call.outputs[0].shape) or tensor.shape[here.axis] not in (1, count):
                raise NotFollowed(f"its channels reach {call.words} together with a tensor of another shape")
            if tensor.shape[here.axis] == count:
                self._trace(tensor, here)
        self._summed |= not channels.gates(call)
        self._reach(call.outputs[0], here)

    def _trace(self, tensor: Tensor, here: Channels) -> None:
        """Find what makes the channels of ``tensor``, which are those of ``here``."""
        if any(here.same(other) for other in self._seen.get(tensor.key, ())):
            return
        call = self._wired.producers.get(tensor.key)
        if call is None:
            raise NotFollowed("its channels are joined with an input of the model")
        if wiring.kind(call.layer) in MAKERS:
            self._make(call)
            return
        self._reach(tensor, here)
        if channels.joins(call):
            self._join(call, here)
            return
        self._trace(call.inputs[0], self._before(call, here))

    def _before(self, call: LayerCall, here: Channels) -> Channels:
        """The channels of the single input of ``call`` that leave it as ``here``."""
        reason = NotFollowed(f"its channels are joined with those of {call.words}, which is not known to keep channels apart")
        if len(call.inputs) != 1 or wiring.inside(call.layer):
            raise reason
        for axis, size in enumerate(call.inputs[0].shape):
            before = Channels(axis, here.origin)
            if axis == 0 or size != len(here.origin):
                continue
            try:
                after = channels.through(call, call.inputs[0].key, before).after
            except NotFollowed as found:
                reason = found
                continue
            if after is not None and after.same(here):
                return before
        raise reason

    def _refuse_answer(self, tensor: Tensor) -> None:
        if tensor.key in self._wired.answers:
            raise NotFollowed("its channels are in the model's answer")

    def _refuse_shared(self, call: LayerCall) -> None:
        if (times := self._wired.times[id(call.layer)]) > 1:
            raise NotFollowed(f"{call.words} is called {times} times with the same weights")
