"""Data from a folder: its images or files as samples, and the class index of each class folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.data import class_folders, class_order, masks
from roadworthy.build.data.listed_files import listed_files
from roadworthy.build.data.raw_data import ExpectedInputs, RawData
from roadworthy.core.errors import DataError
from roadworthy.core.samples import TARGET


def read_folder(root: Path, expected: ExpectedInputs) -> RawData:
    """The samples below ``root``; raises DataError where its folders cannot be classes, or cannot be read."""
    labels = expected.contract.answer.labels
    try:
        if pairs := masks.pairs_of(root):
            return listed_files(pairs.pictures, {TARGET: masks.read(pairs.masks)}, expected, str(root))
        found = class_folders.read(root, (*labels, *expected.ids), images=expected.contract.takes_images)
    except OSError as problem:
        raise DataError(f"{problem.filename or root} cannot be read: {problem.strerror}") from None
    listed = listed_files([path for paths in found.members for path in paths], {}, expected, str(root))
    if not found.names:
        return replace(listed, notes=found.notes)
    placed = class_order.order_of(str(root), found.names, labels, expected.ids, class_order.FOLDER)
    indices = np.repeat(np.array(placed.indices, np.int64), [len(paths) for paths in found.members])
    notes = (*found.notes, *placed.notes)
    return replace(listed, targets={TARGET: indices}, classes=placed.classes, by_folder=placed.by_order, notes=notes)
