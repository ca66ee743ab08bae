"""The inputs of a PyTorch module's ``forward``: as the user, the samples, the file or its first layer states them, in that order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from roadworthy.build.sources.input_syntax import option
from roadworthy.build.sources.inputs import agree, listed, of_samples, refuse_unknown_rank, with_samples
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.samples.fixed import fitted
from roadworthy.build.sources.torch import argument_forms
from roadworthy.core.errors import UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import BATCH, BoundInput, TensorSpec
from roadworthy.frameworks.torch import traversal
from roadworthy.frameworks.torch.calling import Arguments, Leaf

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
    if not said and samples and len(given) == 1 and not opened.inputs:
        names = argument_forms.required(opened.module) or _first(opened.module, given[0].name)
        given = tuple(replace(spec, name=name) for spec, name in zip(given, names, strict=False))
    if opened.inputs:
        given = agree(opened.inputs, given) if said else opened.inputs
    given = with_samples(given, samples)
    if len({spec.name for spec in given}) != len(given):
        raise UsageError(f"two inputs have one name: {listed(given)}")
    refuse_unknown_rank(given)
    order = [spec.name for spec in opened.inputs] or [parameter.name for parameter in argument_forms.parameters(opened.module)]
    return _in_order(given, order)


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
    left = tuple(name for name in (own or argument_forms.required(opened.module)) if name not in names)
    if not said and len(given) == len(left) == 1:
        given = (replace(given[0], name=left[0]),)
    if rest:
        given = agree(rest, given) if said else rest
    given = with_samples(given, samples)
    refuse_unknown_rank(given)
    specs = (*given, *(fitted(one, own[one.name]).spec if one.name in own else one.spec for one in bound))
    order = [*known, *(parameter.name for parameter in argument_forms.parameters(opened.module))]
    return _in_order(specs, order)


def _first(module: Any, given: str) -> tuple[str, ...]:
    """The name of the only input of a module whose parameters all have defaults: ``given`` where one is called so, else the first."""
    names = argument_forms.positional(module)
    return (given,) if given in names else names[:1]


def _in_order(specs: tuple[TensorSpec, ...], order: list[str]) -> tuple[TensorSpec, ...]:
    """``specs`` in the order of the call, where that names them all; else as they are."""
    known = {spec.name for spec in specs} <= set(order)
    return tuple(sorted(specs, key=lambda spec: order.index(spec.name))) if known else specs


def _accepted(module: Any) -> tuple[str, ...]:
    """The names of all parameters of ``forward``, those with a default too; empty where it takes any number."""
    found = argument_forms.parameters(module)
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in found):
        return ()
    return tuple(parameter.name for parameter in found)


def forms(opened: Opened, specs: tuple[TensorSpec, ...], bound: tuple[BoundInput, ...] = ()) -> tuple[Arguments, ...]:
    """The ways to call the module with ``specs``, of which the ``bound`` ones are constants.

    Raises UsageError where they do not fit the parameters of its forward, or a text is bound.
    """
    if opened.arguments is not None:
        found: tuple[Arguments, ...] = (opened.arguments,)
    else:
        found = argument_forms.forms(opened.module, tuple(spec.name for spec in specs))
    if not found:
        names = ", ".join(parameter.name for parameter in argument_forms.parameters(opened.module)) or "nothing"
        raise UsageError(f"the model's forward takes {names}; only {listed(specs)} was given, say each with its own --input")
    constants = _constants(opened.module, specs, bound)
    return tuple(form.with_constants(constants) for form in found) if constants else found


def _constants(module: Any, specs: tuple[TensorSpec, ...], bound: tuple[BoundInput, ...]) -> dict[int, Leaf]:
    """The ``bound`` ones by their positions among ``specs``."""
    values = {one.name: one for one in bound}
    constants = {}
    for position, spec in enumerate(specs):
        one = values.get(spec.name)
        if one is None:
            continue
        if isinstance(one.value, bytes):
            raise UsageError(f"{one.spec}: a PyTorch model takes no text")
        constants[position] = (
            Leaf(value=one.value)
            if _takes_number(module, one.name)
            else Leaf(None, one.value, one.dtype, tuple(size for size in spec.shape if isinstance(size, int)))
        )
    return constants


def _takes_number(module: Any, name: str) -> bool:
    """Whether the parameter ``name`` of ``forward`` is stated to be a number of Python's own, and no tensor."""
    if isinstance(module, torch.jit.ScriptModule):
        return any(argument.name == name and str(argument.type) in NUMBERS for argument in module.forward.schema.arguments)
    annotation = next((one.annotation for one in argument_forms.parameters(module) if one.name == name), None)
    return (annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")) in NUMBERS


def example(module: Any) -> str:
    """``--input 'name:dtype[...]'`` with what the first layer knows, and words for what the user must state."""
    name = (argument_forms.required(module) or ("x",))[0]

    def written(dtype: str, *sizes: int) -> str:
        return option(TensorSpec(name, dtype, (BATCH, *sizes)))

    for layer in traversal.parts(module):
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
    names = argument_forms.required(module)
    first = next((layer for layer in traversal.parts(module) if traversal.own_parameters(layer)), None)
    if len(names) == 1 and isinstance(first, torch.nn.Linear):
        return (TensorSpec(names[0], "float32", (BATCH, first.in_features)),)
    return ()
