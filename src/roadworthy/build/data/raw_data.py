"""Data as the user gave it, read and checked but not yet preprocessed: the value, and which reader reads which form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roadworthy.core.evidence import Note
from roadworthy.core.samples import Targets
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Contract

UNNAMED = "input"
"""The name of the only input until the model says its own."""


@dataclass(frozen=True)
class ExpectedInputs:
    """What is known of the model for which data is read: its inputs' ``names`` (empty where they are not known yet), its contract,
    and ``ids``, the other names of its classes.

    ``numbers`` says that it takes no byte strings, and ``channels_first`` that its framework has the channels before the values.
    ``targets`` names what is to be targets (empty: the usual names), and ``limit`` is the most samples that are wanted.
    ``suggested`` are names of classes that came with the preprocessing: where all class folders have such names, they are the classes.
    ``hint`` is what the model's file says of a preprocessing that was not stated, in words.
    """

    names: tuple[str, ...]
    contract: Contract
    ids: tuple[str, ...] = ()
    numbers: bool = False
    channels_first: bool = False
    targets: tuple[str, ...] = ()
    limit: int | None = None
    suggested: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class RawData:
    """Samples in one of three forms: ``items`` (images, texts or sounds: paths, Pillow images, uint8 arrays, byte strings) that the
    contract turns into samples, ``files`` that are samples (``numbers``: what they hold, a sound or an array; else their bytes), or
    ``arrays`` by input name.

    ``targets`` are what the answers are held against, by name, samples first (see ``core.samples``); empty where there are none. One array
    without a name is called ``TARGET``. ``by_folder`` says that the classes are numbered by the sorted order of their folders.
    """

    count: int
    targets: Targets
    classes: tuple[str, ...]
    items: Sequence[Any] | Array | None = None
    files: Sequence[Path] | None = None
    numbers: bool = False
    arrays: Mapping[str, Array] = field(default_factory=dict)
    by_folder: bool = False
    notes: tuple[Note, ...] = ()
