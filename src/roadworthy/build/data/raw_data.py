"""Where evaluation data comes from: looked up, read and checked, not yet preprocessed."""

from __future__ import annotations

import re
import sys
import traceback
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from roadworthy.build.data import class_folders
from roadworthy.build.data.class_names import key
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.isolation import confinement, usercode
from roadworthy.core.types import BYTES, Array
from roadworthy.preprocess.contract import Contract

LABEL_NAMES = ("y", "labels")
BY_FOLDER = "give byte strings as a folder of files, or by a callable that returns an object array of bytes"


UNNAMED = "input"
"""What the only input is called until the model says its name."""


@dataclass(frozen=True)
class Found:
    """Data as it was found: ``images`` (paths, Pillow images or uint8 arrays) for the contract, ``files`` whose bytes are the
    samples, or ``arrays`` of ready samples.
    """

    count: int
    labels: Array | None
    classes: tuple[str, ...]
    images: Sequence[Any] | Array | None = None
    files: Sequence[Path] | None = None
    arrays: Mapping[str, Array] = field(default_factory=dict)
    by_folder: bool = False
    notes: tuple[Note, ...] = ()


def find(data: Any, names: tuple[str, ...], contract: Contract, ids: tuple[str, ...] = ()) -> Found:
    """The data behind any of the forms that ``dataset.gather`` takes."""
    if isinstance(data, str | Path):
        path = Path(data)
        if path.is_dir():
            try:
                return _folder(path, names, contract, ids)
            except OSError as problem:
                raise DataError(f"{problem.filename or path} cannot be read: {problem.strerror}") from None
        if path.is_file():
            return _npz(path, names, contract)
        if isinstance(data, str) and (code := called(data)):
            return _memory(_call(data, code[1], code[2]), names, contract, data)
        raise DataError(f"there is no data at {data}; give a folder of images or other files, an .npz file, or module:callable")
    return _memory(data, names, contract, "the data")


def called(data: str) -> re.Match[str] | None:
    """The module and the name of ``module:callable``; None where ``data`` is a file, a folder or anything else."""
    return None if Path(data).exists() else re.fullmatch(r"(.+):([A-Za-z_]\w*)", data)


def _folder(root: Path, names: tuple[str, ...], contract: Contract, ids: tuple[str, ...]) -> Found:
    if len(names) > 1:
        raise DataError(f"{root} is a folder of samples, but the model has {len(names)} inputs ({', '.join(names)}); give an .npz file")
    labels = contract.answer.labels
    found = class_folders.read(root, (*labels, *ids), images=contract.takes_images)
    samples = [path for paths in found.members for path in paths]
    images, files = (samples, None) if found.images else (None, samples)
    if not found.names:
        return Found(len(samples), None, labels, images, files, notes=found.notes)
    placed = _placed(root, found.names, labels, ids)
    indices = np.repeat(placed.indices, [len(paths) for paths in found.members])
    notes = (*found.notes, *placed.notes)
    return Found(len(samples), indices, placed.classes, images, files, by_folder=placed.by_folder, notes=notes)


@dataclass(frozen=True)
class _Placed:
    """Class names by index, the index of each folder, and whether that is only the folders' own order."""

    classes: tuple[str, ...]
    indices: list[int]
    by_folder: bool
    notes: tuple[Note, ...] = ()


