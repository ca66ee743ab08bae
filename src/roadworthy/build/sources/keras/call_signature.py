"""How a Keras model is called: the names of its inputs and outputs, and what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from roadworthy.build.sources.input_syntax import EXAMPLE_SIZE, option
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.types import BATCH, BYTES, TensorSpec
from roadworthy.frameworks.tensorflow.keras_model import KerasCall, is_functional, is_sequential


def of(model: Any) -> tuple[KerasCall | None, tuple[TensorSpec, ...]]:
    """The call, and the inputs as the model itself states them; neither for a model of the user's own class, which states none.

    Inputs have the names of their Input layers, or the keys of the mapping that the model was built of. Outputs have the names
    of the layers they come from where those differ, or the keys of theirs.
    """
    if not (is_functional(model) or is_sequential(model)) or not model.inputs:
        return None, ()
    tensors, names = list(model.inputs), tuple(_input_names(model))
    if len(set(names)) != len(names):
        raise SourceError(f"two inputs of the model have one name ({', '.join(names)}); give its Input layers different names")
    # A Sequential model that was built by its first call has that call's batch size in its shapes; it takes any other too.
    free = is_sequential(model)
    specs = tuple(_spec(name, tensor, free=free) for name, tensor in zip(names, tensors, strict=True))
    return KerasCall("graph", names, outputs=_output_names(model)), specs


def arguments(model: Any, names: tuple[str, ...]) -> tuple[KerasCall, ...]:
    """The ways in which a model of the user's own class may take inputs of these names, the likeliest first.

    A single input goes to the first parameter of its ``call``, whatever it is called; several go to the parameters of their names or,
    where there is one parameter alone, to that: as one mapping, or as one list. UsageError where there are no such parameters.
    """
    known = parameters(model)
    if len(names) == 1:
        return (KerasCall("arguments", names),)
    if set(names) <= set(known) and known[0] in names:
        return (KerasCall("arguments", tuple(name for name in known if name in names)),)
    if len(known) == 1:
        return KerasCall("mapping", names, keys=names), KerasCall("list", names)
    example = " ".join(option(TensorSpec(name, "float32", (BATCH, EXAMPLE_SIZE))) for name in known[: len(names)])
    raise UsageError(
        f"the model's call takes {', '.join(known)}, and was given {', '.join(names)}; give them these names, for example "
        f"{example} with their own types and sizes"
    )


def parameters(model: Any) -> tuple[str, ...]:
    """The names of what ``call`` takes, apart from modes and masks."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = inspect.signature(model.call).parameters.values()
    return tuple(each.name for each in found if each.kind in kinds and each.name not in ("training", "mask"))


def _input_names(model: Any) -> list[str]:
    structure = model.input if is_functional(model) else None
    keys = {id(tensor): str(key) for key, tensor in structure.items()} if isinstance(structure, Mapping) else {}
    return [keys.get(id(tensor)) or _maker(tensor) for tensor in model.inputs]


def _output_names(model: Any) -> tuple[str, ...]:
    """In the order of the answer; none where its own keys are the names, or the layers' names are not enough."""
    structure = model.output if is_functional(model) else model.outputs[0]
    parts = structure if isinstance(structure, list | tuple) else [structure]
    if any(isinstance(part, Mapping | list | tuple) for part in parts):
        return ()
    names = tuple(_maker(tensor) for tensor in parts)
    return names if len(set(names)) == len(names) else ()


def _maker(tensor: Any) -> str:
    """The name of the layer that gives ``tensor``; a tensor's own may change from one process to the next."""
    history = tensor._keras_history
    return str((history.operation if hasattr(history, "operation") else history.layer).name)


def _spec(name: str, tensor: Any, *, free: bool) -> TensorSpec:
    if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False) or "Tensor" not in type(tensor).__name__:
        raise SourceError(f"input {name!r} is sparse or ragged, which arrays cannot be; make it a dense one")
    dtype = str(getattr(tensor.dtype, "name", tensor.dtype))
    shape = [f"{name}_{axis}" if size is None else int(size) for axis, size in enumerate(tensor.shape)]
    if shape and (free or isinstance(shape[0], str)):
        shape[0] = BATCH
    return TensorSpec(name, BYTES if dtype == "string" else dtype, tuple(shape))
