"""How an original is called: named tensors become the arguments of its forward, and its answer becomes named tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from roadworthy.frameworks.answers import leaves

Constant: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Leaf:
    """One leaf of the arguments: the input at a position of the signature, or a constant where ``input`` is ``None``.

    A constant is Python's own ``value``, or, with a ``dtype``, a tensor of that ``shape`` that holds it.
    """

    input: int | None = None
    value: Constant = None
    dtype: str = ""
    shape: tuple[int, ...] = ()

    def constant(self) -> Any:
        """What the original is given. A tensor of one element is a literal, whose value an exporter knows."""
        if not self.dtype:
            return self.value
        dtype = getattr(torch, self.dtype)
        return torch.full(self.shape, self.value, dtype=dtype) if self.shape else torch.tensor(self.value, dtype=dtype)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call: tuples, lists, dicts and NamedTuples of leaves, by position and by keyword."""

    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def filled(self, tensors: Sequence[Tensor]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The positional arguments and those by keyword, with ``tensors`` (in the order of the signature) in their places."""

        def value(leaf: Leaf) -> Any:
            return leaf.constant() if leaf.input is None else tensors[leaf.input]

        return pytree.tree_map(value, self.positional), pytree.tree_map(value, dict(self.keywords))

    def with_constants(self, constants: Mapping[int, Leaf]) -> Arguments:
        """The same call with ``constants`` in place of the inputs at their positions; the others move up."""
        rest = [number for number in sorted(_inputs(self)) if number not in constants]
        places = {number: Leaf(place) for place, number in enumerate(rest)}

        def replaced(leaf: Leaf) -> Leaf:
            return leaf if leaf.input is None else constants.get(leaf.input) or places[leaf.input]

        return Arguments(pytree.tree_map(replaced, self.positional), pytree.tree_map(replaced, dict(self.keywords)))

    @property
    def one_by_position(self) -> bool:
        """Whether one tensor is the only argument."""
        return self == by_position(1)


def _inputs(arguments: Arguments) -> list[int]:
    leaves = pytree.tree_leaves((arguments.positional, dict(arguments.keywords)))
    return [leaf.input for leaf in leaves if leaf.input is not None]


def by_position(count: int) -> Arguments:
    """``count`` tensors, each an argument of its own."""
    return Arguments(tuple(Leaf(number) for number in range(count)), {})


@dataclass(frozen=True)
class TorchCall:
    """How the original is called: its ``arguments``, and the names of what is taken from its answer, in order.

    ``plain`` says that it gives one bare tensor, of a type that arrays have, for one.
    """

    arguments: Arguments
    outputs: tuple[str, ...]
    plain: bool


class _InferenceModule(torch.nn.Module):  # type: ignore[misc]
    """A module that was put into inference mode, and proven, before it came here: it stays in that mode."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module
        self.training = False

    def train(self, mode: bool = True) -> Any:
        return self


class OneTensorModule(_InferenceModule):
    """A module that gives one bare tensor for one; thin enough to be scripted."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.module(x),)


class AdaptedModule(_InferenceModule):
    """Any other module: tensors by position in, a flat tuple out. For torch.export its one parameter is the tuple of all tensors."""

    def __init__(self, module: Any, call: TorchCall) -> None:
        super().__init__(module)
        self.call = call

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        positional, keywords = self.call.arguments.filled(tensors)
        named = dict(outputs(self.module(*positional, **keywords)))
        return _distinct([named[name] for name in self.call.outputs], tensors)


def adapt(module: Any, call: TorchCall) -> _InferenceModule:
    """``module`` behind the one calling convention of Roadworthy."""
    return OneTensorModule(module) if call.plain else AdaptedModule(module, call)


def outputs(answer: object) -> Iterator[tuple[str, Tensor]]:
    """Every output in an answer with its name, in order: tensors, and Python numbers as tensors without axes.

    bfloat16, which arrays do not have, becomes float32.
    """
    for name, leaf in leaves(answer):
        if isinstance(leaf, Tensor):
            yield name, leaf.float() if leaf.dtype == torch.bfloat16 else leaf
        elif isinstance(leaf, bool | int | float):
            yield name, torch.tensor(leaf)
        elif isinstance(leaf, torch.SymInt | torch.SymFloat | torch.SymBool):
            # A number that follows the input's sizes while the model is recorded, and that torch.tensor would fix.
            yield name, torch.full((), leaf)


def tensors(answer: object) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in an answer with its name, in order; what is not a tensor is left out."""
    for name, leaf in leaves(answer):
        if isinstance(leaf, Tensor):
            yield name, leaf


def _distinct(given: Sequence[Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Each output a tensor of its own: no graph format has one that is an input as well, or that has two names."""
    seen: list[Tensor] = list(inputs)
    for tensor in given:
        seen.append(tensor.clone() if any(tensor is other for other in seen) else tensor)
    return tuple(seen[len(inputs) :])
