"""Files that ``torch.save`` or ``pickle.dump`` wrote, by what their pickles state: nothing in them is run."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build.sources.parsers import pickle_scan
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.types import TensorSpec

MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""The first pickle, after its protocol, of a file that ``torch.save`` wrote before version 1.6 (its number is 0x1950A86A20F9469CFC6C)."""
PREAMBLE = 3
"""In such a file a magic number, a protocol version and a description of the machine come first, each a pickle of its own."""
OLD = "torch.save's format from before version 1.6"


@dataclass(frozen=True)
class TorchSave:
    """``code`` lists the globals that weights alone never need. ``plain`` says that the file is a checkpoint: most of its values lie
    in plain dictionaries with names. Otherwise there is a pickled model in it. ``sets`` are the dictionaries that hold named
    tensors, each with their number. ``records`` are the globals of ``code`` that a reader of weights may leave as inert data, with
    what they are filled with."""

    tensors: tuple[TensorSpec, ...]
    code: tuple[str, ...]
    plain: bool
    notes: tuple[str, ...] = ()
    sets: tuple[tuple[str, int], ...] = ()
    records: tuple[tuple[str, pickle_scan.Form], ...] = ()

    @property
    def unsafe(self) -> tuple[str, ...]:
        """The globals that are no data, whatever they are used for."""
        known = {name for name, _ in self.records}
        return tuple(name for name in self.code if name not in known)


def zipped(path: Path) -> TorchSave:
    """The zip archive that ``torch.save`` writes."""
    with Archive(path) as archive:
        return _of(pickle_scan.walk(io.BytesIO(archive.read("data.pkl")), f"{path}: data.pkl"))


def unzipped(path: Path) -> TorchSave:
    """A plain pickle, or the format of ``torch.save`` before version 1.6."""
    with open(path, "rb") as file:
        old = file.read(2 + len(MAGIC))[2:] == MAGIC
        file.seek(0)
        preamble = [pickle_scan.walk(file, str(path)) for _ in range(PREAMBLE if old else 0)]
        found = _of(pickle_scan.walk(file, str(path)))
    code = tuple(name for scan in preamble for name in scan.code)
    # torch.load reads weights alone only from the formats of torch.save.
    return replace(found, code=(*code, *found.code), plain=old and found.plain, notes=(OLD,) if old else ())


def _of(scan: pickle_scan.PickleScan) -> TorchSave:
    found = list(pickle_scan.tensors(scan.root))
    named = [one for one in found if one.within == "names"]
    plain = bool(named) and _values(named) >= _values(one for one in found if one.within == "object")
    sets = Counter(one.place for one in named)
    harmless = [name for name in scan.code if not pickle_scan.runs_code(name)]
    return TorchSave(
        tuple(one.spec for one in found),
        scan.code,
        plain or not (found or scan.code),
        sets=tuple(sets.items()) if plain else (),
        records=tuple(pickle_scan.forms(scan.root, harmless).items()),
    )


def _values(found: Iterable[pickle_scan.FoundTensor]) -> int:
    return sum(math.prod(size for size in one.spec.shape if isinstance(size, int)) for one in found)
