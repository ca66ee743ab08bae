"""Evaluation data in any form to one sample set on disk, checked against the model, and split for calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from roadworthy.build.data import class_names, sample_writer, user_function
from roadworthy.build.data.raw_data import UNNAMED, ExpectedInputs, RawData
from roadworthy.build.data.read_data import read_data
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import SampleSet, Targets, file_of
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.image import Preprocessor

CALIBRATION_SHARE = 5
"""Calibration takes at most one sample in this many."""
FEWEST_TO_SPLIT = 20


@dataclass(frozen=True)
class Dataset:
    """Samples with the names of their classes by index (empty where none are known).

    ``by_folder`` says that the classes are the folders in sorted order, which is right only where training
    numbered exactly these folders: ``check_classes`` compares it with the model. ``notes`` says what was guessed.
    """

    samples: SampleSet
    classes: tuple[str, ...]
    kind: Literal["labelled", "unlabelled"]
    by_folder: bool = False
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class GatherRequest:
    """The arguments of ``gather``, for data that the user named."""

    data: str
    names: tuple[str, ...]
    contract: Contract
    out: Path
    limit: int | None = None
    ids: tuple[str, ...] = ()


def gather_step(request: GatherRequest) -> Dataset:
    """``gather`` as a step for ``isolate.call``: the user's code runs in a child process."""
    return gather(request.data, request.names, request.contract, request.out, limit=request.limit, ids=request.ids)


def is_code(data: str) -> bool:
    """Whether ``data`` names a function that has to be imported; one in the running program's ``__main__`` is imported already."""
    function = user_function.named_in(data)
    return function is not None and function.module != "__main__"


def gather(
    data: Any,
    signature_names: tuple[str, ...],
    contract: Contract,
    out: Path,
    *,
    limit: int | None = None,
    ids: tuple[str, ...] = (),
) -> Dataset:
    """Every sample of ``data`` (or ``limit`` of them, classes evenly), preprocessed, as a sample set in the new directory ``out``.

    ``signature_names`` are the inputs' names, empty where they are not known yet: then several arrays give them. ``data`` is one of

    - a directory with one folder of images for each class, numbered in sorted order as by torchvision's ImageFolder, or by the
      line of ``contract.answer.labels`` that holds the folder's name (or of ``ids``, the classes' other names); or a directory
      of images alone, unlabelled;
    - the same with files of any other kind, where the contract takes no images: the bytes of each file are one sample;
    - an ``.npz`` file (path or string) with ``x`` or with arrays named like the inputs, and optionally the targets: ``y``, or several
      by name as ``y.boxes`` and ``y.classes`` (see ``user_targets.take_targets``);
    - ``module:callable`` or ``FILE.py:callable``, which returns ``x`` or ``(x, y)``; ``x`` may be a dict by input name, and ``y`` a dict
      of targets by name, or a list of dicts;
    - the same in memory: a tuple ``(x, y)``, or ``x`` alone. Anything with ``__array__`` is an array. Byte strings are a list of
      ``bytes`` or an object array of them; text counts as UTF-8. No ``.npz`` can hold byte strings.

    Where the contract takes images and the model one input, uint8 images [n,h,w,3], [n,h,w,1] or [n,h,w] and lists of images go
    through its steps; other arrays are taken as ready samples, first axis samples. The order is shuffled, the same each time, so that
    every beginning of the set holds all classes evenly. Raises DataError, and OutOfSpace on a full disk; then nothing is left at ``out``.
    """
    if limit is not None and limit < 1:
        raise DataError(f"a limit of {limit} samples leaves none")
    raw = read_data(data, ExpectedInputs(signature_names, contract, ids))
    order = sample_writer.balanced_order(raw.count, raw.targets)[:limit]
    samples = _written(raw, signature_names[0] if signature_names else UNNAMED, order, contract, out)
    return Dataset(samples, raw.classes, "labelled" if raw.targets else "unlabelled", raw.by_folder, raw.notes)


def check_inputs(samples: SampleSet, signature: Signature) -> None:
    """Raises DataError where the samples' dtypes and shapes are not what the model takes; the batch axis is not compared."""
    arrays = samples.open()
    for spec in signature.inputs:
        if spec.name not in arrays:
            raise DataError(f"the data has no input {spec.name!r}; the model takes {', '.join(map(str, signature.inputs))}")
        _check_input(arrays[spec.name], spec)


