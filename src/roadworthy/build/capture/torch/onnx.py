"""A PyTorch original as ONNX: by the dynamo exporter from an ExportedProgram, then by the older exporter, traced or scripted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from roadworthy.build.capture.onnx_file import NAME, check_file
from roadworthy.build.capture.route import CaptureRoute, Written
from roadworthy.build.capture.torch import export, onnx_bfloat16, torchscript
from roadworthy.build.capture.torch.original import TorchSubject
from roadworthy.core.types import Signature, output_names

OPSET = 20
OLDER_OPSET = 17


def routes(subject: TorchSubject) -> Iterator[CaptureRoute]:
    """The dynamo exporter first; the older one does some operators that it lacks, and scripts keep their branches there."""
    yield CaptureRoute("dynamo exporter", _dynamo)
    if subject.kind == "script":
        yield CaptureRoute("older exporter, from the script", lambda subject, out: _older(torchscript.script(subject), subject, out))
        return
    yield CaptureRoute("older exporter, traced", lambda subject, out: _older(_traceable(subject), subject, out))
    if subject.kind == "module":
        yield CaptureRoute("older exporter, scripted", lambda subject, out: _older(torchscript.script(subject), subject, out))


def _dynamo(subject: TorchSubject, out: Path) -> Written:
    start = export.program(subject)
    made = torch.onnx.export(
        start.exported,
        (),
        dynamo=True,
        opset_version=OPSET,
        input_names=subject.inputs,
        output_names=list(output_names(subject.signature)),
        optimize=True,
        verbose=False,
    )
    made.save(out / NAME)  # weights stay inside the file unless they pass protobuf's 2 GB
    return Written(out / NAME, start.signature, _finished(out / NAME, start.signature, OPSET))


def _older(source: Any, subject: TorchSubject, out: Path) -> Written:
    names = (*subject.inputs, *output_names(subject.signature))
    specs = subject.signature.inputs + subject.signature.outputs
    named = {name: {i: size for i, size in enumerate(spec.shape) if isinstance(size, str)} for name, spec in zip(names, specs, strict=True)}
    torch.onnx.export(
        source,
        subject.example(),
        str(out / NAME),
        dynamo=False,
        opset_version=OLDER_OPSET,
        input_names=subject.inputs,
        output_names=list(output_names(subject.signature)),
        dynamic_axes={name: axes for name, axes in named.items() if axes},
    )
    return Written(out / NAME, subject.signature, _finished(out / NAME, subject.signature, OLDER_OPSET))


def _finished(path: Path, signature: Signature, opset: int) -> tuple[str, ...]:
    """The file at ``path`` without bfloat16, checked; returns notes."""
    return (*onnx_bfloat16.widen(path), *check_file(path, signature, opset))


def _traceable(subject: TorchSubject) -> Any:
    """The older exporter traces a module itself, but cannot handle what torch.export gives back."""
    torchscript.refuse_if_in_doubt(subject)
    return subject.module if subject.kind == "module" else torchscript.trace(subject)