def _placed(root: Path, found: tuple[str, ...], labels: tuple[str, ...], ids: tuple[str, ...]) -> _Placed:
    """The folders ``found`` by the names of classes, however joined and in whatever case, or by their ids; else in sorted order."""
    order = list(range(len(found)))
    for known, spelled in ((labels, str), (ids, str), (labels, key)):
        by_name = list(map(spelled, known))
        mine = list(map(spelled, found))
        if by_name and all(name in by_name for name in mine):
            if again := [folder for folder, name in zip(found, mine, strict=True) if by_name.count(name) > 1 or mine.count(name) > 1]:
                raise DataError(f"the labels name {again[0]!r} twice, so the class of that folder cannot be told")
            return _Placed(labels, [by_name.index(name) for name in mine], False)
    near = {key(name) for name in (*labels, *ids)}
    if labels and (len(labels) != len(found) or any(key(folder) in near for folder in found)):
        strange = next(folder for folder in found if key(folder) not in near)
        raise DataError(f"{root}: the class folder {strange!r} is not among the {len(labels)} labels; name folders and labels alike")
    if labels:
        guess = f"no class folder bears a label's name: they were taken in sorted order, {found[0]}/ for {labels[0]!r} and so on"
        return _Placed(labels, order, True, (Note(guess),))
    numbers = [int(folder) for folder in found if folder.isascii() and folder.isdecimal()]
    if len(numbers) == len(found) and numbers != sorted(numbers):
        at = next(index for index in order[1:] if numbers[index] < numbers[index - 1])
        guess = f"the class folders are numbers and were counted in the order of text, {found[at - 1]}/ before {found[at]}/"
        why = "as ImageFolder and Keras count them; a labels file with one number a line says another order"
        return _Placed(found, order, True, (Note(f"{guess}, {why}"),))
    return _Placed(found, order, True)


def _npz(path: Path, names: tuple[str, ...], contract: Contract) -> Found:
    try:
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path} is no .npz file, or is cut short; save one with numpy.savez(file, x=..., y=...)")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        # A member without the magic of an array comes back as its bytes.
        if strange := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise DataError(f"{path}: {strange[0]} is no NumPy array")
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as problem:
        if "allow_pickle" in str(problem):
            raise DataError(f"{path} holds Python objects, which would have to be unpickled: {BY_FOLDER}") from None
        raise DataError(
            f"{path} cannot be read as .npz data: {str(problem).splitlines()[0] if str(problem) else 'it is damaged'}"
        ) from None
    except MemoryError:
        raise DataError(f"{path} does not fit into memory; use fewer samples") from None
    labels = next((arrays.pop(name) for name in LABEL_NAMES if name in arrays and name not in names), None)
    return _samples(arrays, labels, names, contract, str(path))


def _call(data: str, module: str, name: str) -> Any:
    """What the user's callable returns; whatever it raises is the user's, and said as such."""
    if module.endswith(".py") and not confinement.located(Path(module)).is_file():
        raise DataError(f"there is no file {module} to take {name} from")
    try:
        with _as_found():
            loaded = usercode.module(module, f"_roadworthy_data_{Path(module).stem}")
            with usercode.running(Path(module).name):
                return getattr(loaded, name)()
    except (Exception, SystemExit) as problem:
        reason = next(iter(str(problem).splitlines()), "")
        explained = confinement.explained(problem)
        raise DataError(f"{data} raised {type(problem).__name__}: {reason}{explained}", detail=traceback.format_exc()) from None


@contextmanager
def _as_found() -> Iterator[None]:
    """Leave the import path as it was, and no compiled code beside the user's file: this may be the user's own process."""
    path, written = [*sys.path], sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, written


def _memory(data: Any, names: tuple[str, ...], contract: Contract, what: str) -> Found:
    x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    labels = None if y is None else _array(y, f"{what}: y")
    if isinstance(x, list | tuple) and len(x) > 0 and _is_image(x[0], contract):
        if len(names) > 1:
            raise DataError(f"{what} is a list of images, but the model has {len(names)} inputs ({', '.join(names)})")
        images = [Path(item) if isinstance(item, str) else item for item in x]
        return Found(len(images), _checked_labels(labels, len(images), what), contract.answer.labels, images)
    given = dict(x) if isinstance(x, Mapping) else {"x": x}
    arrays = {name: _strings(value) if _are_bytes(value) else _array(value, f"{what}: {name}") for name, value in given.items()}
    return _samples(arrays, labels, names, contract, what)


def _are_bytes(value: Any) -> bool:
    """Whether ``value`` is a list of byte strings. NumPy would make of it an array that drops the zeros at their ends."""
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(item, bytes) for item in value)


