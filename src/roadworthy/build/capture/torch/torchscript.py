"""The original as a script archive: as it came, scripted, then traced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.build.capture.route import CaptureRoute, Written
from roadworthy.build.capture.torch.original import TorchSubject
from roadworthy.frameworks.torch.calling import AdaptedModule

NAME = "model.ts"


def routes(subject: TorchSubject) -> Iterator[CaptureRoute]:
    """Scripting keeps branches and comes first; a program from torch.export has no source to script."""
    if subject.kind == "script":
        yield CaptureRoute("as it came", lambda subject, out: _save(script(subject), subject, out))
        return
    if subject.kind == "module":
        yield CaptureRoute("scripted", lambda subject, out: _save(script(subject), subject, out))
    yield CaptureRoute("traced", lambda subject, out: _save(trace(subject), subject, out))


def script(subject: TorchSubject) -> Any:
    """``subject`` with all its branches. The adapter that flattens its answer has no branches and is traced."""
    module = subject.module
    if isinstance(module, torch.jit.ScriptModule):
        return module
    if not isinstance(module, AdaptedModule):
        return torch.jit.script(module)
    inner = module.module if isinstance(module.module, torch.jit.ScriptModule) else torch.jit.script(module.module)
    return torch.jit.trace(AdaptedModule(inner, module.call), subject.example(), check_trace=False)


def trace(subject: TorchSubject) -> Any:
    """``subject`` traced on its example; raises Refused where anything says that a trace would not be the whole model."""
    refuse_if_in_doubt(subject)
    return torch.jit.trace(subject.module, subject.example(), check_trace=False)


def refuse_if_in_doubt(subject: TorchSubject) -> None:
    """A trace that ran does not refute what another route reported."""
    if subject.doubts:
        raise Refused(f"not used: a trace records only what its example led to, and {subject.doubts[0]}")


def _save(archive: Any, subject: TorchSubject, out: Path) -> Written:
    torch.jit.save(archive, str(out / NAME))
    return Written(out / NAME, subject.signature)
