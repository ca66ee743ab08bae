"""Samples that are files, listed by a folder or a manifest: images, texts, sounds and arrays, or the bytes of any file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from roadworthy.build.data.class_folders import is_image
from roadworthy.build.data.files import numbers
from roadworthy.build.data.raw_data import ExpectedInputs, RawData
from roadworthy.core.errors import DataError
from roadworthy.core.samples import Targets
from roadworthy.preprocess.items import SUFFIXES, WORDS


def listed_files(files: Sequence[Path], targets: Targets, expected: ExpectedInputs, what: str) -> RawData:
    """``files`` as samples of a model with one input: images where they are images, numbers where the model takes no byte strings.

    Raises DataError for files that such a model does not take, and for a model of several inputs.
    """
    kind = expected.contract.kind
    if len(expected.names) > 1 and kind != "text":
        names = ", ".join(expected.names)
        raise DataError(f"{what} holds one file a sample, but the model has {len(expected.names)} inputs ({names}); give an .npz file")
    classes = expected.contract.answer.labels
    if kind in SUFFIXES:
        if (odd := next((file for file in files if file.suffix.lower() not in SUFFIXES[kind]), None)) is not None:
            raise DataError(f"{odd} is not a {' or '.join(SUFFIXES[kind])} file, and the preprocessing takes {WORDS[kind][1]}")
        return RawData(len(files), targets, classes, items=files)
    if kind == "image" or any(map(is_image, files)):
        return RawData(len(files), targets, classes, items=files)
    if not expected.numbers:
        return RawData(len(files), targets, classes, files=files)
    odd = next((file for file in files if file.suffix.lower() not in numbers.SUFFIXES), None)
    if odd is not None:
        raise DataError(
            f"{odd} is neither an image nor a sound (.wav) nor an array (.npy), and the model takes numbers: make numbers of it in a "
            "function of your own, --data FILE.py:callable"
        )
    return RawData(len(files), targets, classes, files=files, numbers=True)
