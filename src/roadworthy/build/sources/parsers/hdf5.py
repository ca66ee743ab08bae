"""Untrusted HDF5 files: their attributes and the table of their datasets. No link is followed out of the file; of the datasets only the
few numbers of Keras's Normalization are read.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.build.sources.parsers.zip_archive import EXPANSION, READ
from roadworthy.core.errors import BackendMissing, SourceRefused, SourceUnreadable
from roadworthy.core.text import first_line
from roadworthy.core.types import TensorSpec

DEEP, OBJECTS = 64, 200_000
STATISTICS = re.compile(r"(.*/)?normalization(_\d+)?/vars/[01]|(.*/)?(mean|variance)(:0)?")
"""The mean and the variance of a Normalization, in an archive of Keras 3 and, by their own names, in an HDF5 file of any Keras."""
CHANNELS = 3
BROKEN = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, AttributeError, UnicodeError, MemoryError, SystemError)


@dataclass(frozen=True)
class Hdf5File:
    """One HDF5 file as Keras writes them. ``config`` is the model as JSON, empty where only weights are in it.

    ``named`` says that weights are listed by layer, as Keras 2 wrote them; Keras 3 numbers them in groups called ``vars``.
    ``statistics`` are the means and variances of normalisation, by tensor, where they are one number or one for each channel.
    """

    tensors: tuple[TensorSpec, ...]
    config: bytes
    version: str
    named: bool
    statistics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def weights_alone(self) -> bool:
        """Whether it holds the weights of Keras layers and no model."""
        return not self.config and (self.named or any("/vars/" in f"/{spec.name}" for spec in self.tensors))


def read(path: Path, name: str = "") -> Hdf5File:
    """What the file holds; ``name`` is what the user knows it by.

    Raises SourceRefused for links and datasets that lie in other files, SourceUnreadable where it is damaged or claims more than
    it holds, BackendMissing without h5py.
    """
    try:
        import h5py
    except ImportError:
        raise BackendMissing(f"{name or path} is an HDF5 file, and h5py is not installed: pip install h5py") from None
    what = name or str(path)
    try:
        with h5py.File(path, "r") as file:
            tensors = tuple(_datasets(file, what, path.stat().st_size))
            named = "layer_names" in file.attrs or ("model_weights" in file and "layer_names" in file["model_weights"].attrs)
            version = _text(file, "keras_version", what).decode(errors="replace")
            return Hdf5File(tensors, _text(file, "model_config", what), version, named, _statistics(file, tensors))
    except BROKEN as problem:
        why = shown(first_line(problem))
        raise SourceUnreadable(f"{what} is an HDF5 file that is cut short or damaged ({why}); fetch it again") from None


def read_member(archive: Any, member: str, path: Path) -> Hdf5File:
    """The same for a file inside ``archive``, by way of a temporary copy."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "weights.h5"
        archive.copy(member, copy)
        return read(copy, f"{path}: {member}")


def _text(file: Any, attribute: str, what: str) -> bytes:
    if attribute not in file.attrs:
        return b""
    if (size := file.attrs.get_id(attribute).get_storage_size()) > READ:
        raise SourceUnreadable(f"{what}: its {attribute} claims {size} bytes, more than are read")
    value = file.attrs[attribute]
    data = value.encode() if isinstance(value, str) else bytes(value)
    if len(data) > READ:
        raise SourceUnreadable(f"{what}: its {attribute} has {len(data)} bytes, more than are read")
    return data


def _statistics(file: Any, tensors: tuple[TensorSpec, ...]) -> dict[str, tuple[float, ...]]:
    few = [one.name for one in tensors if STATISTICS.fullmatch(one.name) and one.dtype.startswith("float") and _count(one) <= CHANNELS]
    return {name: tuple(map(float, file[name][()].reshape(-1))) for name in few}


def _count(spec: TensorSpec) -> int:
    return math.prod(size for size in spec.shape if isinstance(size, int))


def _datasets(file: Any, what: str, size: int) -> list[TensorSpec]:
    import h5py

    found: list[TensorSpec] = []
    waiting: list[tuple[str, Any, int]] = [("", file, 0)]
    seen = {h5py.h5o.get_info(file["/"].id).addr}
    stored = 0
    while waiting:
        prefix, group, depth = waiting.pop()
        if depth > DEEP or len(seen) > OBJECTS:
            raise SourceUnreadable(
                f"{what} holds more than {OBJECTS} objects or nests them more than {DEEP} deep, more than any model file"
            )
        for key in group:
            name = f"{prefix}/{key}" if prefix else key
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                _refuse_link(link, name, what)
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                # A dataset may have two names. A group may not: one that is its own member would never end.
                if isinstance(item, h5py.Group):
                    raise SourceUnreadable(f"{what}: the group {shown(name)} is there twice, as in no model file")
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append((name, item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                found.append(_dataset(item, name, what))
                stored += item.id.get_storage_size()
    if stored > size:
        raise SourceUnreadable(
            f"{what}: its datasets claim {stored} bytes and the file has {size}; it was cut short, or the claim is wrong"
        )
    return found


def _refuse_link(link: Any, name: str, what: str) -> None:
    where = f"{what}: {shown(name)}"
    if hasattr(link, "filename"):
        raise SourceRefused(f"{where} is in another file, {shown(str(link.filename))!r}; save the model in one file")
    raise SourceUnreadable(f"{where} is a link to {shown(str(getattr(link, 'path', 'nothing')))!r}, as in no model file")


def _dataset(dataset: Any, name: str, what: str) -> TensorSpec:
    import h5py

    plan = dataset.id.get_create_plist()
    where = f"{what}: the weights {shown(name)}"
    if plan.get_layout() == h5py.h5d.VIRTUAL or (plan.get_layout() == h5py.h5d.CONTIGUOUS and plan.get_external_count()):
        raise SourceRefused(f"{where} lie in other files; save the model in one file")
    shape = tuple(int(axis) for axis in dataset.shape or ())
    claimed, stored = math.prod(shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if claimed > stored * (EXPANSION if plan.get_nfilters() else 1):
        raise SourceUnreadable(f"{where} claim {claimed} bytes and {stored} are stored; the file was cut short, or the claim is wrong")
    return TensorSpec(name, str(dataset.dtype), shape)
