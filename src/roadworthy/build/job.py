"""What the user asked for, as data: one deployment can be written down and run again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roadworthy.core.types import Range, TensorSpec

Objective = Literal["latency", "throughput", "size", "memory"]


@dataclass(frozen=True)
class Job:
    """One call of ``roadworthy deploy``.

    ``signature`` names one of several that the source offers, ``outputs`` the tensors to answer with where it does not say.
    ``ranges`` are the values that inputs may hold, where the user states them: made-up samples keep to them, and data must.
    ``data`` is a folder, an ``.npz``, ``module:callable``, or arrays; ``preprocess`` a preset's name or a TOML file; ``metric``
    of ``None`` is top-1 where there are labels, else agreement with the original. ``max_drop`` is a share of the metric, absolute:
    0.01 is one percent. ``runtimes``, ``precisions`` and ``plans`` narrow the search; empty means everything this host can do.
    ``samples`` caps the evaluation data. ``seconds`` bounds the whole deployment, ``memory_mb`` each step's process (0: most of the host).
    """

    source: Path
    output: Path
    arch: str | None = None
    signature: str = ""
    outputs: tuple[str, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    ranges: tuple[Range, ...] = ()
    data: str | None = None
    labels: Path | None = None
    preprocess: str | None = None
    metric: str | None = None
    max_drop: float = 0.01
    objective: Objective = "latency"
    runtimes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    samples: int | None = None
    seconds: float = 1800.0
    memory_mb: int = 0
    name: str = ""
    version: str = "1"
    trust: bool = False
    allow_training: bool = False
    allow_framework: bool = False
