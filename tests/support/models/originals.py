"""Originals for the tests of capture: a module written the way loading writes it, with real-looking samples beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from roadworthy.build.capture import Captured, CaptureRequest, try_routes
from roadworthy.core import samples
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.calling import TorchCall, by_position

COUNT = 24
Script = Callable[[torch.nn.Module], Any]


@dataclass(frozen=True)
class Original:
    """A module on disk, and the live one to compare with."""

    module: torch.nn.Module
    graph: Graph
    samples: SampleSet

    def capture(self, format: str, out: Path, doubts: tuple[str, ...] = (), exported: Path | None = None) -> Captured:
        return try_routes.capture(self.request(format, out, doubts, exported))

    def request(self, format: str, out: Path, doubts: tuple[str, ...] = (), exported: Path | None = None) -> CaptureRequest:
        return CaptureRequest(self.graph, format, self.samples, out / format, doubts, exported)


def original(
    folder: Path,
    module: torch.nn.Module,
    inputs: Mapping[str, Array],
    outputs: tuple[TensorSpec, ...],
    *,
    form: str = "module",
    batch: int | str = BATCH,
) -> Original:
    """``module`` saved in ``folder`` as it is, as a script, or as a program; ``inputs`` are samples, first dimension free."""
    signature = Signature(
        tuple(TensorSpec(name, array.dtype.name, (batch, *array.shape[1:])) for name, array in inputs.items()),
        tuple(replace(spec, shape=(batch, *spec.shape[1:])) for spec in outputs),
    )
    call = TorchCall(
        by_position(len(inputs)),
        tuple(spec.name for spec in outputs),
        plain=len(inputs) == 1 and [spec.name for spec in outputs] == ["output"],
    )
    if form == "script":
        path = torch_module.save(quietly(torch.jit.script, module), folder, call=call)
    elif form == "program":
        dim = torch.export.Dim("batch", min=1)
        example = tuple(torch.from_numpy(array[:3].copy()) for array in inputs.values())
        program = torch.export.export(module, example, dynamic_shapes=tuple({0: dim} for _ in inputs))
        path = torch_module.save(module, folder, program=program, call=call)
    else:
        path = torch_module.save(module, folder, call=call)
    return Original(module, Graph("module", path, signature, "as loaded"), samples.write(folder / "samples", inputs))


def images(*, centre: float = 0.0) -> dict[str, Array]:
    """Noise as 8x8 grey images: float32 [24, 1, 8, 8] under the name "image"."""
    noise = np.random.default_rng(0).standard_normal((COUNT, 1, 8, 8)) + centre
    return {"image": noise.astype(np.float32)}


def output(*sizes: int) -> tuple[TensorSpec, ...]:
    """The one output of a plain module."""
    return (TensorSpec("output", "float32", (BATCH, *sizes)),)


def quietly(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call torch without its warnings that older ways are deprecated."""
    from roadworthy.build.capture import exporter_output

    with exporter_output.listening():
        return function(*arguments, **options)
