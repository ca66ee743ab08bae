"""The original as an ExportedProgram: as it came, by non-strict export, by strict export, or converted from a script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from roadworthy.build.capture import exporter_errors
from roadworthy.build.capture.route import CaptureRoute, Written
from roadworthy.build.capture.torch import torchscript
from roadworthy.build.capture.torch.original import TorchSubject
from roadworthy.build.capture.torch.program import Program, checked
from roadworthy.frameworks.torch import module as torch_module

NAME = "model.pt2"


def routes(subject: TorchSubject) -> Iterator[CaptureRoute]:
    """The routes that make sense for the form the original came in."""
    if subject.kind == "exported" and not isinstance(subject.module, torch_module.AdaptedModule):
        yield CaptureRoute("as it came", lambda subject, out: _save(checked(torch.export.load(subject.path), subject.signature), out))
    if subject.kind == "script":
        yield CaptureRoute("converted from the script", lambda subject, out: _save(_converted(subject), out))
        return
    yield CaptureRoute("non-strict export", lambda subject, out: _save(export(subject, strict=False), out))
    yield CaptureRoute("strict export", lambda subject, out: _save(export(subject, strict=True), out), same_tool=True)


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
        if exporter_errors.is_data_dependent(problem) or exporter_errors.is_batch(problem) or exporter_errors.fixes_a_size(problem):
            raise
        return export(subject, strict=True)


def _export(module: torch.nn.Module, subject: TorchSubject, *, strict: bool) -> Program:
    try:
        exported = _exported(module, subject, strict=strict, limits=True)
    except Exception as problem:
        limit = exporter_errors.suggested_limit(problem)
        if limit is not None and limit >= subject.batch:
            return _export(module, replace(subject, signature=replace(subject.signature, max_batch=limit)), strict=strict)
        if not subject.signature.sizes or exporter_errors.is_data_dependent(problem) or exporter_errors.fixes_a_size(problem):
            raise
        try:
            exported = _exported(module, subject, strict=strict, limits=False)
        except Exception:
            raise problem from None
    return checked(exported, subject.signature)


def _exported(module: torch.nn.Module, subject: TorchSubject, *, strict: bool, limits: bool) -> Any:
    shapes = subject.dynamic_shapes(limits=limits)
    given: Any = (shapes,) if isinstance(module, torch_module.AdaptedModule) else shapes
    return torch.export.export(module, subject.example(), dynamic_shapes=given, strict=strict)


def _converted(subject: TorchSubject) -> Program:
    """torch.export takes no scripted module; the converter makes every dimension dynamic, a second export sets that right."""
    from torch._export.converter import TS2EPConverter

    return _export(TS2EPConverter(torchscript.script(subject), subject.example(), {}).convert().module(), subject, strict=False)


def _save(made: Program, out: Path) -> Written:
    torch.export.save(made.exported, out / NAME)
    return Written(out / NAME, made.signature)
