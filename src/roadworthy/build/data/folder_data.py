"""Data from a folder: its images or files as samples, and the class index of each class folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from roadworthy.build.data import class_folders, masks
from roadworthy.build.data.class_names import spelling_key
from roadworthy.build.data.labels import matching
from roadworthy.build.data.listed_files import listed_files
from roadworthy.build.data.raw_data import ExpectedInputs, RawData
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import TARGET


@dataclass(frozen=True)
class _FolderClasses:
    """Class names by index, the index of each folder, and whether the index is only the folder's place in sorted order."""

    classes: tuple[str, ...]
    indices: Sequence[int]
    by_folder: bool = False
    notes: tuple[Note, ...] = ()


def read_folder(root: Path, expected: ExpectedInputs) -> RawData:
    """The samples below ``root``; raises DataError where its folders cannot be classes, or cannot be read."""
    labels = expected.contract.answer.labels
    try:
        if pairs := masks.pairs_of(root):
            return listed_files(pairs.pictures, {TARGET: masks.read(pairs.masks)}, expected, str(root))
        found = class_folders.read(root, (*labels, *expected.ids, *expected.suggested), images=expected.contract.takes_images)
    except OSError as problem:
        raise DataError(f"{problem.filename or root} cannot be read: {problem.strerror}") from None
    listed = listed_files([path for paths in found.members for path in paths], {}, expected, str(root))
    if not found.names:
        return replace(listed, notes=found.notes)
    placed = _suggested(found.names, expected.suggested) or _classes(root, found.names, labels, expected.ids)
    indices = np.repeat(np.array(placed.indices, np.int64), [len(paths) for paths in found.members])
    notes = (*found.notes, *placed.notes)
    return replace(listed, targets={TARGET: indices}, classes=placed.classes, by_folder=placed.by_folder, notes=notes)


def _suggested(folders: tuple[str, ...], names: tuple[str, ...]) -> _FolderClasses | None:
    """The class of each folder where all have one of the suggested names; None where one has not."""
    for known, spelled in matching.ways(names, ()):
        if (indices := _indices_by_name(folders, known, spelled)) is not None:
            return _FolderClasses(names, indices)
    return None


def _classes(root: Path, folders: tuple[str, ...], labels: tuple[str, ...], ids: tuple[str, ...]) -> _FolderClasses:
    """The class of each folder: by the label of its name, by its id, by a label of another spelling, else by sorted order."""
    for names, spelled in matching.ways(labels, ids):
        indices = _indices_by_name(folders, names, spelled)
        if indices is not None:
            return _FolderClasses(labels, indices)
    in_order = range(len(folders))
    if not labels:
        return _FolderClasses(folders, in_order, by_folder=True, notes=_note_on_numbers(folders))
    _refuse_other_names(root, folders, labels, ids)
    guess = f"no class folder has a label's name: they were taken in sorted order, {folders[0]}/ for {labels[0]!r} and so on"
    return _FolderClasses(labels, in_order, by_folder=True, notes=(Note(guess),))


def _indices_by_name(folders: Sequence[str], names: Sequence[str], spelled: Callable[[str], str]) -> list[int] | None:
    """The index of each folder's name among ``names``, compared as ``spelled``; None where one is not among them."""
    known, wanted = [spelled(name) for name in names], [spelled(folder) for folder in folders]
    if not known or not set(wanted) <= set(known):
        return None
    for folder, name in zip(folders, wanted, strict=True):
        if known.count(name) > 1 or wanted.count(name) > 1:
            raise DataError(f"the labels name {folder!r} twice, so the class of that folder cannot be told")
    return [known.index(name) for name in wanted]


def _refuse_other_names(root: Path, folders: Sequence[str], labels: Sequence[str], ids: Sequence[str]) -> None:
    """Raise DataError where the folders are not as many as the labels, or some have a class's name and others do not."""
    known = {spelling_key(name) for name in (*labels, *ids)}
    unknown = [folder for folder in folders if spelling_key(folder) not in known]
    if not unknown:
        raise DataError(f"{root}: some class folders are named by labels and others by ids; name all of them in one way")
    if len(labels) != len(folders) or len(unknown) < len(folders):
        raise DataError(
            f"{root}: the class folder {unknown[0]!r} is not among the {len(labels)} labels; give folders and labels the same names"
            f"{matching.hint(unknown[0], labels)}"
        )


def _note_on_numbers(folders: Sequence[str]) -> tuple[Note, ...]:
    """A note where folders that are numbers were counted as text: 1, 10, 2."""
    if not all(folder.isascii() and folder.isdecimal() for folder in folders):
        return ()
    for before, after in pairwise(folders):
        if int(after) < int(before):
            guess = f"the class folders are numbers and were counted in the order of text, {before}/ before {after}/"
            why = "as ImageFolder and Keras count them; a labels file with one number a line says another order"
            return (Note(f"{guess}, {why}"),)
    return ()
