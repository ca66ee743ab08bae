"""The layers of a PyTorch module while it runs, by forward hooks: what each takes and gives, which one raises, where two runs differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roadworthy.build.sources.layer_events import LayerEvent, first_difference
from roadworthy.build.sources.model import SameAnswer
from roadworthy.build.sources.torch import messages
from roadworthy.core.types import Array, TensorSpec
from roadworthy.frameworks.torch import calling, traversal

WANTS = {
    "Linear": "in_features", "Conv1d": "in_channels", "Conv2d": "in_channels", "Conv3d": "in_channels", "ConvTranspose2d": "in_channels",
    "BatchNorm1d": "num_features", "BatchNorm2d": "num_features", "BatchNorm3d": "num_features", "LayerNorm": "normalized_shape",
    "GroupNorm": "num_channels", "LSTM": "input_size", "GRU": "input_size", "MultiheadAttention": "embed_dim",
}  # fmt: skip
"""The attribute of each kind of layer that says what size it takes."""

Forward = Callable[[list[Tensor]], Any]


def watchable(module: Any) -> bool:
    """Whether ``module`` runs as layers; a captured graph and a TorchScript module do not."""
    return not isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule)


@contextmanager
def watched(module: Any, see: Callable[[LayerEvent], None]) -> Iterator[None]:
    """``see`` gets an event at the begin and the end of every forward inside the block, in order. The root module's name is empty."""
    running: list[str] = []
    handles: list[Any] = []

    def hooks(name: str, part: Any) -> tuple[Callable[..., None], Callable[..., None]]:
        kind = type(part).__name__

        def begin(_: Any, arguments: Any, options: Any) -> None:
            see(LayerEvent(part, name, kind, running[-1] if running else None, True, _arrays((arguments, options))))
            running.append(name)

        def end(_: Any, arguments: Any, answer: Any) -> None:
            running.pop()
            see(LayerEvent(part, name, kind, running[-1] if running else None, False, _arrays(answer)))

        return begin, end

    for name, part in traversal.named_parts(module) if watchable(module) else ():
        if not isinstance(part, torch.jit.ScriptModule):
            begin, end = hooks(name, part)
            handles += [part.register_forward_pre_hook(begin, with_kwargs=True), part.register_forward_hook(end)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def explain(forward: Forward, feeds: list[Tensor], module: Any, specs: tuple[TensorSpec, ...], problem: Exception) -> str:
    """Why the model does not take ``feeds``, in words: the layer that raised, what it got and what it wants."""
    given = ", ".join(f"{spec.name}:{spec.dtype}{list(feed.shape)}" for spec, feed in zip(specs, feeds, strict=True))
    return f"the model does not take {given}: {_place(_raising(forward, feeds, module), module)}{messages.reason(problem)}"


def _raising(forward: Forward, feeds: list[Tensor], module: Any) -> LayerEvent | None:
    """The begin of the innermost call that had not ended when ``forward`` raised."""
    unfinished: list[LayerEvent] = []

    def see(event: LayerEvent) -> None:
        if event.begins:
            unfinished.append(event)
        else:
            unfinished.pop()

    with watched(module, see):
        try:
            forward(feeds)
        except Exception:
            return unfinished[-1] if unfinished else None
    return None


def _place(event: LayerEvent | None, module: Any) -> str:
    if event is None or not event.name:
        return ""
    attribute = WANTS.get(event.kind)
    wants = f" and wants {attribute} = {getattr(torch.nn.Module.get_submodule(module, event.name), attribute)}" if attribute else ""
    return f"layer {event.name!r} ({event.kind}) got {', '.join(str(list(array.shape)) for array in event.arrays)}{wants}: "


def locate(forward: Forward, module: Any, first: list[Tensor], second: list[Tensor], same: SameAnswer) -> str:
    """The part of the module whose answers begin to differ between two runs, in words; ``same`` says which answers agree."""
    runs: list[list[LayerEvent]] = []
    for feeds in (first, second):
        runs.append([])
        with watched(module, runs[-1].append):
            forward([feed.clone() for feed in feeds])
    return first_difference(runs[0], runs[1], same, lambda name: f"the forward of {_named(name or '', module)}")


def _named(name: str, module: Any) -> str:
    return (
        f"{name!r} ({type(torch.nn.Module.get_submodule(module, name)).__name__})"
        if name
        else f"the model itself ({type(module).__name__})"
    )


def _arrays(value: Any) -> tuple[Array, ...]:
    """Copies of the tensors in ``value``: a layer may write into what it was given. Tensors that arrays cannot hold are left out."""
    try:
        return tuple(np.array(array(tensor)) for _, tensor in calling.tensors(value))
    except (RuntimeError, TypeError):
        return ()


def array(tensor: Tensor) -> Array:
    """The values of ``tensor``; a type that arrays do not have becomes float32."""
    plain = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    values: Array = plain.detach().cpu().numpy()
    return values
