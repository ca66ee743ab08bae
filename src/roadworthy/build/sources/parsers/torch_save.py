"""Files that ``torch.save`` or ``pickle.dump`` wrote, by what their pickles state: nothing in them is run."""

from __future__ import annotations

import io
from dataclasses import dataclass
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
    """``code`` lists the globals that weights alone never need. ``plain`` says that the file is a checkpoint: its tensors lie in
    plain dictionaries and lists, and nowhere else. Otherwise there is a pickled model in it."""

    tensors: tuple[TensorSpec, ...]
    code: tuple[str, ...]
    plain: bool
    notes: tuple[str, ...] = ()


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
    return TorchSave(found.tensors, (*code, *found.code), old and found.plain, (OLD,) if old else ())


def _of(scan: pickle_scan.PickleScan) -> TorchSave:
    found = list(pickle_scan.tensors(scan.root))
    plain = all(plain for _, plain in found) and bool(found or not scan.code)
    return TorchSave(tuple(spec for spec, _ in found), scan.code, plain)
