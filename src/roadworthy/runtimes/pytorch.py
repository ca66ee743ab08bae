"""Eager PyTorch: the original itself, which is the reference for every answer and the baseline of every race."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Plan
from roadworthy.core.text import first_line
from roadworthy.core.types import Signature
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.session import COMPUTE, Call, TensorSession, check_plan, exact_float32

RUNS: tuple[str, ...] = ("module", "pt2")
PACKAGES: tuple[str, ...] = ("torch", "cloudpickle", "numpy")
FRAMEWORK = True
NATIVE = False

FLAVOURS = ("", "channels_last", "compile")
MODULES = (torch_module.PICKLE, torch_module.SCRIPT, torch_module.EXPORTED)


def load(path: Path, signature: Signature, plan: Plan) -> TensorSession:
    """The session of a module's own file, of a captured ``.pt2``, or of a candidate directory that holds the former.

    ``fp32`` is exactly that, and ``int8`` a module that came quantised; ``fp64`` and ``bf16`` cast the whole module and its
    floating-point inputs. The flavour ``channels_last`` lays out images and kernels that way; ``compile`` is torch.compile, which
    compiles at the first call and again where a new batch size needs it, from nothing each time a candidate is loaded. Raises
    UsageError for another precision or flavour, StepFailed where the file does not load.
    """
    check_plan(plan, (*COMPUTE, "int8"), FLAVOURS)
    exact_float32()
    try:
        module = _open(path)
        if plan.precision not in ("fp32", "int8"):
            module.to(COMPUTE[plan.precision])
        if plan.flavour == "channels_last":
            module.to(memory_format=torch.channels_last)
    except Exception as problem:
        raise StepFailed(f"{path.name} does not load as a PyTorch module: {first_line(problem)}", detail=repr(problem)) from problem
    call: Call = module
    if plan.flavour == "channels_last":
        call = _channels_last(module)
    elif plan.flavour == "compile":
        call = _compiled(module, path)
    return TensorSession(call, signature, plan, COMPUTE.get(plan.precision, torch.float32))


def _open(path: Path) -> torch.nn.Module:
    if path.is_dir():
        path = next(path / name for name in MODULES if (path / name).is_file())
    if path.suffix == ".pt2" and path.name not in MODULES:
        return torch.export.load(path).module()
    module = torch_module.load(path)
    try:
        return module.eval()
    except NotImplementedError:
        # An exported program has one mode, the one that it was exported in.
        return module


def _compiled(module: torch.nn.Module, path: Path) -> Call:
    # What an earlier process compiled would be found in the cache, and the first call would seem to cost nothing.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="compiled-", dir=path if path.is_dir() else path.parent)
    torch._inductor.config.force_disable_caches = True
    compiled: Call = torch.compile(module)
    return compiled


def _channels_last(module: torch.nn.Module) -> Call:
    def call(*tensors: Tensor) -> object:
        return module(*[tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor for tensor in tensors])

    return call
