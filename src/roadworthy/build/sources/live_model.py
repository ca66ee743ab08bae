"""A live model in the caller's own process: its framework, the names of its inputs, and how it becomes a file for other processes."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from roadworthy.build.sources.identify import identify
from roadworthy.core.errors import UsageError
from roadworthy.core.stages import Source
from roadworthy.core.types import TensorSpec


def save(model: Any, out: Path, inputs: tuple[TensorSpec, ...]) -> Source:
    """``model`` as a trusted source in ``out``; see ``sources.save_live``."""
    framework = framework_of(model)
    if framework == "torch":
        from roadworthy.build.sources.torch import module

        return module.from_live(model, out)
    from roadworthy.build.sources.keras import live

    path = (live.save_module if framework == "tensorflow" else live.save)(model, inputs, out)
    return identify(path, trust=True)


def framework_of(model: Any) -> str:
    """The package whose class a live model is: keras, tf_keras, torch or tensorflow; UsageError for any other.

    Nothing is imported. A Keras model counts as Keras whatever its backend is: with PyTorch it is a torch.nn.Module too.
    """
    roots = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    for package in ("keras", "tf_keras", "torch", "tensorflow"):
        if package in roots:
            return package
    raise UsageError(
        f"{type(model).__name__} is not a model of PyTorch, Keras or TensorFlow; pass the model itself, or the path of its file"
    )


def required(model: Any) -> tuple[str, ...]:
    """The names of the inputs that a live model cannot do without, in the order of its call."""
    call = getattr(model, "forward", None) if framework_of(model) == "torch" else getattr(model, "call", None) or model.__call__
    found = inspect.signature(call).parameters if call is not None else {}
    return tuple(name for name in parameters(model) if name not in found or found[name].default is inspect.Parameter.empty)


def float_type(model: Any) -> str:
    """The dtype of a live model's floats: float64 where all its weights have it, else float32."""
    torch = framework_of(model) == "torch"
    weights = [*model.parameters(), *model.buffers()] if torch and hasattr(model, "buffers") else getattr(model, "variables", ())
    kinds = {str(getattr(weight.dtype, "name", weight.dtype)).removeprefix("torch.") for weight in weights}
    return "float64" if "float64" in kinds and not kinds & {"float32", "float16", "bfloat16"} else "float32"


def parameters(model: Any) -> tuple[str, ...]:
    """The names of a live model's inputs, in the order of its call."""
    if framework_of(model) != "torch":
        from roadworthy.build.sources.keras import live

        return live.parameters(model)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    forward = getattr(model, "forward", None)
    found = inspect.signature(forward).parameters.items() if forward is not None else ()
    return tuple(name for name, parameter in found if parameter.kind in kinds) or ("input",)
