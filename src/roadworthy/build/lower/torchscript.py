"""A frozen TorchScript archive: weights as constants, BatchNorm folded into the convolutions."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from roadworthy.core.errors import StepFailed
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.text import first_line

ACCEPTS = ("jit",)
MODEL = "model.ts"


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """Frozen, and optimised for inference on top, in the precision that the model came in."""
    yield Plan("torchscript", graph.precision, threads=host.cores, flavour="frozen")
    yield Plan("torchscript", graph.precision, threads=host.cores, flavour="optimized")


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write ``out/model.ts``, frozen. What ``optimized`` adds belongs to one CPU and is done when it loads.

    Raises StepFailed where the archive cannot be frozen.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*torch\.jit.* is (deprecated|not supported)", category=DeprecationWarning)
            module = torch.jit.load(str(graph.path), map_location="cpu")
            frozen = torch.jit.freeze(module.eval()) if hasattr(module, "training") else module
            torch.jit.save(frozen, str(out / MODEL))
    except RuntimeError as problem:
        raise StepFailed(f"TorchScript could not freeze {graph.path.name}: {first_line(problem)}", detail=repr(problem)) from problem
