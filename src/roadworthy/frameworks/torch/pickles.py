"""Pickles of live modules: classes by value, scripts as their archives, and what training wraps around a module as the module."""

from __future__ import annotations

import io
from types import FunctionType
from typing import Any

import torch

from roadworthy.frameworks.pickling import ByValuePickler
from roadworthy.frameworks.torch.script import quiet


def unwrapped(module: Any) -> Any:
    """``module`` without the wrappers of training: torch.compile, DataParallel, DistributedDataParallel, FSDP."""
    while isinstance(module, torch.nn.Module):
        parts = dict(module._modules.items())
        names = ["_orig_mod", "_fsdp_wrapped_module"]
        if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
            names.append("module")
        inner = next((parts[name] for name in names if parts.get(name) is not None), None)
        if inner is None:
            break
        module = inner
    return module


class Pickler(ByValuePickler):
    """For ``torch.save``: what reads the file needs neither the user's modules nor a compiler."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, torch.jit.ScriptModule | torch.jit.ScriptFunction):
            archive = io.BytesIO()
            with quiet():
                torch.jit.save(obj, archive)
            return _script, (archive.getvalue(), getattr(obj, "training", False))
        if isinstance(obj, torch.nn.Module) and (inner := unwrapped(obj)) is not obj:
            return _itself, (inner,)
        if isinstance(obj, FunctionType) and (original := getattr(obj, "_torchdynamo_orig_callable", None)) is not None:
            return _itself, (original,)
        return super().reducer_override(obj)


def _script(archive: bytes, training: bool) -> Any:
    with quiet():
        return torch.jit.load(io.BytesIO(archive), map_location="cpu").train(training)


def _itself(held: Any) -> Any:
    return held
