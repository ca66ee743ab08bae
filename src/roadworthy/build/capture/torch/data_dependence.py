"""Observe one run of the original: a tensor's value that is read into Python, which no trace records, and types narrower than float32.

Export refuses most such models, a trace does not: it records the side of the branch, or the number, that the
example led to. Here the values that stem from the inputs are followed through one eager run.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

_READS = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.equal.default,
    torch.ops.aten._nested_tensor_from_mask_left_aligned.default,
)
_NARROW = {torch.bfloat16, torch.float16}
_READS_WHOLE = (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__)
_TORCH = str(Path(torch.__file__).parent)


@dataclass(frozen=True)
class Observed:
    """``reads`` are the places where a value that stems from the input is read into Python (``file.py:line: code``), each once;
    ``narrow`` the floating types below float32 that it computes in.
    """

    reads: tuple[str, ...]
    narrow: tuple[str, ...]


def observe(module: torch.nn.Module, example: Sequence[torch.Tensor]) -> Observed:
    """One run of ``module`` on ``example``."""
    followed = WeakTensorKeyDictionary()
    for tensor in example:
        followed[tensor] = True
    places: list[str] = []
    with torch.no_grad(), _Methods(followed, places), _Operators(followed, places) as operators:
        module(*example)
    narrow = sorted(str(dtype).removeprefix("torch.") for dtype in operators.dtypes & _NARROW)
    return Observed(tuple(dict.fromkeys(places)), tuple(narrow))


class _Operators(TorchDispatchMode):  # type: ignore[misc]
    """Follows values through operators; ``if tensor``, ``float(tensor)`` and ``tensor.item()`` end in one of ``_READS``."""

    def __init__(self, followed: Any, places: list[str]) -> None:
        super().__init__()
        self._followed, self._places = followed, places
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        stems = _any_followed(self._followed, (args, kwargs))
        if stems and func in _READS:
            self._places.append(_place())
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.dtypes.add(leaf.dtype)
                if stems:
                    self._followed[leaf] = True
        return result


class _Methods(TorchFunctionMode):  # type: ignore[misc]
    """The methods that hand out a whole tensor without an operator."""

    def __init__(self, followed: Any, places: list[str]) -> None:
        super().__init__()
        self._followed, self._places = followed, places

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READS_WHOLE and _any_followed(self._followed, args):
            self._places.append(_place())
        return func(*args, **(kwargs or {}))


def _any_followed(followed: Any, values: Any) -> bool:
    return any(isinstance(leaf, torch.Tensor) and leaf in followed for leaf in tree_leaves(values))


def _place() -> str:
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_TORCH) and frame.filename != __file__:
            return f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}".removesuffix(": ")
    return "a place without a line"
