"""The inputs of a PyTorch module's ``forward``: as the user, the samples, the file or its first layer states them, in that order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from roadworthy.build.sources.input_syntax import option
from roadworthy.build.sources.inputs import agree, listed, of_samples, refuse_unknown_rank, with_samples
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.torch import argument_forms
from roadworthy.core.errors import UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import BATCH, TensorSpec
from roadworthy.frameworks.torch import traversal
from roadworthy.frameworks.torch.calling import Arguments

GUESSES = {
    "Conv1d": ((1000,), "your own length"),
    "Conv2d": ((224, 224), "your own height and width"),
    "Conv3d": ((16, 112, 112), "your own depth, height and width"),
}


def resolve(opened: Opened, said: tuple[TensorSpec, ...], samples: SampleSet | None) -> tuple[TensorSpec, ...]:
    """The inputs in the order of the call; UsageError, with an example filled in as far as known, where nothing states them."""
    given = said or of_samples(samples) or opened.inputs or _of_first_linear(opened.module)
    if not given:
        raise UsageError(f"what the model takes cannot be known from its file; say it, for example {example(opened.module)}")
    if not said and samples and len(given) == 1 and not opened.inputs:
        names = argument_forms.required(opened.module) or (given[0].name,)
        given = tuple(replace(spec, name=name) for spec, name in zip(given, names, strict=False))
    if opened.inputs:
        given = agree(opened.inputs, given) if said else opened.inputs
    given = with_samples(given, samples)
    if len({spec.name for spec in given}) != len(given):
        raise UsageError(f"two inputs have one name: {listed(given)}")
    refuse_unknown_rank(given)
    order = [spec.name for spec in opened.inputs] or [parameter.name for parameter in argument_forms.parameters(opened.module)]
    return tuple(sorted(given, key=lambda spec: order.index(spec.name))) if {spec.name for spec in given} <= set(order) else given


def forms(opened: Opened, specs: tuple[TensorSpec, ...]) -> tuple[Arguments, ...]:
    """The ways to call the module with ``specs``; UsageError where they do not fit the parameters of its forward."""
    if opened.arguments is not None:
        return (opened.arguments,)
    found = argument_forms.forms(opened.module, tuple(spec.name for spec in specs))
    if not found:
        names = ", ".join(parameter.name for parameter in argument_forms.parameters(opened.module)) or "nothing"
        raise UsageError(f"the model's forward takes {names}; only {listed(specs)} was given, say each with its own --input")
    return found


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
