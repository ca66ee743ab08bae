"""The original as an ExportedProgram: as it came, by non-strict export, by strict export, or converted from a script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from roadworthy.build.capture import jit, words
from roadworthy.build.capture.routes import Route, Written
from roadworthy.build.capture.subject_torch import TorchSubject
from roadworthy.build.capture.words import Refused
from roadworthy.core.types import BATCH, Signature
from roadworthy.runtimes import _module

NAME = "model.pt2"

BATCH_NORM_TRAINING = 5
"""The position of ``training`` in aten.batch_norm's arguments; ``running_mean`` stands at 3."""


@dataclass(frozen=True)
class Program:
    """An ExportedProgram and the signature it keeps."""

    exported: Any
    signature: Signature


def routes(subject: TorchSubject) -> Iterator[Route]:
    """The routes that make sense for the form the original came in."""
    if subject.kind == "exported" and not isinstance(subject.module, _module.Adapted):
        yield Route("as it came", lambda subject, out: _save(checked(torch.export.load(subject.path), subject.signature), out))
    if subject.kind == "script":
        yield Route("converted from the script", lambda subject, out: _save(_converted(subject), out))
        return
    yield Route("non-strict export", lambda subject, out: _save(export(subject, strict=False), out))
    yield Route("strict export", lambda subject, out: _save(export(subject, strict=True), out))


def export(subject: TorchSubject, *, strict: bool) -> Program:
    """``subject`` exported with a named batch dimension, within the limit the exporter finds. Raises Refused and what torch raises."""
    return _export(subject.module, subject, strict=strict)


def program(subject: TorchSubject) -> Program:
    """The program another format starts from: the one captured before, or the first that an own route gives."""
    if subject.exported:
        return checked(torch.export.load(subject.exported), subject.signature)
    if subject.kind == "script":
        return _converted(subject)
    try:
        return export(subject, strict=False)
    except Exception as problem:
        if words.is_data_dependent(problem) or words.is_batch(problem):
            raise
        return export(subject, strict=True)


def stated_limit(path: Path, signature: Signature) -> int | None:
    """The largest batch that the program at ``path`` states; ``None`` where it states none, or takes one size only."""
    try:
        return checked(torch.export.load(path), signature).signature.max_batch
    except Refused:
        return None


def checked(exported: Any, signature: Signature) -> Program:
    """``exported`` with the batch limit that it states; raises Refused where it is live for training or static in silence."""
    _refuse_training(exported.graph)
    return Program(exported, _stated(exported, signature))


def _export(module: torch.nn.Module, subject: TorchSubject, *, strict: bool) -> Program:
    try:
        exported = torch.export.export(module, subject.example(), dynamic_shapes=subject.dynamic_shapes(), strict=strict)
    except Exception as problem:
        limit = words.suggested_limit(problem)
        if limit is None or limit < subject.batch:
            raise
        return _export(module, replace(subject, signature=replace(subject.signature, max_batch=limit)), strict=strict)
    return checked(exported, subject.signature)


def _converted(subject: TorchSubject) -> Program:
    """torch.export takes no scripted module; the converter makes every dimension dynamic, a second export sets that right."""
    from torch._export.converter import TS2EPConverter

    return _export(TS2EPConverter(jit.script(subject), subject.example(), {}).convert().module(), subject, strict=False)


def _save(made: Program, out: Path) -> Written:
    torch.export.save(made.exported, out / NAME)
    return Written(out / NAME, made.signature)


def _stated(exported: Any, signature: Signature) -> Signature:
    nodes = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    limit = signature.max_batch
    if len(exported.graph_signature.user_inputs) != len(signature.inputs):
        raise Refused(f"the program takes {len(exported.graph_signature.user_inputs)} inputs where the model takes {len(signature.inputs)}")
    for spec, name in zip(signature.inputs, exported.graph_signature.user_inputs, strict=True):
        for found, wanted in zip(nodes[name].meta["val"].shape, spec.shape, strict=True):
            if isinstance(wanted, int):
                continue
            if isinstance(found, int):
                raise Refused(f"{wanted} became the constant {found} in {spec.name}", batch=wanted == BATCH)
            span = exported.range_constraints.get(found.node.expr)
            if wanted == BATCH and span is not None and span.upper.is_Integer:
                limit = min(limit or int(span.upper), int(span.upper))
    return replace(signature, max_batch=limit)


def _refuse_training(graph: Any) -> None:
    """Exporting a model in training mode raises nothing: what stays live is seen in the graph alone."""
    for node in graph.nodes:
        name = str(node.target) if node.op == "call_function" else ""
        if "dropout" in name and any(argument is True for argument in (*node.args, *node.kwargs.values())):
            raise Refused(f"dropout is live in the exported graph ({node.name}): it was exported in training mode")
        if name.startswith("aten.batch_norm") and node.args[BATCH_NORM_TRAINING] is True and node.args[3] is not None:
            raise Refused(f"batch normalisation trains in the exported graph ({node.name}): it was exported in training mode")
