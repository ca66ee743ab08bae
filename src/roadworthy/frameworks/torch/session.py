"""What every session that answers with torch shares: arrays in and out, threads, and no precision in disguise."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.text import first_line
from roadworthy.core.types import Array, Arrays, Signature

Call = Callable[..., Tensor | Sequence[Tensor]]

COMPUTE = {"fp32": torch.float32, "fp64": torch.float64, "bf16": torch.bfloat16}
"""The dtype that a plan's precision computes in, where the module itself is cast to it."""


def check_plan(plan: Plan, precisions: Collection[str], flavours: Collection[str]) -> None:
    """Raise UsageError for a plan that would have to be carried out as another one."""
    if plan.precision not in precisions or plan.flavour not in flavours:
        raise UsageError(f"{plan.runtime} has no {plan.precision} {plan.flavour}".rstrip())
    if plan.spin:
        raise UsageError(f"{plan.runtime} cannot be told to spin: its threads wait as their library does")


def exact_float32() -> None:
    """Keep float32 what it says in this process: no bf16 or TF32 inside a product, a convolution or a recurrence."""
    # oneDNN reads these once, at its first use, and they overrule what torch asks for.
    os.environ.pop("ONEDNN_DEFAULT_FPMATH_MODE", None)
    os.environ.pop("DNNL_DEFAULT_FPMATH_MODE", None)
    torch.set_float32_matmul_precision("highest")
    for kind in (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv, torch.backends.mkldnn.rnn):
        kind.fp32_precision = "ieee"


class TensorSession:
    """A callable over tensors as a session: inputs by position, outputs by position, both in the signature's order.

    Feeds are copied into fresh C-contiguous tensors: torch refuses read-only memory, compiled code takes strides on
    trust, and a model that works in place would write into the caller's array. ``cast`` is the dtype that
    floating-point inputs are computed in; outputs have the signature's dtypes, in ``fp64`` float64 for floats.
    """

    def __init__(self, call: Call, signature: Signature, plan: Plan, cast: torch.dtype = torch.float32) -> None:
        self._call: Call | None = call
        self._threads = plan.threads
        self._cast = None if cast == torch.float32 else cast
        self._inputs = tuple(spec.name for spec in signature.inputs)
        self._outputs = tuple((spec.name, _answer_dtype(spec.dtype, plan)) for spec in signature.outputs)

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name, in memory of their own; raises StepFailed where the model fails."""
        if self._call is None:
            raise UsageError("this session is closed; open it again")
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                answer = self._call(*[self._tensor(feeds[name]) for name in self._inputs])
                return self._named(answer)
        except StepFailed:
            raise
        except Exception as problem:
            raise StepFailed(f"the model failed on this input: {first_line(problem)}", detail=repr(problem)) from problem

    def close(self) -> None:
        """Let go of the model."""
        self._call = None

    def _tensor(self, array: Array) -> Tensor:
        tensor = torch.from_numpy(array.copy(order="C"))
        return tensor.to(self._cast) if self._cast is not None and tensor.is_floating_point() else tensor

    def _named(self, answer: Tensor | Sequence[Tensor]) -> dict[str, Array]:
        tensors = (answer,) if isinstance(answer, Tensor) else answer
        if len(tensors) != len(self._outputs):
            raise StepFailed(f"the model gave {len(tensors)} outputs where its signature has {len(self._outputs)}")
        return {name: _array(tensor, dtype) for (name, dtype), tensor in zip(self._outputs, tensors, strict=True)}


def _array(tensor: Tensor, dtype: torch.dtype) -> Array:
    if tensor.dtype is not dtype:
        tensor = tensor.to(dtype)
    if tensor.requires_grad:
        # A parameter, which a model may give as it is.
        tensor = tensor.detach()
    array: Array = tensor.contiguous().numpy()
    return array


def _answer_dtype(name: str, plan: Plan) -> torch.dtype:
    if plan.precision == "fp64" and np.dtype(name).kind == "f":
        return torch.float64
    return torch.from_numpy(np.empty(0, name)).dtype