def _strings(values: Iterable[Any]) -> Array:
    """Byte strings, texts as UTF-8, as an object array [n]."""
    strings = [value.encode() if isinstance(value, str) else value for value in values]
    array = np.empty(len(strings), BYTES)
    array[:] = strings
    return array


def _is_image(item: Any, contract: Contract) -> bool:
    """Whether a list that starts with ``item`` is one of images; bytes and arrays are, where an image contract waits for them."""
    if isinstance(item, bytes | np.ndarray):
        return contract.takes_images and (isinstance(item, bytes) or item.dtype == np.uint8)
    return isinstance(item, str | Path | Image.Image)


def _samples(arrays: Mapping[str, Array], labels: Array | None, names: tuple[str, ...], contract: Contract, what: str) -> Found:
    if not names and len(arrays) == 1:
        arrays = {UNNAMED: next(iter(arrays.values()))}
    # Where nobody said what the inputs are called, several arrays do.
    names = names or tuple(arrays)
    if len(names) == 1 and names[0] not in arrays and "x" in arrays:
        arrays = {names[0]: arrays["x"]}
    if missing := [name for name in names if name not in arrays]:
        raise DataError(f"{what} has no array {missing[0]!r}; it needs {', '.join(names)}, and holds {', '.join(arrays) or 'nothing'}")
    inputs = {name: arrays[name] for name in names}
    for name, array in inputs.items():
        if array.dtype.kind == "S":
            raise DataError(f"{what}: {name} is {array.dtype}, which has lost the zeros at the ends of its byte strings: {BY_FOLDER}")
        if array.dtype.kind in "OU" and array.ndim == 1 and all(isinstance(value, str | bytes) for value in array.tolist()):
            inputs[name] = _strings(array.tolist())
        elif array.dtype.kind not in "biuf" or array.ndim == 0:
            raise DataError(f"{what}: {name} is {array.dtype} {list(array.shape)}; it must be an array of numbers, samples first")
    counts = {name: len(array) for name, array in inputs.items()}
    count = next(iter(counts.values()), 0)
    if count == 0:
        raise DataError(f"{what} holds no samples")
    if len(set(counts.values())) > 1:
        raise DataError(f"{what} has a different number of samples for each input: {counts}")
    labels = _checked_labels(labels, count, what)
    first = inputs[names[0]]
    if contract.takes_images and len(names) == 1 and _are_images(first):
        return Found(count, labels, contract.answer.labels, first)
    return Found(count, labels, contract.answer.labels, arrays=inputs)


def _are_images(array: Array) -> bool:
    return array.dtype == np.uint8 and (array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3)))


def _array(value: Any, what: str) -> Array:
    # Tensors of other libraries leave their gradient tape and their device first; none of those libraries is imported for it.
    for step in ("detach", "cpu"):
        if callable(method := getattr(value, step, None)):
            value = method()
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(f"{what} has masked values, which no model takes; fill them first, for example with .filled(0)")
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise DataError(f"{what} cannot be read as an array: {problem}") from None


def _checked_labels(labels: Array | None, count: int, what: str) -> Array | None:
    """Class indices as int64 [count]."""
    if labels is None:
        return None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    labels = _indices(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{what}: y is {labels.dtype} {list(labels.shape)}; it must be one integer class index for each sample")
    if len(labels) != count:
        raise DataError(f"{what} has {count} samples and {len(labels)} labels")
    if labels.min() < 0 or labels.max() > np.iinfo(np.int32).max:
        raise DataError(f"{what}: y holds {labels.min() if labels.min() < 0 else labels.max()}; class indices start at 0")
    return labels.astype(np.int64)


def _indices(labels: Array) -> Array:
    """``labels`` as whole numbers where nothing is lost by it: one-hot rows, booleans, and floats that are whole (Keras's 0. and 1.)."""
    if labels.ndim == 2 and labels.size and labels.dtype.kind in "biuf":
        if np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
            return np.asarray(labels.argmax(axis=1))
        return labels
    whole = labels.dtype.kind == "f" and labels.size and np.isfinite(labels).all() and (labels == np.rint(labels)).all()
    return labels.astype(np.int64) if whole or labels.dtype.kind == "b" else labels
