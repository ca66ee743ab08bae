"""The inputs of a PyTorch module's ``forward``: as the user, the samples, the file or its first layer states them, in that order."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import torch

from roadworthy.build.sources.input_syntax import option
from roadworthy.build.sources.inputs import agree, listed, of_samples, refuse_unknown_rank, with_samples
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.samples.fixed import fitted
from roadworthy.core.errors import UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import BATCH, BoundInput, TensorSpec
from roadworthy.frameworks.torch.module import FixedArgument

NUMBERS = ("int", "float", "bool")
GUESSES = {
    "Conv1d": ((1000,), "your own length"),
    "Conv2d": ((224, 224), "your own height and width"),
    "Conv3d": ((16, 112, 112), "your own depth, height and width"),
}


def resolve(
    opened: Opened, said: tuple[TensorSpec, ...], samples: SampleSet | None, bound: tuple[BoundInput, ...] = ()
) -> tuple[TensorSpec, ...]:
    """The inputs in the order of the call, ``bound`` ones of fixed values among them, and none of those in ``said``.

    Raises UsageError, with an example filled in as far as known, where nothing states them.
    """
    if bound:
        return _with_bound(opened, said, samples, bound)
    given = said or of_samples(samples) or opened.inputs or _of_first_linear(opened.module)
    if not given:
        raise UsageError(f"what the model takes cannot be known from its file; say it, for example {example(opened.module)}")
    if not said and samples and len(given) == 1:
        given = tuple(replace(spec, name=name) for spec, name in zip(given, parameters(opened.module) or (given[0].name,), strict=False))
    if opened.inputs:
        given = agree(opened.inputs, given) if said else opened.inputs
    given = with_samples(given, samples)
    refuse_unknown_rank(given)
    return _ordered(given, parameters(opened.module))


def _with_bound(
    opened: Opened, said: tuple[TensorSpec, ...], samples: SampleSet | None, bound: tuple[BoundInput, ...]
) -> tuple[TensorSpec, ...]:
    names = {one.name for one in bound}
    own = {spec.name: spec for spec in opened.inputs}
    known = tuple(own) or _accepted(opened.module)
    if stray := [one.name for one in bound if known and one.name not in known]:
        raise UsageError(f"the model has no input {stray[0]!r}; it takes {', '.join(known)}")
    rest = tuple(spec for spec in opened.inputs if spec.name not in names)
    given = said or of_samples(samples) or rest
    if not given:
        raise UsageError(
            f"what the model takes beside {', '.join(names)} cannot be known from its file; say it, for example {example(opened.module)}"
        )
    left = tuple(name for name in (own or parameters(opened.module)) if name not in names)
    if not said and len(given) == len(left) == 1:
        given = (replace(given[0], name=left[0]),)
    if rest:
        given = agree(rest, given) if said else rest
    given = with_samples(given, samples)
    refuse_unknown_rank(given)
    specs = (*given, *(fitted(one, own[one.name]).spec if one.name in own else one.spec for one in bound))
    order = tuple(name for name in known if name in {spec.name for spec in specs})
    return _ordered(specs, order) if len(order) == len(specs) else _ordered(specs, parameters(opened.module))


def _accepted(module: Any) -> tuple[str, ...]:
    """The names of all parameters of ``forward``, those with a default too; empty where it takes any number."""
    if isinstance(module, torch.jit.ScriptModule):
        return tuple(argument.name for argument in module.forward.schema.arguments[1:])
    found = inspect.signature(module.forward).parameters.values()
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in found):
        return ()
    return tuple(parameter.name for parameter in found)


def fixed(module: Any, specs: tuple[TensorSpec, ...], bound: tuple[BoundInput, ...]) -> tuple[FixedArgument, ...]:
    """The ``bound`` ones among the inputs ``specs``, which are in the order of the call, as its arguments; DataError for byte strings."""
    values = {one.name: one for one in bound}
    return tuple(
        FixedArgument(position, one.dtype, one.shape, _number(one), number=_takes_number(module, one.name))
        for position, spec in enumerate(specs)
        if (one := values.get(spec.name)) is not None
    )


def _number(one: BoundInput) -> int | float | bool:
    if isinstance(one.value, bytes):
        raise UsageError(f"{one.spec}: a PyTorch model takes no text")
    return one.value


def _takes_number(module: Any, name: str) -> bool:
    """Whether the parameter ``name`` of ``forward`` is stated to be a number of Python's own, and no tensor."""
    if isinstance(module, torch.jit.ScriptModule):
        return any(argument.name == name and str(argument.type) in NUMBERS for argument in module.forward.schema.arguments)
    found = inspect.signature(module.forward).parameters.get(name)
    annotation = None if found is None else found.annotation
    return (annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")) in NUMBERS


def parameters(module: Any) -> tuple[str, ...]:
    """The names of the parameters of ``forward`` that have no default; empty where it takes any number."""
    if isinstance(module, torch.jit.ScriptModule):
        return tuple(argument.name for argument in module.forward.schema.arguments[1:] if not argument.has_default_value())
    found = inspect.signature(module.forward).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in found):
        return ()
    return tuple(
        parameter.name for parameter in found if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    )


def keywords(module: Any, specs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    """The parameters that the inputs go to by name; empty when they can go by position."""
    names = tuple(spec.name for spec in specs)
    if isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule):
        return ()
    known = tuple(inspect.signature(module.forward).parameters)
    return names if set(names) <= set(known) and names != known[: len(names)] else ()


def example(module: Any) -> str:
    """``--input 'name:dtype[...]'`` with what the first layer knows, and words for what the user must state."""
    name = (parameters(module) or ("x",))[0]

    def written(dtype: str, *sizes: int) -> str:
        return option(TensorSpec(name, dtype, (BATCH, *sizes)))

    for layer in module.modules():
        kind, channels = type(layer).__name__, getattr(layer, "in_channels", 0)
        if kind in GUESSES:
            sizes, words = GUESSES[kind]
            return f"{written('float32', channels, *sizes)} with {words} in place of {','.join(map(str, sizes))}"
        if isinstance(layer, torch.nn.Embedding):
            return f"{written('int64', 128)} with your own length in place of 128"
        if isinstance(layer, torch.nn.Linear):
            return written("float32", layer.in_features)
    return f"{written('float32', 3, 224, 224)} with your own sizes"


def _of_first_linear(module: Any) -> tuple[TensorSpec, ...]:
    names = parameters(module)
    first = next((layer for layer in module.modules() if next(layer.parameters(recurse=False), None) is not None), None)
    if len(names) == 1 and isinstance(first, torch.nn.Linear):
        return (TensorSpec(names[0], "float32", (BATCH, first.in_features)),)
    return ()


def _ordered(given: tuple[TensorSpec, ...], names: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """In the order of ``forward``'s own parameters, where the names are theirs; otherwise in the given order."""
    by_name = {spec.name: spec for spec in given}
    if len(by_name) != len(given):
        raise UsageError(f"two inputs have one name: {listed(given)}")
    if names and len(given) < len(names):
        raise UsageError(f"the model's forward takes {', '.join(names)}; only {listed(given)} was given, say each with its own --input")
    return tuple(by_name[name] for name in names) if set(names) == set(by_name) else given