def check_classes(dataset: Dataset, outputs: int, output: str = "output") -> None:
    """Raises DataError where the class names cannot be those of a model with ``outputs`` outputs; a single one may tell two apart.

    ``output`` is the name of the model's output that ranks them.
    """
    model = max(outputs, 2)
    if dataset.by_folder and len(dataset.classes) != model:
        raise DataError(
            f"the data has {len(dataset.classes)} class folders, the model has {outputs} outputs: so the folders' order "
            "is not the model's; give a labels file with one line for each output, in its order, that holds the folder's name"
        )
    if dataset.classes:
        class_names.check_count(dataset.classes, outputs, output)


def split(samples: SampleSet, calibration: int, out: Path) -> tuple[SampleSet, SampleSet | None]:
    """``samples`` as two disjoint sets, for evaluation and for calibration, each with the classes evenly; the same split each time.

    Calibration gets ``calibration`` samples, at most one fifth of all; ``None``, and evaluation everything, where there
    are fewer than 20 or none is asked for. They are written to ``out/evaluation`` and ``out/calibration``.
    """
    taken = min(calibration, samples.count // CALIBRATION_SHARE)
    if samples.count < FEWEST_TO_SPLIT or taken < 1:
        return samples, None
    targets, arrays = samples.open_targets(), samples.open()
    order = sample_writer.balanced_order(samples.count, targets)
    return (
        sample_writer.write(out / "evaluation", arrays, targets, order[taken:]),
        sample_writer.write(out / "calibration", arrays, targets, order[:taken]),
    )


def _check_input(array: Array, spec: TensorSpec) -> None:
    if array.dtype != np.dtype(spec.dtype):
        raise DataError(
            f"the data for {spec.name!r} is {array.dtype}; the model takes {spec.dtype}: convert it, or state the preprocessing"
        )
    fits = len(array.shape) == 1 + len(spec.sample_shape) and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(array.shape[1:], spec.sample_shape, strict=True)
    )
    if not fits:
        raise DataError(f"the data for {spec.name!r} has samples of shape {list(array.shape[1:])}; the model takes {spec}")


def _written(raw: RawData, name: str, order: Array, contract: Contract, out: Path) -> SampleSet:
    """The samples of ``raw`` in ``order``; images and files become the input ``name``."""
    if raw.images is not None:
        return _write_images(out, name, raw.images, raw.targets, order, contract)
    if raw.files is not None:
        return _write_files(out, name, raw.files, raw.targets, order)
    return sample_writer.write(out, raw.arrays, raw.targets, order)


def _write_images(out: Path, name: str, images: Sequence[Any] | Array, targets: Targets, order: Array, contract: Contract) -> SampleSet:
    if not contract.takes_images:
        raise DataError(
            "the data is images; say how they become the model's input, by a preprocessing preset or file; to a model that decodes "
            "them itself give their bytes, by a callable"
        )
    preprocessor = Preprocessor(contract.image)
    first = preprocessor.one(images[order[0]], name=_name(order[0]))

    def samples() -> Iterator[Array]:
        buffer = np.empty_like(first)
        for index in order.tolist():
            yield preprocessor.one(images[index], out=buffer, name=_name(index))

    with sample_writer.directory(out):
        sample_writer.write_array(out / file_of(name), first.dtype, (len(order), *first.shape), samples())
        sample_writer.write_all_targets(out, targets, order)
    return SampleSet(out, (name,), len(order), tuple(targets))


def _write_files(out: Path, name: str, files: Sequence[Path], targets: Targets, order: Array) -> SampleSet:
    with sample_writer.directory(out):
        sample_writer.write_strings(out, name, (len(order),), map(_content, (files[index] for index in order.tolist())))
        sample_writer.write_all_targets(out, targets, order)
    return SampleSet(out, (name,), len(order), tuple(targets))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise DataError(f"{file} cannot be read: {problem.strerror or problem}") from None


def _name(index: int) -> str:
    return f"image {index} of the data"
