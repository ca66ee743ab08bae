"""The module that is cut: opened from its file, run on samples, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from roadworthy.core.errors import SourceError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import Signature
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch import traversal
from roadworthy.frameworks.torch.calling import AdaptedModule, OneTensorModule

Feeds = tuple[Tensor, ...]
"""The inputs of one call, in the order of the signature."""


@dataclass(frozen=True)
class TorchNetwork:
    """``call`` takes tensors by position and gives a tuple of them; ``user`` is the user's own module in it."""

    call: Any
    user: Any
    signature: Signature

    @property
    def parameters(self) -> int:
        """The numbers in all of its parameters."""
        return sum(parameter.numel() for parameter in traversal.parameters(self.user))

    def answers(self, feeds: Feeds) -> list[Tensor]:
        """Its outputs; an input that the model changes in place is not changed."""
        with torch.no_grad():
            return self.outputs(feeds)

    def outputs(self, feeds: Feeds) -> list[Tensor]:
        """As ``answers``, with gradients."""
        given = self.call(*[tensor.clone() for tensor in feeds])
        return [given] if isinstance(given, Tensor) else list(given)

    def multiplications(self, feeds: Feeds) -> int:
        """Multiplications of all convolutions and matrix products, for one sample."""
        with FlopCounterMode(display=False) as counter:
            self.answers(feeds)
        return int(counter.get_total_flops()) // 2 // self.samples(feeds)

    def samples(self, feeds: Feeds) -> int:
        """The number of samples in ``feeds``."""
        return self.signature.count({spec.name: tensor.numpy() for spec, tensor in zip(self.signature.inputs, feeds, strict=True)})


def open_network(graph: Graph) -> TorchNetwork:
    """The module of ``graph``; SourceError for one that is a recorded graph: the sizes of its channels are constants in it."""
    if graph.path.name != torch_module.PICKLE:
        kind = "a TorchScript archive" if graph.path.name == torch_module.SCRIPT else "an exported program"
        raise SourceError(
            f"{kind} cannot be made smaller: it is a recording in which the number of channels is fixed; "
            "give the weights and the code that they belong to: --arch FILE.py:CALLABLE"
        )
    loaded = torch_module.load(graph.path)
    return TorchNetwork(loaded, loaded.module if isinstance(loaded, AdaptedModule | OneTensorModule) else loaded, graph.signature)


def feeds_of(samples: SampleSet, signature: Signature, count: int, dtype: torch.dtype, *, together: int = 32) -> list[Feeds]:
    """About ``count`` samples from all over the set, as calls of at most ``together`` each, or of the one size that the model takes.

    Samples often lie class by class: the first ones would be of one class.
    """
    size = signature.call_size(min(together, count, samples.count))
    number = max(1, min(count, samples.count) // size)
    rows = np.linspace(0, samples.count - 1, number * size).round().astype(int).reshape(number, size)
    every = samples.open()
    calls: list[Feeds] = []
    for chosen in rows:
        arrays = signature.to_call({name: np.asarray(array[chosen]) for name, array in every.items()})
        tensors = [torch.from_numpy(arrays[spec.name].copy()) for spec in signature.inputs]
        calls.append(tuple(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors))
    return calls


@contextmanager
def doubled(network: TorchNetwork, samples: SampleSet) -> Iterator[torch.dtype]:
    """``network`` in double precision inside the block, where its code allows that, and the dtype that it computes in.

    What rounding leaves of a difference is then far below any real one.
    """
    if any(tensor.dtype is torch.float64 for tensor in traversal.tensors(network.user)):
        yield torch.float32
        return
    _cast(network.user, torch.float32, torch.float64)
    try:
        yield torch.float64 if _runs(network, samples, torch.float64) else _cast(network.user, torch.float64, torch.float32)
    finally:
        _cast(network.user, torch.float64, torch.float32)


def _runs(network: TorchNetwork, samples: SampleSet, dtype: torch.dtype) -> bool:
    """Not where its code names float32, or uses an operator that does not exist in ``dtype``."""
    try:
        return all(answer.isfinite().all() for answer in network.answers(feeds_of(samples, network.signature, 1, dtype)[0]))
    except Exception:
        return False


def _cast(module: Any, before: torch.dtype, after: torch.dtype) -> torch.dtype:
    traversal.convert(module, lambda tensor: tensor.to(after) if tensor.dtype is before else tensor)
    return after
