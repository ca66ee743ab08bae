"""A live model in the caller's own process: its framework, the names of its inputs, and how it becomes a file for other processes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roadworthy.build.sources.hub import folder as hub
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
    if framework_of(model) == "torch":
        from roadworthy.build.sources.torch import argument_forms

        return argument_forms.positional(model, required_only=True)
    found = inspect.signature(getattr(model, "call", None) or model.__call__).parameters
    return tuple(name for name in parameters(model) if name not in found or found[name].default is inspect.Parameter.empty)


def labels(model: Any) -> tuple[str, ...]:
    """The names of the classes that a live model of transformers or timm carries; empty for any other."""
    stated = getattr(model, "config", None)
    if (named := getattr(stated, "id2label", None)) is not None:
        return hub.labels_in({"id2label": named})
    carried = getattr(model, "pretrained_cfg", None)
    return hub.labels_in(carried) if isinstance(carried, Mapping) else ()


def float_type(model: Any) -> str:
    """The dtype of a live model's floats: float64 where all its weights have it, else float32."""
    if framework_of(model) == "torch":
        from roadworthy.frameworks.torch import traversal

        weights: Any = traversal.tensors(model) if hasattr(model, "_modules") else ()
    else:
        weights = getattr(model, "variables", ())
    kinds = {str(getattr(weight.dtype, "name", weight.dtype)).removeprefix("torch.") for weight in weights}
    return "float64" if "float64" in kinds and not kinds & {"float32", "float16", "bfloat16"} else "float32"


def parameters(model: Any) -> tuple[str, ...]:
    """The names of a live model's inputs, in the order of its call."""
    if framework_of(model) != "torch":
        from roadworthy.build.sources.keras import live

        return live.parameters(model)
    from roadworthy.build.sources.torch import argument_forms

    return argument_forms.positional(model)


def named_examples(model: Any, examples: Any) -> dict[str, Any]:
    """``examples`` (one, several by position, or a mapping by name) by the names of the inputs.

    An example that holds others gives them names such as ``user.age`` and ``pair.0``; where it is the only one, a mapping's own keys
    are the names. Raises UsageError where there are more than the model takes.
    """
    if not isinstance(examples, Mapping):
        several = examples if isinstance(examples, tuple | list) else (examples,)
        names = parameters(model)
        if len(names) < len(several):
            raise UsageError(f"there are {len(several)} example inputs, and {type(model).__name__} takes {len(names)}: {', '.join(names)}")
        examples = dict(zip(names, several, strict=False))
    alone = next(iter(examples.values())) if len(examples) == 1 else None
    return dict(_leaves(alone if isinstance(alone, Mapping) else examples, ""))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Mappings and tuples hold examples; a list is one array."""
    if not isinstance(value, Mapping | tuple):
        yield name, value
        return
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from _leaves(item, f"{name}.{key}" if name else str(key))
