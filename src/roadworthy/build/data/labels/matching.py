"""The spellings of one class: the name of its folder and that in the labels file are seldom written in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from roadworthy.build.data.class_names import spelling_key
from roadworthy.core.samples import one_each
from roadworthy.core.types import Array

WORDNET = re.compile(r"(n\d{8})(?:[\s._-].*)?")
NUMBER = re.compile(r"\d+[\s._-]+(?=\S)")


def ways(labels: Sequence[str], ids: Sequence[str]) -> Iterator[tuple[Sequence[str], Callable[[str], str]]]:
    """The ways to compare names of the data with the model's classes, best first: the classes' names, and how both sides are spelled.

    By the label as it is, by its id, by another spelling of the label, by the id that a name begins with (``n01440764_tench``), by the
    first of a label's synonyms (``tench, Tinca tinca``), and without a number in front (``001.Black_footed_Albatross``).
    """
    yield labels, str
    yield ids, str
    yield labels, spelling_key
    yield ids, _wordnet_id
    yield labels, _first_synonym
    yield labels, _without_number


def as_labels(y: Array, labels: Sequence[str], ids: Sequence[str]) -> Array:
    """Texts as targets, one a sample or rows of them, spelled as the ``labels`` that they name; ``y`` as it is where one names none."""
    found = sorted({str(name) for row in y for name in np.ravel(row)})
    for names, spelled in ways(labels, ids):
        known = [spelled(name) for name in names]
        if known and all(known.count(spelled(name)) == 1 for name in found):
            label = {name: labels[known.index(spelled(name))] for name in found}
            rows = [np.array([label[str(name)] for name in np.ravel(row)]).reshape(np.shape(row)) for row in y]
            return one_each(rows) if y.dtype == np.dtype(object) else np.array(rows)
    return y


def hint(unknown: str, labels: Sequence[str]) -> str:
    """What to do about a name that is not a label, where it is an id and the labels have none; empty otherwise."""
    if not WORDNET.fullmatch(unknown) or any(map(WORDNET.fullmatch, labels)):
        return ""
    return f": {unknown!r} is a WordNet id, so begin each line of the labels file with its id, as in '{_wordnet_id(unknown)} tench'"


def _wordnet_id(name: str) -> str:
    match = WORDNET.fullmatch(name)
    return match[1] if match else name


def _first_synonym(name: str) -> str:
    return spelling_key(name.split(",")[0])


def _without_number(name: str) -> str:
    return spelling_key(NUMBER.sub("", name, count=1) if NUMBER.match(name) else name)
