"""One run of a model in which every tensor is followed: which layer makes which channels, and which layers read them.

Layers with weights are seen as a whole, by hooks. Between them each operator that torch runs is seen, however the user's code calls it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from roadworthy.build.compress.torch.channels import layers, operators
from roadworthy.build.compress.torch.channels.operators import Held, Mixed
from roadworthy.build.compress.torch.channels.ties import FIXED, Ties
from roadworthy.build.compress.torch.network import Feeds, TorchNetwork
from roadworthy.core.types import Array
from roadworthy.frameworks.torch import traversal


@dataclass
class ChannelUse:
    """What was seen: by the layer's name the channels that it ``makes`` and ``reads``, by their numbers, in the order of the run.

    ``multiplications`` are those of a layer for one sample. ``unfit`` says, by the layer's name, why it cannot be cut itself.
    """

    layers: dict[str, Any]
    ties: Ties = field(default_factory=Ties)
    makes: dict[str, Array] = field(default_factory=dict)
    reads: dict[str, Array] = field(default_factory=dict)
    multiplications: dict[str, int] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    sums: list[tuple[Array, Array]] = field(default_factory=list)


def follow(network: TorchNetwork, feeds: Feeds) -> ChannelUse:
    """The course of one call of ``network``."""
    named = {name: part for name, part in traversal.named_parts(network.user) if layers.weighted(part)}
    course = ChannelUse(named)
    course.unfit = {name: why for name, layer in named.items() if (why := layers.unfit(layer))} | _sharing(named)
    follower = _Follower(course, network.samples(feeds))
    with follower.hooks(), follower:
        answers = network.answers(feeds)
    for answer in answers:
        if (held := follower.held(answer)) is not None:
            course.ties.stop(held.channels, "is one of the model's own")
    return course


class _Follower(TorchDispatchMode):  # type: ignore[misc]
    """Sees each operator; ``inside`` a layer they are its own."""

    def __init__(self, course: ChannelUse, samples: int) -> None:
        super().__init__()
        self._course, self._samples, self._inside = course, samples, 0
        self._held: dict[int, tuple[Tensor, Held]] = {}
        named = course.layers.items()
        self._owners = {id(parameter): name for name, layer in named for parameter in traversal.own_parameters(layer)}

    def held(self, tensor: Tensor) -> Held | None:
        """The channels that are known to be in ``tensor``."""
        return self._held[id(tensor)][1] if id(tensor) in self._held else None

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Every layer reports its calls inside the block."""
        handles = []
        for name, layer in self._course.layers.items():
            handles.append(layer.register_forward_pre_hook(self._enter))
            handles.append(layer.register_forward_hook(self._leaver(name), with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = operator(*args, **(kwargs or {}))
        if not self._inside:
            self._see(operator, args, kwargs or {}, answer)
        return answer

    def _see(self, operator: Any, args: Any, kwargs: Any, answer: Any) -> None:
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        for tensor in tensors:
            if (name := self._owners.get(id(tensor))) is not None:
                self._course.unfit.setdefault(name, "has weights that are also used outside of it")
        held = [found for tensor in tensors if (found := self.held(tensor)) is not None]
        if not held:
            return
        if operator.overloadpacket.__name__.strip("_") in ("add", "sub", "rsub") and len(held) == 2:
            self._course.sums.append((held[0].channels, held[1].channels))
        try:
            for tensor, found in operators.follow(operator, args, kwargs, answer, self.held, self._course.ties):
                self._hold(tensor, found)
        except Mixed as reason:
            for found in held:
                self._course.ties.stop(found.channels, str(reason))

    def _hold(self, tensor: Tensor, held: Held) -> None:
        # The tensor is kept, or another one would get its id.
        self._held[id(tensor)] = (tensor, held)

    def _enter(self, layer: Any, args: Any) -> None:
        self._inside += 1

    def _leaver(self, name: str) -> Any:
        def leave(layer: Any, args: Any, kwargs: Any, answer: Any) -> None:
            given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            if name in self._course.reads:
                self._course.unfit[name] = "is called more than once"
            if name in self._course.unfit or len(given) != 1 or not isinstance(answer, Tensor):
                self._refuse(name, given, self._course.unfit.get(name, "takes or gives several tensors"))
            else:
                self._called(name, layer, given[0], answer)
            # Last, as this function reads weights.
            self._inside -= 1

        return leave

    def _called(self, name: str, layer: Any, given: Tensor, answer: Tensor) -> None:
        course, axis, held = self._course, layers.axis(layer, given), self.held(given)
        if held is not None and held.axis != axis:
            course.ties.stop(held.channels, f"is read along another axis than that of its channels by {name}")
        follows = held is not None and held.axis == axis
        course.reads[name] = held.channels if held is not None and follows else np.full(given.shape[axis], FIXED)
        if layers.mixes(layer):
            course.multiplications[name] = answer.numel() * layer.weight[0].numel() // self._samples
            course.makes[name] = course.ties.new(layers.given(layer))
        else:
            if hasattr(layer, "kernel_size"):
                course.multiplications[name] = answer.numel() * layer.weight[0].numel() // self._samples
            course.makes[name] = np.repeat(course.reads[name], answer.shape[axis] // given.shape[axis])
        if np.any(course.makes[name] != FIXED):
            self._hold(answer, Held(axis + answer.ndim - given.ndim, course.makes[name]))

    def _refuse(self, name: str, given: list[Tensor], reason: str) -> None:
        for tensor in given:
            if (held := self.held(tensor)) is not None:
                self._course.ties.stop(held.channels, f"is read by {name}, which {reason}")


def _sharing(named: dict[str, Any]) -> dict[str, str]:
    """Layers with a tensor that another one has as well."""
    owners: dict[int, list[str]] = {}
    for name, layer in named.items():
        for tensor in (*traversal.own_parameters(layer), *(one for one in layer._buffers.values() if one is not None)):
            owners.setdefault(id(tensor), []).append(name)
    return {
        name: f"shares its weights with {next(other for other in together if other != name)}"
        for together in owners.values()
        if len(together) > 1
        for name in together
    }
