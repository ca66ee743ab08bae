"""What a source format's own inspection found in one file; ``inspect`` adds where the file lies, its size and its hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.core.stages import InnerLayer
from roadworthy.core.types import Signature, TensorSpec

NO_MODEL = "holds weights and not the model they belong to; name the code that builds it"
"""Why a file of weights needs ``--arch``."""


@dataclass(frozen=True)
class Refusal:
    """Why a file is read with ``--trust`` only: the predicate of a sentence whose subject is the file, and what to do instead."""

    why: str
    instead: str = ""


@dataclass(frozen=True)
class StaticFacts:
    """What one file states, and what the user must or may add to it.

    ``tensors`` are its weights. ``signature`` is its own statement of inputs and outputs, ``signatures`` the keys to choose one by;
    ``open_outputs`` says that ``--outputs`` names or chooses what it answers with. ``executes`` lists what
    reading it the ordinary way could run, and ``refusal`` is set where that needs ``--trust``. ``takes_arch`` says that ``--arch``
    has a meaning for it, and ``needs_arch`` why it cannot do without (empty where it can); ``takes_weights`` says that it may hold several
    sets of weights, of which ``--weights`` names one by the beginning of its tensors' names. ``needs`` are the classes that are
    neither in the file nor the framework's. ``inner`` is what the model does to pixels before its first trained layer, and ``models`` are
    the names of the model and of those in it. ``unsupported`` says why it cannot be deployed, empty where it can, ``not_installed`` which
    package that takes. ``files`` are the files beside it that belong to it. ``labels`` names the classes in the order of the outputs,
    where the file does.
    """

    tensors: tuple[TensorSpec, ...] = ()
    signature: Signature | None = None
    executes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    unsupported: str = ""
    files: tuple[Path, ...] = ()
    refusal: Refusal | None = None
    takes_arch: bool = False
    needs_arch: str = ""
    open_outputs: bool = False
    takes_weights: bool = False
    inner: tuple[InnerLayer, ...] = ()
    models: tuple[str, ...] = ()
    not_installed: str = ""
    labels: tuple[str, ...] = ()
