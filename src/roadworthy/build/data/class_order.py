"""Which class of the model each class of the data is: by the names of both, else by sorted order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from roadworthy.build.data.class_names import spelling_key
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note

FOLDER, NAME = "class folder", "class name"
"""What has the name of a class in the data."""


@dataclass(frozen=True)
class ClassOrder:
    """Class names by index, the index of each class of the data, and whether that is only its place in sorted order."""

    classes: tuple[str, ...]
    indices: Sequence[int]
    by_order: bool = False
    notes: tuple[Note, ...] = ()


def order_of(what: str, found: tuple[str, ...], labels: tuple[str, ...], ids: tuple[str, ...], unit: str) -> ClassOrder:
    """The class of each name in ``found``, sorted names of folders or labels (``unit``) of the data ``what``.

    By the label of that name, by its id, by a label of another spelling, else by sorted order. Raises DataError where the names of the
    data and ``labels`` cannot be matched.
    """
    for names, spelled in ((labels, str), (ids, str), (labels, spelling_key)):
        indices = _indices_by_name(found, names, spelled, unit)
        if indices is not None:
            return ClassOrder(labels, indices)
    in_order, end = range(len(found)), "/" if unit == FOLDER else ""
    if not labels:
        return ClassOrder(found, in_order, by_order=True, notes=_note_on_numbers(found, unit, end))
    _refuse_other_names(what, found, labels, ids, unit)
    guess = f"no {unit} is a label: they were taken in sorted order, {found[0]}{end} for {labels[0]!r} and so on"
    return ClassOrder(labels, in_order, by_order=True, notes=(Note(guess),))


def _indices_by_name(found: Sequence[str], names: Sequence[str], spelled: Callable[[str], str], unit: str) -> list[int] | None:
    """The index of each of ``found`` among ``names``, compared as ``spelled``; None where one is not among them."""
    known, wanted = [spelled(name) for name in names], [spelled(name) for name in found]
    if not known or not set(wanted) <= set(known):
        return None
    for own, name in zip(found, wanted, strict=True):
        if known.count(name) > 1 or wanted.count(name) > 1:
            raise DataError(f"the labels name {own!r} twice, so the class of that {unit} cannot be told")
    return [known.index(name) for name in wanted]


def _refuse_other_names(what: str, found: Sequence[str], labels: Sequence[str], ids: Sequence[str], unit: str) -> None:
    """Raise DataError where the classes of the data are not as many as the labels, or some have a label's name and others do not."""
    known = {spelling_key(name) for name in (*labels, *ids)}
    unknown = [name for name in found if spelling_key(name) not in known]
    if not unknown:
        raise DataError(f"{what}: some {unit}s are labels and others ids; name all of them in one way")
    if len(labels) != len(found) or len(unknown) < len(found):
        raise DataError(f"{what}: the {unit} {unknown[0]!r} is not among the {len(labels)} labels; give {unit}s and labels the same names")


def _note_on_numbers(found: Sequence[str], unit: str, end: str) -> tuple[Note, ...]:
    """A note where names that are numbers were counted as text: 1, 10, 2."""
    if not all(name.isascii() and name.isdecimal() for name in found):
        return ()
    for before, after in pairwise(found):
        if int(after) < int(before):
            guess = f"the {unit}s are numbers and were counted in the order of text, {before}{end} before {after}{end}"
            why = "as ImageFolder and Keras count them; a labels file with one number a line says another order"
            return (Note(f"{guess}, {why}"),)
    return ()
