"""Evaluation data in any form to one sample set on disk, checked against the model, and split for calibration."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from roadworthy.build import user_object
from roadworthy.build.data import class_names, raw_writer, sample_writer
from roadworthy.build.data.raw_data import UNNAMED, ExpectedInputs
from roadworthy.build.data.raw_writer import Tell
from roadworthy.build.data.read_data import read_data
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.preprocess import pictures
from roadworthy.preprocess.pictures import Pictures

CALIBRATION_SHARE = 5
"""Calibration takes at most one sample in this many."""
FEWEST_TO_SPLIT = 20
ORDER_SEED = 1


@dataclass(frozen=True)
class Dataset:
    """Samples with the names of their classes by index (empty where none are known).

    ``by_folder`` says that the classes are the folders in sorted order, which is right only where training
    numbered exactly these folders: ``check_classes`` compares it with the model. ``notes`` says what was guessed. ``pictures`` are the
    images of the first samples, in their order, where the samples were made from images.
    """

    samples: SampleSet
    classes: tuple[str, ...]
    kind: Literal["labelled", "unlabelled"]
    by_folder: bool = False
    notes: tuple[Note, ...] = ()
    pictures: Pictures | None = None


@dataclass(frozen=True)
class GatherRequest:
    """The arguments of ``gather_step``: data that the user named, and what is known of the model."""

    data: str
    expected: ExpectedInputs
    out: Path


def gather_step(request: GatherRequest) -> Dataset:
    """``gather`` as a step for ``isolate.call``: the user's code runs in a child process."""
    return gather(request.data, request.expected, request.out)


def is_code(data: str) -> bool:
    """Whether ``data`` names a function that has to be imported; one in the running program's ``__main__`` is imported already."""
    function = user_object.named_in(data)
    return function is not None and function.module != "__main__"


def gather(data: Any, expected: ExpectedInputs, out: Path, tell: Tell = lambda done, count: None) -> Dataset:
    """Every sample of ``data`` (or ``expected.limit`` of them, classes evenly), preprocessed, as a sample set in the new directory ``out``.

    ``data`` is one of the forms that `docs/data.md` lists:

    - a directory with one folder of images for each class, numbered in sorted order as by torchvision's ImageFolder, or by the
      line of the labels that holds the folder's name (or of ``expected.ids``, the classes' other names); or a directory of images
      alone, unlabelled;
    - the same with other files: numbers of sounds and arrays where the model takes no byte strings, else the bytes of each file;
    - a file of arrays (``.npz``, ``.npy``), a table of samples or of files (``.csv``, ``.parquet``, ``.jsonl``), or of texts (``.txt``);
    - ``module:callable`` or ``FILE.py:callable``, which returns anything that is taken in memory;
    - in memory: whatever ``live.forms`` knows.

    Where the contract takes images and the model one input, uint8 images [n,h,w,3], [n,h,w,1] or [n,h,w], lists of images and encoded
    images go through its steps; other arrays are taken as ready samples, first axis samples. The order is shuffled, the same each time,
    so that every beginning of the set holds all classes evenly. ``tell`` is told how many samples are written. Raises DataError, and
    OutOfSpace on a full disk; then nothing is left at ``out``.
    """
    if expected.limit is not None and expected.limit < 1:
        raise DataError(f"a limit of {expected.limit} samples leaves none")
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        raw = read_data(data, expected, Path(scratch) / "stream")
        order = sample_writer.balanced_order(raw.count, raw.targets)[: expected.limit]
        name = expected.names[0] if expected.names else UNNAMED
        samples, notes = raw_writer.write(raw, name, order, expected, out, tell)
        kept = pictures.keep(raw.items, order, out / "pictures") if raw.items is not None and expected.contract.takes_images else None
    return Dataset(samples, raw.classes, "labelled" if raw.targets else "unlabelled", raw.by_folder, (*raw.notes, *notes), kept)


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
    are fewer than 20 or none is asked for. They are written to ``out/evaluation`` and ``out/calibration``, the first in random order:
    each beginning of it then is a sample of the whole.
    """
    taken = min(calibration, samples.count // CALIBRATION_SHARE)
    if samples.count < FEWEST_TO_SPLIT or taken < 1:
        return samples, None
    targets, arrays = samples.open_targets(), samples.open()
    order = sample_writer.balanced_order(samples.count, targets)
    evaluated = np.random.default_rng(ORDER_SEED).permutation(order[taken:])
    return (
        sample_writer.write(out / "evaluation", arrays, targets, evaluated),
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
