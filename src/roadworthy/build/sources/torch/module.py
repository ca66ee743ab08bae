"""A PyTorch original: from a live module to a file with a proven signature."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from roadworthy.build.sources import Loaded, infer_signature, inference_mode
from roadworthy.build.sources.model import Model, Opened, SameAnswer
from roadworthy.build.sources.samples import fixed as bound_inputs
from roadworthy.build.sources.samples.made import Making
from roadworthy.build.sources.samples.table_rows import TableRows
from roadworthy.build.sources.torch import forward, layer_hooks, quantised, states, tables, weights
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Source
from roadworthy.core.text import first_line
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.module import FixedArgument, TorchCall


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
    module = _unwrapped(opened.module)
    notes = (*opened.notes, *(weights.to_float32(module) if opened.program is None else ()), *_fold(module))
    proofs = (*opened.proofs, _to_inference(module, graph=opened.program is not None, allow=allow))
    said, bound = bound_inputs.split(said, making.stated)
    everything = forward.resolve(replace(opened, module=module), said, samples, bound)
    specs = tuple(spec for spec in everything if spec.name not in {one.name for one in bound})
    live = _Live(module, specs, forward.keywords(module, everything), forward.fixed(module, everything, bound))

    def keep(signature: Signature, directory: Path) -> Graph:
        plain = live.plain and len(everything) == 1 and not live.keywords
        convention = TorchCall(live.keywords, tuple(spec.name for spec in signature.outputs), plain, live.fixed)
        path = torch_module.save(module, directory, program=opened.program, call=convention)
        return Graph("module", path, signature, route="the original", precision=quantised.precision(module))

    notes = (*notes, *bound_inputs.notes(bound))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    free = samples is not None and not (said or opened.inputs)
    model = Model(
        live.call, specs, keep, parameters, _seed, live.locate, proofs, notes,
        free=free, states=lambda: states.of(module), neighbours=quantised.neighbours(module), tables=live.tables,
    )  # fmt: skip
    shapes = {spec.name: shape for spec, shape in zip(said, examples, strict=False)}
    ordered = [shapes[spec.name] for spec in specs if spec.name in shapes]
    with torch.random.fork_rng(devices=[]):
        return infer_signature.prove_and_keep(model, said, samples, out, allow=allow, making=making, examples=ordered)


class _Live:
    """A module that takes and gives arrays by name. Its outputs have the names that ``flatten`` gives them.

    ``plain`` says that its latest answer was one bare tensor.
    """

    def __init__(self, module: Any, specs: tuple[TensorSpec, ...], keywords: tuple[str, ...], fixed: tuple[FixedArgument, ...]) -> None:
        self.module, self.specs, self.keywords, self.fixed = module, specs, keywords, fixed
        self.plain = False

    def tensors(self, feeds: Arrays) -> list[Tensor]:
        return [torch.from_numpy(feeds[spec.name].copy()) for spec in self.specs]

    def forward(self, tensors: list[Tensor]) -> Any:
        given = torch_module.with_fixed(tensors, self.fixed)
        with torch.no_grad():
            return self.module(**dict(zip(self.keywords, given, strict=True))) if self.keywords else self.module(*given)

    def call(self, feeds: Arrays) -> dict[str, Array]:
        """Every tensor of the module's answer by name; SourceError naming the layer and the shapes when it raises."""
        try:
            answer = self.forward(self.tensors(feeds))
            found = list(torch_module.flatten(answer))
        except Exception as problem:
            words = layer_hooks.explain(self.forward, self.tensors(feeds), self.module, self.specs, problem)
            raise SourceError(words, detail=str(problem)) from problem
        if len(dict(found)) != len(found):
            raise SourceError(f"the model gives two outputs of one name: {', '.join(name for name, _ in found)}")
        if not found:
            raise SourceError("the model's answer holds no tensor")
        if odd := [f"{name!r} ({tensor.dtype})" for name, tensor in found if tensor.dtype == torch.bfloat16]:
            raise SourceError(f"the model gives {', '.join(odd)}, a type that arrays do not have; make it float32 in forward")
        self.plain = isinstance(answer, Tensor)
        return {name: layer_hooks.array(tensor) for name, tensor in found}

    def tables(self, feeds: Arrays) -> dict[str, int]:
        """How many rows the tables have that an input chooses from."""
        rows = TableRows(feeds)
        with tables.Watched(rows):
            self.forward(self.tensors(feeds))
        return rows.found

    def locate(self, first: Arrays, second: Arrays, same: SameAnswer) -> str:
        """The part of the module whose answers begin to differ."""
        return layer_hooks.locate(self.forward, self.module, self.tensors(first), self.tensors(second), same)


def _seed(seed: int) -> None:
    torch.manual_seed(seed)


def _to_inference(module: Any, *, graph: bool, allow: bool) -> str:
    """Put ``module`` into inference mode; NotInference names the parts that stay in training mode."""
    if graph:
        return "a captured graph has no modes: what it does was tested"
    module.eval()
    stuck = [
        f"{path or 'the model itself'!r} ({type(part).__name__})"
        for path, part in module.named_modules()
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
        path = torch_module.save(_ready(_unwrapped(module)), out)
    else:
        raise UsageError(f"{type(module).__name__} is neither a torch.nn.Module nor an ExportedProgram; pass the model itself")
    data = path.read_bytes()
    return Source(path, kind, "torch", hashlib.sha256(data).hexdigest(), len(data), trust=True)


def _ready(module: Any) -> Any:
    """``module`` itself where it can be written as it is, else a copy that can: on the CPU, without parametrizations."""
    parametrized = any(parametrize.is_parametrized(part) for part in module.modules())
    if not parametrized and all(tensor.device.type == "cpu" for tensor in (*module.parameters(), *module.buffers())):
        return module
    try:
        copied = copy.deepcopy(module).to("cpu")
    except RuntimeError as problem:
        raise SourceError(f"{type(module).__name__} cannot be copied: {first_line(problem)}", detail=str(problem)) from problem
    _fold(copied)
    return copied


def _unwrapped(module: Any) -> Any:
    """Without the wrappers of training: torch.compile, DataParallel, DistributedDataParallel."""
    while True:
        if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := dict(module.named_children()).get("_orig_mod"), torch.nn.Module):
            module = inner
        else:
            return module


def _fold(module: Any) -> tuple[str, ...]:
    """Replace each parametrized weight by its value: a parametrized module cannot be pickled, and computes the weight in every call."""
    folded = 0
    for part in [part for part in module.modules() if parametrize.is_parametrized(part)]:
        # A copy shares the class that torch made for the original, and removing takes attributes off that class.
        made = type(part)
        part.__class__ = type(made.__name__, made.__bases__, {k: v for k, v in vars(made).items() if k not in ("__dict__", "__weakref__")})
        for name in list(part.parametrizations):
            parametrize.remove_parametrizations(part, name, leave_parametrized=True)
            folded += 1
    return (f"{folded} parametrized weights (weight_norm, for example) were replaced by their values",) if folded else ()
