"""A PyTorch original: from a live module to a file with a proven signature."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import parametrize

from roadworthy.build.sources import Loaded, infer_signature, inference_mode
from roadworthy.build.sources.model import Model, Opened
from roadworthy.build.sources.pixels import torch_parts
from roadworthy.build.sources.samples import fixed as bound_inputs
from roadworthy.build.sources.samples.made import Making
from roadworthy.build.sources.torch import argument_forms, forward, quantised, states, weights
from roadworthy.build.sources.torch.live_module import LiveModule
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Source
from roadworthy.core.text import first_line
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch import traversal
from roadworthy.frameworks.torch.calling import TorchCall
from roadworthy.frameworks.torch.pickles import unwrapped

NUMBERED = re.compile(r"INPUT__(\d)")
"""What Triton calls the inputs of a TorchScript module by their order."""


def in_float32(opened: Opened) -> Opened:
    """``opened`` with every floating weight of its module in float32, and a note; a captured program keeps its own types.

    Raises SourceError for a layer that has no weights yet.
    """
    if opened.program is not None:
        return opened
    module = unwrapped(opened.module)
    _refuse_without_weights(module)
    return replace(opened, module=module, notes=(*opened.notes, *weights.to_float32(module)))


def named_as_called(opened: Opened, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """``inputs`` that a server's configuration states, under the names of the module's own arguments where theirs are numbers."""
    names = argument_forms.positional(opened.module)
    numbers = [NUMBERED.fullmatch(spec.name) for spec in inputs]
    places = [int(number[1]) for number in numbers if number]
    if len(places) < len(inputs) or max(places, default=0) >= len(names):
        return inputs
    return tuple(replace(spec, name=names[place]) for spec, place in zip(inputs, places, strict=True))


def prove_and_save(
    opened: Opened,
    said: tuple[TensorSpec, ...],
    samples: SampleSet | None,
    out: Path,
    *,
    allow: bool,
    making: Making,
    examples: Sequence[tuple[int, ...]] = (),
) -> Loaded:
    """The module of ``opened`` in inference mode, proven, and kept in ``out``; ``samples`` are made up where there are none.

    ``examples`` are the shapes of the arrays that ``said`` was read from, where it was read from example inputs.
    """
    module = unwrapped(opened.module)
    notes = (*opened.notes, *_fold(module))
    proofs = (*opened.proofs, _to_inference(module, graph=opened.program is not None, allow=allow))
    opened = replace(opened, module=module)
    said, bound = bound_inputs.split(said, making.stated)
    everything = forward.resolve(opened, said, samples, bound)
    specs = tuple(spec for spec in everything if spec.name not in {one.name for one in bound})
    live = LiveModule(module, specs, forward.forms(opened, everything, bound))

    def keep(signature: Signature, directory: Path) -> Graph:
        call = TorchCall(live.form, tuple(spec.name for spec in signature.outputs), live.plain)
        path = torch_module.save(module, directory, program=opened.program, call=call)
        return Graph("module", path, signature, route="the original", precision=quantised.precision(module))

    notes = (*notes, *bound_inputs.notes(bound))
    parameters = sum(parameter.numel() for parameter in traversal.parameters(module))
    free = samples is not None and not (said or opened.inputs)
    model = Model(
        live.call, specs, keep, parameters, _seed, live.locate, proofs, notes,
        free=free, states=lambda: states.of(module), neighbours=quantised.neighbours(module), tables=live.tables,
        inner=torch_parts.read(module),
    )  # fmt: skip
    shapes = {spec.name: shape for spec, shape in zip(said, examples, strict=False)}
    ordered = [shapes[spec.name] for spec in specs if spec.name in shapes]
    with torch.random.fork_rng(devices=[]):
        loaded = infer_signature.prove_and_keep(model, said, samples, out, allow=allow, making=making, examples=ordered)
    return replace(loaded, notes=(*loaded.notes, *live.notes))


def _seed(seed: int) -> None:
    torch.manual_seed(seed)


def _refuse_without_weights(module: Any) -> None:
    """SourceError for a lazy layer that was never run: it would draw its weights at the first call."""
    for name, part in traversal.named_parts(module):
        if any(torch.nn.parameter.is_lazy(tensor) for tensor in (*part._parameters.values(), *part._buffers.values())):
            raise SourceError(
                f"the layer {name!r} ({type(part).__name__}) has no weights yet: it takes its size from its first call; "
                "run the model once on an example before you save or deploy it"
            )


def _to_inference(module: Any, *, graph: bool, allow: bool) -> str:
    """Put ``module`` into inference mode; NotInference names the parts that stay in training mode."""
    if graph:
        return "a captured graph has no modes: what it does was tested"
    traversal.to_inference(module)
    stuck = [
        f"{path or 'the model itself'!r} ({type(part).__name__})"
        for path, part in traversal.named_parts(module)
        if getattr(part, "training", False)
    ]
    if stuck:
        more = f" and {len(stuck) - 4} more" if len(stuck) > 4 else ""
        sentence = f"{', '.join(stuck[:4])}{more} {'stays' if len(stuck) == 1 else 'stay'} in training mode after eval()"
        return inference_mode.training_found(sentence, allow)
    return "after eval() no part of the model is in training mode"


def from_live(module: Any, out: Path) -> Source:
    """A copy of ``module`` on the CPU in ``out``, as a trusted source; UsageError for what is not an nn.Module."""
    if isinstance(module, torch.export.ExportedProgram):
        kind, path = "exported", torch_module.save(None, out, program=module)
    elif isinstance(module, torch.nn.Module):
        kind = "jit" if isinstance(module, torch.jit.ScriptModule) else "pickled"
        bare = unwrapped(module)
        _refuse_without_weights(bare)
        path = torch_module.save(_ready(bare), out)
    else:
        raise UsageError(f"{type(module).__name__} is neither a torch.nn.Module nor an ExportedProgram; pass the model itself")
    data = path.read_bytes()
    return Source(path, kind, "torch", hashlib.sha256(data).hexdigest(), len(data), trust=True)


def _ready(module: Any) -> Any:
    """``module`` itself where it can be written as it is, else a copy that can: on the CPU, without parametrizations."""
    parametrized = any(_parametrized(part) for part in traversal.parts(module))
    devices = {tensor.device.type for tensor in traversal.tensors(module)}
    if "meta" in devices:
        raise SourceError(f"{type(module).__name__} has weights on the device 'meta', which holds no values; load its weights first")
    if not parametrized and devices <= {"cpu"}:
        return module
    try:
        copied = copy.deepcopy(module).to("cpu")
    except RuntimeError as problem:
        raise SourceError(f"{type(module).__name__} cannot be copied: {first_line(problem)}", detail=str(problem)) from problem
    _fold(copied)
    return copied


def _fold(module: Any) -> tuple[str, ...]:
    """Replace each parametrized weight by its value: a parametrized module cannot be pickled, and computes the weight in every call."""
    folded = 0
    for part in [part for part in traversal.parts(module) if _parametrized(part)]:
        # A copy shares the class that torch made for the original, and removing takes attributes off that class.
        made = type(part)
        part.__class__ = type(made.__name__, made.__bases__, {k: v for k, v in vars(made).items() if k not in ("__dict__", "__weakref__")})
        for name in list(part.parametrizations):
            parametrize.remove_parametrizations(part, name, leave_parametrized=True)
            folded += 1
    return (f"{folded} parametrized weights (weight_norm, for example) were replaced by their values",) if folded else ()


def _parametrized(part: Any) -> bool:
    return not isinstance(part, torch.jit.ScriptModule) and parametrize.is_parametrized(part)
