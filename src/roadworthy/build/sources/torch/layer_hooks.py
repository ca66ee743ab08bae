"""Watching the layers of a PyTorch module: which one raises, and where two runs begin to differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from roadworthy.core.types import Array, TensorSpec
from roadworthy.frameworks.torch.module import flatten

WANTS = {
    "Linear": "in_features", "Conv1d": "in_channels", "Conv2d": "in_channels", "Conv3d": "in_channels", "ConvTranspose2d": "in_channels",
    "BatchNorm1d": "num_features", "BatchNorm2d": "num_features", "BatchNorm3d": "num_features", "LayerNorm": "normalized_shape",
    "GroupNorm": "num_channels", "LSTM": "input_size", "GRU": "input_size", "MultiheadAttention": "embed_dim",
}  # fmt: skip

Call = Callable[[list[Tensor]], Any]


def explain(call: Call, feeds: list[Tensor], module: Any, specs: tuple[TensorSpec, ...], problem: Exception) -> str:
    """Why the model does not take ``feeds``, in words: the layer, what it got and what it wants."""
    said = [line.strip() for line in str(problem).splitlines() if line.strip()] or [type(problem).__name__]
    # TorchScript puts its own traceback first and the reason last.
    reason = said[-1] if "TorchScript" in str(problem) else said[0]
    given = ", ".join(f"{spec.name}:{spec.dtype}{list(feed.shape)}" for spec, feed in zip(specs, feeds, strict=True))
    with watched(module) as events:
        try:
            call(feeds)
        except Exception:
            pass
    entered: list[Event] = []
    for event in events:
        if event.entering:
            entered.append(event)
        elif entered:
            entered.pop()
    where = ""
    if entered and entered[-1].path:
        last = entered[-1]
        attribute = WANTS.get(last.kind)
        wants = f" and wants {attribute} = {getattr(module.get_submodule(last.path), attribute)}" if attribute else ""
        where = f"layer {last.path!r} ({last.kind}) got {', '.join(str(list(tensor.shape)) for tensor in last.tensors)}{wants}: "
    return f"the model does not take {given}: {where}{reason[:300]}"


@dataclass(frozen=True)
class Event:
    """A submodule was entered or left, with these tensors; ``parent`` is whose forward was running."""

    path: str
    kind: str
    parent: str
    entering: bool
    tensors: tuple[Tensor, ...]


@contextmanager
def watched(module: Any) -> Iterator[list[Event]]:
    """The events of every forward inside the block, in order. A captured graph or a TorchScript module has none."""
    events: list[Event] = []
    stack: list[str] = []
    handles: list[Any] = []

    def enter(path: str, kind: str) -> Callable[..., None]:
        def hook(_: Any, arguments: Any, options: Any) -> None:
            events.append(Event(path, kind, stack[-1] if stack else "", True, _tensors((arguments, options))))
            stack.append(path)

        return hook

    def leave(path: str, kind: str) -> Callable[..., None]:
        def hook(_: Any, arguments: Any, given: Any) -> None:
            stack.pop()
            events.append(Event(path, kind, stack[-1] if stack else "", False, _tensors(given)))

        return hook

    opaque = isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule)
    for path, part in () if opaque else module.named_modules():
        if not isinstance(part, torch.jit.ScriptModule):
            handles.append(part.register_forward_pre_hook(enter(path, type(part).__name__), with_kwargs=True))
            handles.append(part.register_forward_hook(leave(path, type(part).__name__)))
    try:
        yield events
    finally:
        for handle in handles:
            handle.remove()


def blame(call: Call, module: Any, first: list[Tensor], second: list[Tensor], alike: Callable[[Array, Array], bool]) -> str:
    """The part whose answers begin to differ between two runs, in words; ``alike`` says whether two answers are as they should be."""
    runs = []
    for feeds in (first, second):
        with watched(module) as events:
            call([feed.clone() for feed in feeds])
        runs.append(list(events))
    for one, other in zip(*runs, strict=False):
        if one.path != other.path or len(one.tensors) != len(other.tensors):
            return f"the forward of {_named(one.parent, module)}, which runs another way the second time"
        if one.entering and not one.path:
            continue
        if not all(alike(array(a), array(b)) for a, b in zip(one.tensors, other.tensors, strict=True)):
            if one.entering:
                return f"the forward of {_named(one.parent, module)}, before it calls {one.path!r}"
            return f"{one.path!r} ({one.kind})" if one.path else f"the forward of {_named('', module)}, after its last layer"
    return f"the forward of {_named('', module)}"


def _named(path: str, module: Any) -> str:
    return f"{path!r} ({type(module.get_submodule(path)).__name__})" if path else f"the model itself ({type(module).__name__})"


def _tensors(value: Any) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().clone() for _, tensor in flatten(value))


def array(tensor: Tensor) -> Array:
    """The values of ``tensor``; a type that arrays do not have becomes float32."""
    plain = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    values: Array = plain.detach().cpu().numpy()
    return values
