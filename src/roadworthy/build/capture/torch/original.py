"""A PyTorch original, opened: the live module, an example for the exporters, and the evidence against a trace of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from roadworthy.build.capture import exporter_errors, parity
from roadworthy.build.capture.original import Subject
from roadworthy.build.capture.torch import data_dependence
from roadworthy.core.errors import CaptureFailed
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Arrays, Signature, SizeRange
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch import traversal

Kind = Literal["module", "script", "exported"]
_KINDS: dict[str, Kind] = {torch_module.SCRIPT: "script", torch_module.EXPORTED: "exported"}


@dataclass(frozen=True, kw_only=True)
class TorchSubject(Subject):
    """The live module; ``kind`` is the form it came in."""

    FRAMEWORK: ClassVar[str] = "torch"
    TRACER: ClassVar[str] = "torch.export"

    module: torch.nn.Module
    kind: Kind

    @property
    def path(self) -> Path:
        return self.graph.path

    def example(self) -> tuple[Tensor, ...]:
        """New tensors in the order of the signature; a model may write into its input. No symbolic axis has a size of 1."""
        sizes = {axis.symbol: max(axis.sizes) for axis in self.signature.sizes if axis.sizes[0] == 1}
        return _tensors(self.feeds(self.batch, sizes=sizes), self.signature)

    def dynamic_shapes(self, *, limits: bool = True) -> tuple[dict[int, Any], ...]:
        """For each input its symbolic dimensions, named as in the signature; never Dim.AUTO, which may turn static in silence.

        Without ``limits`` the exporter finds those of all axes but the batch by itself.
        """
        dims: dict[str, Any] = {BATCH: torch.export.Dim(BATCH, min=1, max=self.signature.max_batch)} if self.dynamic else {}
        for number, axis in enumerate(self.signature.sizes):
            dims[axis.symbol] = (
                _dim(axis.symbol if axis.symbol.isidentifier() else f"size_{number}", axis) if limits else torch.export.Dim.DYNAMIC
            )
        return tuple({axis: dims[symbol] for axis, symbol in spec.symbols.items()} for spec in self.signature.inputs)


def open_subject(graph: Graph, samples: SampleSet, doubts: tuple[str, ...], exported: Path | None) -> TorchSubject:
    """Open the original; raises CaptureFailed where it is in training mode or fails on the samples."""
    module = torch_module.load(graph.path)
    kind = _KINDS.get(graph.path.name, "module")
    if kind != "exported":
        _refuse_training(module)
    subject = TorchSubject(
        graph=graph,
        signature=graph.signature,
        samples=samples,
        call=_answering(module, graph.signature),
        exported=exported,
        doubts=doubts,
        module=module,
        kind=kind,
    )
    return _observed(_with_stated_limit(subject.limited()))


def _dim(name: str, axis: SizeRange) -> Any:
    most = None if axis.most is None else axis.most // axis.multiple
    plain = torch.export.Dim(name, min=max(1, axis.least // axis.multiple), max=most)
    return plain * axis.multiple if axis.multiple > 1 else plain


def _refuse_training(module: torch.nn.Module) -> None:
    live = [path or type(part).__name__ for path, part in traversal.named_parts(module) if getattr(part, "training", False)]
    if live:
        raise CaptureFailed(
            f"the model is in training mode ({', '.join(live[:3])}): dropout and batch statistics would stay live; call eval() on it"
        )


def _answering(module: torch.nn.Module, signature: Signature) -> Callable[[Arrays], dict[str, Array]]:
    def call(feeds: Arrays) -> dict[str, Array]:
        with torch.no_grad():
            leaves = [leaf for leaf in tree_leaves(module(*_tensors(feeds, signature))) if isinstance(leaf, Tensor)]
        if len(leaves) != len(signature.outputs):
            raise CaptureFailed(f"the model gives {len(leaves)} tensors where its signature has {len(signature.outputs)} outputs")
        return {spec.name: leaf.numpy(force=True) for spec, leaf in zip(signature.outputs, leaves, strict=True)}

    return call


def _tensors(feeds: Arrays, signature: Signature) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(feeds[spec.name].copy()) for spec in signature.inputs)


def _with_stated_limit(subject: TorchSubject) -> TorchSubject:
    """Take over the limit that a program captured before states, where the original itself keeps to it."""
    if subject.exported is None or not subject.dynamic:
        return subject
    from roadworthy.build.capture.torch import program

    limit = program.stated_limit(subject.exported, subject.signature)
    if limit is None or limit >= (subject.signature.max_batch or parity.LARGEST_PROVEN) or subject.takes(limit + 1):
        return subject
    note = f"the original itself takes at most {limit} samples a call"
    return replace(subject, signature=replace(subject.signature, max_batch=limit), notes=(*subject.notes, note))


def _observed(subject: TorchSubject) -> TorchSubject:
    """Add what one watched run of the original says; a script keeps its branches, so that nothing it reads is in doubt."""
    seen = data_dependence.observe(subject.module, subject.example())
    if seen.narrow:
        note = (
            f"the original computes partly in {' and '.join(seen.narrow)} (by autocast, for example), and its own answers are that coarse"
        )
        subject = replace(subject, gate=parity.NARROW_GATE, notes=(*subject.notes, note))
    if subject.kind == "script":
        return subject
    found = tuple(f"the model reads a value that depends on the data ({exporter_errors.one_line(place)})" for place in seen.reads[:3])
    return replace(subject, doubts=tuple(dict.fromkeys((*subject.doubts, *found))))
