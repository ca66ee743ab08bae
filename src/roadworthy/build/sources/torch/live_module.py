"""A live PyTorch module that takes and gives arrays by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from roadworthy.build.sources.model import SameAnswer
from roadworthy.build.sources.samples.table_rows import TableRows
from roadworthy.build.sources.torch import layer_hooks, tables
from roadworthy.core.errors import EnvironmentFault, SourceError
from roadworthy.core.types import Array, Arrays, TensorSpec
from roadworthy.frameworks import answers
from roadworthy.frameworks.torch import calling
from roadworthy.frameworks.torch.calling import Arguments


class LiveModule:
    """``forms`` are the ways to call it, likeliest first; the first that it takes becomes ``form``.

    Its outputs have the names that ``answers.leaves`` gives them.
    ``plain`` says that it gives one bare tensor for one, ``notes`` what was noticed about its latest answer.
    """

    def __init__(self, module: Any, specs: tuple[TensorSpec, ...], forms: tuple[Arguments, ...]) -> None:
        self.module, self.specs = module, specs
        self.plain = False
        self.notes: tuple[str, ...] = ()
        self._forms, self._known = forms, len(forms) == 1

    @property
    def form(self) -> Arguments:
        """The way to call it that is used."""
        return self._forms[0]

    def tensors(self, feeds: Arrays) -> list[Tensor]:
        """``feeds`` as tensors of their own, in order: a model may write into its input."""
        return [torch.from_numpy(feeds[spec.name].copy()) for spec in self.specs]

    def forward(self, tensors: list[Tensor]) -> Any:
        """The module's own answer."""
        return self._called(self.form, tensors)

    def call(self, feeds: Arrays) -> dict[str, Array]:
        """Every output by name; SourceError naming the layer and the shapes when the module raises."""
        given = self.tensors(feeds)
        try:
            answer = self._answer(feeds, given)
        except EnvironmentFault:
            raise
        except Exception as problem:
            words = layer_hooks.explain(self.forward, self.tensors(feeds), self.module, self.specs, problem)
            raise SourceError(words, detail=str(problem)) from problem
        found = list(calling.outputs(answer))
        if len(dict(found)) != len(found):
            raise SourceError(f"the model gives two outputs of one name: {', '.join(name for name, _ in found)}")
        if not found:
            raise SourceError(
                f"the model's answer holds no tensor: it is a {type(answer).__name__}; return tensors, or a dict or tuple of them"
            )
        _refuse_without_array(found)
        handed_through = any(tensor is other for _, tensor in found for other in given)
        self.plain = self.form.one_by_position and not handed_through and isinstance(answer, Tensor) and answer.dtype != torch.bfloat16
        self.notes = tuple(_notes(answer))
        return {name: layer_hooks.array(tensor) for name, tensor in found}

    def tables(self, feeds: Arrays) -> dict[str, int]:
        """How many rows the tables have that an input chooses from."""
        rows = TableRows(feeds)
        with tables.Watched(rows):
            self.forward(self.tensors(feeds))
        return rows.found

    def locate(self, first: Arrays, second: Arrays, same: SameAnswer) -> str:
        """The part of the module whose answers begin to differ."""
        return layer_hooks.locate(self.forward, self.module, self.tensors(first), self.tensors(second), same)

    def _answer(self, feeds: Arrays, given: list[Tensor]) -> Any:
        """The answer in the known form, or in the first form that gives one, which is the known one from then on."""
        if self._known:
            return self.forward(given)
        first: Exception | None = None
        for form in self._forms:
            try:
                answer = self._called(form, given)
            except Exception as problem:
                first = first or problem
                given[:] = self.tensors(feeds)
                continue
            self._forms, self._known = (form,), True
            return answer
        raise first or AssertionError("a module without a form of call")

    def _called(self, form: Arguments, tensors: list[Tensor]) -> Any:
        positional, keywords = form.filled(tensors)
        with torch.no_grad():
            return self.module(*positional, **keywords)


def _refuse_without_array(found: list[tuple[str, Tensor]]) -> None:
    """SourceError for an output that is not an ordinary tensor."""
    for name, tensor in found:
        if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized:
            kind = "nested" if tensor.is_nested else "quantised" if tensor.is_quantized else "sparse"
            raise SourceError(f"the output {name!r} is a {kind} tensor, which arrays cannot hold; make it an ordinary one in forward")


def _notes(answer: object) -> list[str]:
    """What of the answer is not given as it is."""
    rounded, left_out = [], []
    for name, leaf in answers.leaves(answer):
        if isinstance(leaf, Tensor):
            rounded += [name] if leaf.dtype == torch.bfloat16 else []
        elif not isinstance(leaf, bool | int | float):
            left_out.append(f"{name!r} ({type(leaf).__name__})")
    notes = (
        [f"the model gives {', '.join(map(repr, rounded))} in bfloat16, which arrays do not have: the same values as float32"]
        if rounded
        else []
    )
    return notes + ([f"left out of the answer, as it is no tensor: {', '.join(left_out)}"] if left_out else [])
