"""Tensor operations in front of an exported program, which is exported again, or of a TorchScript archive, which is scripted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from roadworthy.build.capture.front import Folding
from roadworthy.build.capture.front.operations import Operation, operations
from roadworthy.build.capture.route import Written
from roadworthy.build.capture.torch import export
from roadworthy.build.capture.torch.original import TorchSubject
from roadworthy.frameworks.torch.script import quiet


class Moves(torch.nn.Module):  # type: ignore[misc]
    """The layout and the order of the channels, on uint8."""

    def __init__(self, transpose: bool, reverse: bool) -> None:
        super().__init__()
        self.transpose, self.reverse = transpose, reverse

    def forward(self, pixels: Tensor) -> Tensor:
        if self.reverse:
            pixels = pixels.flip(3)
        if self.transpose:
            pixels = pixels.permute(0, 3, 1, 2)
        return pixels.contiguous()


class Cast(torch.nn.Module):  # type: ignore[misc]
    """Another type of number."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, values: Tensor) -> Tensor:
        return values.to(self.dtype)


class Arithmetic(torch.nn.Module):  # type: ignore[misc]
    """One operation with a constant."""

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("value", value)

    def forward(self, values: Tensor) -> Tensor:
        if self.name == "multiply":
            return values * self.value
        if self.name == "divide":
            return values / self.value
        if self.name == "subtract":
            return values - self.value
        return values + self.value


class Whole(torch.nn.Module):  # type: ignore[misc]
    """The nearest whole number that int8 holds."""

    def forward(self, values: Tensor) -> Tensor:
        return torch.round(values).clamp(-128.0, 127.0)


class Folded(torch.nn.Module):  # type: ignore[misc]
    """``steps``, then ``model``."""

    def __init__(self, steps: torch.nn.Module, model: Any) -> None:
        super().__init__()
        self.steps, self.model = steps, model
        self.training = False

    def forward(self, pixels: Tensor) -> Any:
        return self.model(self.steps(pixels))


def write(folding: Folding, out: Path) -> Written:
    """The graph in its own format; raises Refused and what torch raises."""
    todo = operations(folding.front)
    moves = Moves(*(any(one.name == name for one in todo) for name in ("transpose", "reverse")))
    steps = torch.nn.Sequential(moves, *(_module(one) for one in todo if one.name not in ("transpose", "reverse"))).eval()
    path = out / folding.model.name
    if folding.graph.format == "jit":
        with quiet():
            model = torch.jit.load(str(folding.model), map_location="cpu")
            archive = torch.jit.trace(Folded(steps, model), _example(folding), check_trace=False)
            torch.jit.save(archive, str(path))
        return Written(path, folding.subject.signature)
    subject = folding.subject
    exported = TorchSubject(
        graph=subject.graph,
        signature=subject.signature,
        samples=subject.samples,
        call=subject.call,
        batch=subject.batch,
        module=Folded(steps, torch.export.load(folding.model).module()),
        kind="module",
    )
    made = export.export(exported, strict=False)
    torch.export.save(made.exported, path)
    return Written(path, made.signature)


def _example(folding: Folding) -> tuple[Tensor, ...]:
    """The steps have no branches, and those of a script inside a trace stay."""
    feeds = folding.subject.feeds(folding.subject.batch)
    return tuple(torch.from_numpy(feeds[name].copy()) for name in folding.subject.inputs)


def _module(operation: Operation) -> torch.nn.Module:
    if operation.name == "cast":
        return Cast(getattr(torch, operation.dtype))
    if operation.value is None:
        return Whole()
    return Arithmetic(operation.name, torch.from_numpy(operation.value.copy()))
