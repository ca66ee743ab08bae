"""What the readers of Python data know of the model, and the forms in which they pass samples on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from roadworthy.build.data.raw_data import UNNAMED
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import Targets
from roadworthy.core.types import Array

TARGET_NAMES = ("y", "label", "labels", "target", "targets")
"""Names under which data sets hold what the answers are compared with."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of the data: the inputs' ``names`` in the order of the call (empty where they are not known), which names
    are ``targets`` (empty: those of ``TARGET_NAMES``), and the most samples, ``limit``. ``optional`` are inputs that the model can do
    without.
    """

    names: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    limit: int | None = None
    optional: tuple[str, ...] = ()

    @property
    def only(self) -> str:
        """The name of an input that comes without one."""
        return self.names[0] if len(self.names) == 1 else UNNAMED

    def is_target(self, name: str) -> bool:
        """Whether values of this name are targets. An input of the model is none, unless the user says so."""
        if self.targets:
            return name in self.targets
        return name.lower() in TARGET_NAMES and name not in (*self.names, *self.optional)

    def refuse_targets(self, what: str, names: Iterable[str] = ()) -> None:
        """Raise DataError where the user named targets that are not among the ``names`` of the data."""
        if missing := [name for name in self.targets if name not in names]:
            has = f"it has {', '.join(names)}" if names else "its parts have no names"
            raise DataError(f"{what} has no column or array {missing[0]!r} for the targets; {has}")

    def positional(self, count: int) -> tuple[str, ...]:
        """Names for ``count`` inputs that are known by their position alone."""
        return self.names[:count] if len(self.names) >= count else tuple(f"{UNNAMED}_{index}" for index in range(count))


@dataclass(frozen=True)
class Item:
    """One item of a data set, a sample or a batch: its inputs by name, and its targets as the user has them (``None`` without)."""

    inputs: Mapping[str, Array]
    y: Any = None


@dataclass(frozen=True)
class Chunk:
    """Consecutive samples: arrays [samples, ...] by input name, and their targets."""

    inputs: Mapping[str, Array]
    targets: Targets

    @property
    def count(self) -> int:
        """The number of samples, that of the first input."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class Items:
    """Samples that come one item after another from ``what``, as messages call it.

    An item is one sample, or several where ``batched`` (``None``: the items themselves must show it). ``weighted`` says that
    a third part of an item is the weight of its samples. ``ends`` says that the number of items is known. ``classes`` are the names
    of the classes by index, where the data set has them. ``picked`` says that
    all items are to be taken: there are no more than are wanted, or they are in memory.
    """

    what: str
    items: Iterable[Any]
    batched: bool | None = False
    weighted: bool = False
    ends: bool = True
    classes: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    picked: bool = False
