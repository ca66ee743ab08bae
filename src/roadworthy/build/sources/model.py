"""What every reader of a source returns: the live model, and what the file itself states about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, InnerLayer
from roadworthy.core.types import Array, Arrays, BoundInput, Signature, TensorSpec

SameAnswer: TypeAlias = Callable[[Array, Array], bool]
"""Whether what a layer gave in one run agrees with what it gave in another."""


Bind: TypeAlias = "Callable[[tuple[BoundInput, ...]], Model]"
Refine: TypeAlias = "Callable[[Model, tuple[TensorSpec, ...], SampleSet], tuple[Model, tuple[TensorSpec, ...]]]"


@dataclass(frozen=True)
class Opened:
    """A live PyTorch module on the CPU. It exists only in the child process that read it.

    ``inputs`` is the file's own statement of what it takes, empty where it makes none; ``program`` the
    ExportedProgram that the module came from, and ``arguments`` how that is called. ``proofs`` and ``notes`` are sentences.
    """

    module: Any
    inputs: tuple[TensorSpec, ...] = ()
    program: Any = None
    arguments: Any = None
    proofs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A live model of any framework in inference mode, NumPy in and NumPy out. It exists only in the child process that read it.

    ``call`` takes arrays by input name and gives arrays by output name. ``inputs`` is the file's own statement of what it
    takes: BATCH first where the number of samples is free, another symbol where it leaves a size open; empty where it makes
    none. ``keep`` writes the original into a directory as a graph of the signature that was proven. ``seed`` sets every
    random generator that the model could draw from. ``locate`` names, in words, the layer whose answers begin to differ between
    two feeds (the same feed twice: between two runs), and is ``None`` where the framework shows no layers.
    ``bind`` gives the model without inputs of fixed values, and is ``None`` where the format cannot hold these.
    ``tables`` says how many rows the tables have that an input chooses from, as far as one call, or the file, shows it.
    ``outputs`` is what the file says of its quantised outputs; the other outputs are found by running it. ``otherwise`` are its
    inputs where neither the file nor the user nor the data says any. ``free`` says that ``inputs`` were read from samples, so
    that any axis of a call may count them. ``states`` gives what the model holds at the moment, by a name that says where: weights,
    and whatever a call may change; ``keeps`` names states that cannot be read. ``neighbours`` says what makes the answer for a
    sample depend on the others in its call, where that is known and not a mode of training: such a model is called with one sample.
    ``single`` says that no axis of ``inputs`` counts the samples, whatever their sizes: each call takes one.
    ``refine`` gives the model, and its inputs, with what is known of them only after a call with samples that it accepts.
    ``inner`` are its parts that seem to normalise pixels.
    """

    call: Callable[[Arrays], dict[str, Array]]
    inputs: tuple[TensorSpec, ...]
    keep: Callable[[Signature, Path], Graph]
    parameters: int
    seed: Callable[[int], None] = lambda seed: None
    locate: Callable[[Arrays, Arrays, SameAnswer], str] | None = None
    proofs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    otherwise: tuple[TensorSpec, ...] = ()
    refine: Refine | None = None
    tables: Callable[[Arrays], dict[str, int]] | None = None
    bind: Bind | None = None
    free: bool = False
    states: Callable[[], Arrays] | None = None
    keeps: tuple[str, ...] = ()
    neighbours: str = ""
    single: bool = False
    inner: tuple[InnerLayer, ...] = ()
