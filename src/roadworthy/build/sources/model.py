"""What every reader of a source gives: the live model, and what the file itself said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.core.stages import Graph
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec


@dataclass(frozen=True)
class Opened:
    """A live PyTorch module on the CPU; lives only in the child that read it.

    ``inputs`` is the file's own statement of what it takes, empty where it makes none; ``program`` the
    ExportedProgram that the module came from. ``proofs`` and ``notes`` are sentences.
    """

    module: Any
    inputs: tuple[TensorSpec, ...] = ()
    program: Any = None
    proofs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A live model of any framework in inference mode, NumPy in and NumPy out; lives only in the child that read it.

    ``call`` takes arrays by input name and gives arrays by output name. ``inputs`` is the file's own statement of what it
    takes: BATCH first where the number of samples is free, another symbol where it leaves a size open; empty where it makes
    none. ``keep`` writes the original into a directory as a graph of the signature that was proven. ``seed`` sets every
    random generator that the model could draw from. ``blame`` names, in words, the layer whose answers begin to differ
    between two feeds (the same feed twice: between two runs; see ``prove.alike``); ``None`` where the framework shows no layers.
    ``outputs`` is what the file says of its quantised outputs; what it gives else is learnt by running it. ``otherwise`` are its
    inputs where neither the file nor the user nor the data says any.
    """

    call: Callable[[Arrays], dict[str, Array]]
    inputs: tuple[TensorSpec, ...]
    keep: Callable[[Signature, Path], Graph]
    parameters: int
    seed: Callable[[int], None] = lambda seed: None
    blame: Callable[[Arrays, Arrays], str] | None = None
    proofs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    otherwise: tuple[TensorSpec, ...] = ()
