"""What is known of a PyTorch module before its signature is: its parameters, and a call."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter
from typing import Any

import torch

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.samples.fit import Taker
from roadworthy.build.sources.torch import argument_forms
from roadworthy.build.sources.torch.live_module import LiveModule
from roadworthy.core.types import Array, TensorSpec
from roadworthy.frameworks.torch import traversal


def taker(opened: Opened, said: tuple[TensorSpec, ...]) -> Taker:
    """How the module of ``opened`` takes samples; ``said`` are the inputs that the user stated, maybe none."""
    names = argument_forms.required(opened.module)

    def call(feeds: Mapping[str, Array]) -> Any:
        traversal.to_inference(opened.module)
        specs = tuple(TensorSpec(name, str(array.dtype), array.shape) for name, array in feeds.items())
        forms = argument_forms.forms(opened.module, tuple(feeds))
        with torch.random.fork_rng(devices=[]):
            return LiveModule(opened.module, specs, forms).call(feeds)

    return Taker(opened.inputs or said, names, call, _optional(opened.module, names))


def _optional(module: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """The parameters of ``forward`` that have a default."""
    fixed = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return tuple(one.name for one in argument_forms.parameters(module) if one.kind not in fixed and one.name not in names)
