"""Sample sets written to disk chunk by chunk, so that a folder of any size needs little memory."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from roadworthy.core.errors import DataError, OutOfSpace
from roadworthy.core.samples import TARGET, SampleSet, Targets, ends_of, file_of, target_file, write_targets
from roadworthy.core.types import BYTES, Array

CHUNK_BYTES = 1 << 23
SEED = 0


@contextmanager
def directory(out: Path) -> Iterator[Path]:
    """The new directory ``out``, which goes away again when the block fails; a full disk raises OutOfSpace."""
    try:
        out.mkdir(parents=True)
    except OSError as problem:
        raise _translate(problem, out) from None
    try:
        yield out
    except BaseException as problem:
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(problem, OSError):
            raise _translate(problem, out) from None
        raise


def write(out: Path, inputs: Mapping[str, Array], targets: Targets, order: Array) -> SampleSet:
    """The rows ``order`` of every array (which may be mapped) as a sample set in the new directory ``out``."""
    with directory(out):
        for name, array in inputs.items():
            if array.dtype == np.dtype(BYTES):
                write_strings(out, name, (len(order), *array.shape[1:]), array[order].flat)
                continue
            write_array(out / file_of(name), array.dtype.newbyteorder("="), (len(order), *array.shape[1:]), rows(array, order))
        write_all_targets(out, targets, order)
    return SampleSet(out, tuple(inputs), len(order), tuple(targets))


def write_all_targets(out: Path, targets: Targets, order: Array) -> None:
    """The rows ``order`` of all targets, into the sample set in ``out``."""
    for name, array in targets.items():
        if array.dtype == np.dtype(object):
            write_targets(out, name, array[order])
        else:
            write_array(out / target_file(name), array.dtype.newbyteorder("="), (len(order), *array.shape[1:]), rows(array, order))


def write_array(path: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...], chunks: Iterable[Array]) -> None:
    """An ``.npy`` file of ``shape`` from chunks along the first axis.

    Plain writes and no writable mapping: on a full disk a mapping kills the process (SIGBUS) where a write raises.
    """
    with open(path, "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype=dtype).data)


def write_rows(out: Path, rows: Iterable[Mapping[str, Array]], count: int) -> tuple[str, ...]:
    """The inputs of ``count`` samples, which come one by one and all have one shape, in the directory ``out``; their names."""
    files: dict[str, BinaryIO] = {}
    with ExitStack() as stack:
        for row in rows:
            for name, array in row.items():
                if name not in files:
                    files[name] = stack.enter_context(open(out / file_of(name), "wb"))
                    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": (count, *array.shape)}
                    np.lib.format.write_array_header_1_0(files[name], header)
                files[name].write(np.ascontiguousarray(array).data)
    return tuple(files)


def write_strings(folder: Path, name: str, shape: tuple[int, ...], strings: Iterable[bytes]) -> None:
    """Byte strings of ``shape`` as the two files of the sample set in ``folder``, one string in memory at a time."""
    ends: list[int] = []
    with open(folder / file_of(name), "wb") as file:
        _header(file, 0)
        for string in strings:
            file.write(string)
            ends.append(len(string) + (ends[-1] if ends else 0))
        file.seek(0)
        _header(file, ends[-1] if ends else 0)
    np.save(folder / ends_of(name), np.array(ends, np.int64).reshape(shape), allow_pickle=False)


def _header(file: BinaryIO, count: int) -> None:
    # NumPy leaves room for the first axis to grow, so that the header of any length of bytes has one size.
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (count,)})


def rows(array: Array, order: Array) -> Iterator[Array]:
    """``array[order]`` in chunks of about ``CHUNK_BYTES``."""
    step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(order), step):
        yield array[order[start : start + step]]


def balanced_order(count: int, targets: Targets) -> Array:
    """All indices, always the same for the same targets, so that every beginning holds the classes as evenly as they last.

    Within a class the order is a seeded shuffle; where the targets are not class indexes all samples are one class.
    """
    shuffled = np.random.default_rng(SEED).permutation(count)
    found = _classes(targets)
    classes = np.zeros(count, np.int64) if found is None else found[shuffled]
    by_class = np.argsort(classes, kind="stable")
    sizes = np.unique(classes, return_counts=True)[1]
    turn = np.empty(count, np.int64)
    turn[by_class] = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.asarray(shuffled[np.lexsort((classes, turn))])


def _classes(targets: Targets) -> Array | None:
    """What looks like the class of each sample, [count]: whole numbers, booleans, texts, a column of these, or one-hot rows."""
    array = targets.get(TARGET)
    if array is None or array.dtype.kind not in "biufU" or array.ndim not in (1, 2):
        return None
    if array.ndim == 2 and array.shape[1] > 1:
        return np.asarray(array.argmax(axis=1)) if _is_one_hot(array) else None
    column = np.asarray(array.reshape(-1))
    return None if column.dtype.kind == "f" and not _is_whole(column) else column


def _is_one_hot(labels: Array) -> bool:
    """Whether ``labels`` are rows, each with one 1 and else zeros."""
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "biuf":
        return False
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())


def _is_whole(labels: Array) -> bool:
    """Whether ``labels`` are floats without a fraction."""
    return labels.dtype.kind == "f" and labels.size > 0 and bool(np.isfinite(labels).all() and (labels == np.rint(labels)).all())


def _translate(problem: OSError, out: Path) -> DataError | OutOfSpace:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(f"the disk filled up while samples were written to {out}; free some space or use fewer samples")
    return DataError(f"samples cannot be written to {out}: {problem.strerror or problem}")
