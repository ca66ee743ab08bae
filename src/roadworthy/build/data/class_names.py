"""Class names in the order of the model's outputs, from files in the forms that people have them, and whether they fit the model."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from roadworthy.core.errors import DataError
from roadworthy.preprocess.contract import Contract

FORMS = 'give one name a line, or JSON: a list of names, {"0": "name", ...} or {"name": 0, ...}'
WORDNET = re.compile(r"(n\d{8})[\s,:]+(.+)")
NUMBERED = re.compile(r"(\d+)\s*[,:;\t ]\s*(\S.*)")
BACKGROUND = re.compile(r"_*background_*|dummy|\?\?\?", re.IGNORECASE)


@dataclass(frozen=True)
class ClassNames:
    """Class names by index; ``ids`` are the classes' other names (WordNet's), as many or none."""

    labels: tuple[str, ...]
    ids: tuple[str, ...] = ()


def read(path: Path) -> ClassNames:
    """The names in the UTF-8 file ``path``. A byte order mark, Windows line ends and blank lines at the end do not count.

    These forms are read: one name a line; lines that all begin with their index (``0 cat``, ``0,cat``, ``0: cat``) or with a WordNet
    id; CSV of one column, or of index and name, with or without a heading; JSON or a Python literal: a list of names,
    ``{index: name}``, ``{index: [id, name]}`` as Keras has it, ``{name: index}``, or an object that holds ``id2label`` or ``label2id``
    as Hugging Face has it. Raises DataError for a file that can be read in two ways, or in none.
    """
    what = f"the labels file {path}"
    names = _parsed(_text(path, what), path.suffix.lower(), what)
    if not names.labels:
        raise DataError(f"{what} holds no names; {FORMS}")
    if "" in names.labels:
        raise DataError(f"{what} has no name for class {names.labels.index('')}; each class needs one")
    return names


def with_labels(contract: Contract, labels: str | Path | Sequence[str]) -> Contract:
    """The contract with class names in the order of the model's outputs: from a file (see ``read``), or as given."""
    found = read(Path(labels)).labels if isinstance(labels, str | Path) else tuple(labels)
    return replace(contract, answer=replace(contract.answer, labels=found))


def check_count(labels: Sequence[str], outputs: int, output: str, where: str = "") -> None:
    """Raises DataError where ``labels`` are not as many as the output ``output`` tells classes apart: ``outputs``, or 2 by a single one.

    ``where`` names their file in the sentence.
    """
    wanted = max(outputs, 2)
    if len(labels) == wanted:
        return
    many = f"are {len(labels)} class names" if len(labels) != 1 else "is 1 class name"
    named = f"there {many}{where and f' in {where}'} (first {labels[0]!r}, last {labels[-1]!r})"
    if outputs == 1:
        raise DataError(
            f"{named}; the model's output {output!r} is one number a sample, which tells two classes apart: name both, first the one that "
            "low values stand for, or leave the names out"
        )
    hint = "give one name for each output, in its order"
    if len(labels) == outputs + 1 and BACKGROUND.fullmatch(labels[0]):
        hint = f"leave {labels[0]!r} out: this model has no such class"
    elif len(labels) + 1 == outputs:
        hint += "; a model with a background class in front needs a name for that too"
    raise DataError(f"{named}; the model's output {output!r} has {outputs}: {hint}")


def spelling_key(name: str) -> str:
    """The same text for every spelling of one name: case and the way in which its words are joined do not count."""
    return " ".join(re.split(r"[\s_-]+", name.casefold())).strip()


def repeated(labels: Iterable[str]) -> tuple[str, ...]:
    """The names that several classes have."""
    return tuple(name for name, count in Counter(labels).items() if count > 1)


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{what} cannot be read: it is not UTF-8 text") from None
    except OSError as problem:
        raise DataError(f"{what} cannot be read: {problem.strerror or problem}") from None


def _parsed(text: str, suffix: str, what: str) -> ClassNames:
    lines = [line.strip() for line in re.split(r"\r\n|\n|\r", text)]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{what} is empty; it needs one class name a line")
    if suffix == ".json" or _is_literal(lines):
        return _from_value(_literal(text.strip(), what), what)
    if "" in lines:
        raise DataError(f"{what} has an empty line {lines.index('') + 1}; a line's number is the class index, so none may be blank")
    if suffix == ".csv":
        return _from_table(list(csv.reader(lines)), what)
    rows = [_index_and_name(line) for line in lines]
    return _by_index([(int(index), name) for index, name in rows], what) if _numbered(rows) else _without_ids(lines)


def _is_literal(lines: Sequence[str]) -> bool:
    """Whether the text is one list or object: bracketed as a whole, and not line by line, as ``[PAD]`` is."""
    brackets = {"[": "]", "{": "}"}
    closing = brackets.get(lines[0][:1])
    return closing is not None and lines[-1].endswith(closing) and (len(lines) == 1 or not lines[0].endswith(closing))


def _literal(text: str, what: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, what))
    except (json.JSONDecodeError, RecursionError) as problem:
        wrong = problem
    try:
        # {0: 'tench', ...}, as printed by Python.
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise DataError(f"{what} begins as JSON and is not valid JSON ({wrong}); {FORMS}") from None


def _unique(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    if again := repeated(key for key, _ in pairs):
        raise DataError(f"{what} has the key {again[0]!r} twice")
    return dict(pairs)


def _from_value(value: Any, what: str) -> ClassNames:
    if isinstance(value, Mapping):
        if isinstance(value.get("id2label"), Mapping):
            return _from_object(value["id2label"], what)
        return _from_object(value["label2id"] if isinstance(value.get("label2id"), Mapping) else value, what)
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return ClassNames(tuple(name.strip() for name in value))
    raise DataError(f"{what} holds something else than names; {FORMS}")


def _from_object(value: Mapping[Any, Any], what: str) -> ClassNames:
    """``{index: name}``, ``{index: [id, name]}`` or ``{name: index}``: whichever side is whole numbers holds the indices."""
    keys = [_index(key) for key in value]
    items = [_index(item) if isinstance(item, int) else None for item in value.values()]
    by_index, by_name = bool(value) and None not in keys, bool(value) and None not in items
    if by_index and by_name and keys != items:
        raise DataError(f"{what} has whole numbers on both sides, so it is not clear which is the index; give a list of names")
    if by_name:
        return _by_index(list(zip(items, map(str, value), strict=True)), what)
    found = list(value.values())
    if by_index and all(isinstance(name, str) for name in found):
        return _by_index(list(zip(keys, found, strict=True)), what)
    if by_index and all(map(_is_id_and_name, found)):
        ids, names = (_by_index(list(zip(keys, column, strict=True)), what).labels for column in zip(*found, strict=True))
        return ClassNames(names, ids)
    raise DataError(f"{what} is an object whose entries are not names by index; {FORMS}")


def _is_id_and_name(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(part, str) for part in item)


def _index(value: Any) -> int | None:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\d{1,9}", value))):
        return None
    return int(value)


def _from_table(rows: list[list[str]], what: str) -> ClassNames:
    """The rows of a CSV file: names alone, or names with their index on either side, a heading first or not."""
    rows = [[cell.strip() for cell in row] for row in rows]
    width = max(map(len, rows))
    if width == 1:
        return _without_ids([cell for (cell,) in rows])
    if width == 2 and all(len(row) == 2 for row in rows):
        for place in (0, 1):
            body = rows if _index(rows[0][place]) is not None else rows[1:]
            if body and all(_index(row[place]) is not None for row in body):
                return _by_index([(int(row[place]), row[1 - place]) for row in body], what)
    raise DataError(f"{what} has columns that are not an index and a name; {FORMS}")


def _by_index(pairs: Sequence[tuple[int | None, str]], what: str) -> ClassNames:
    """The names in the order of their indices, which are 0, 1, 2 and so on, each once."""
    found = sorted((index, name.strip()) for index, name in pairs if index is not None)
    indices = [index for index, _ in found]
    if indices != list(range(len(found))):
        raise DataError(
            f"{what} numbers its {len(found)} names from {indices[0]} to {indices[-1]}; the outputs are counted from 0 to "
            f"{len(found) - 1}, each once: give the names alone, one a line, in the order of the outputs"
        )
    return _without_ids([name for _, name in found])


def _numbered(rows: Sequence[Sequence[str]]) -> bool:
    """Whether every line begins with its class's index: numbers from 0 or 1 on, each once, and names of their own behind them.

    "1 finger", "2 fingers" and "3 fingers" do not: their numbers belong to the names.
    """
    if len(rows) < 2 or any(len(row) != 2 for row in rows) or repeated(name for _, name in rows):
        return False
    indices = sorted(int(index) for index, _ in rows)
    return indices in (list(range(len(rows))), list(range(1, len(rows) + 1)))


def _index_and_name(line: str) -> list[str]:
    match = NUMBERED.fullmatch(line)
    return [match[1], match[2]] if match else [line]


def _without_ids(lines: Sequence[str]) -> ClassNames:
    """The names without the WordNet ids that all of them begin with, if they do."""
    found = [WORDNET.fullmatch(line) for line in lines]
    if lines and all(found):
        return ClassNames(tuple(match[2].strip() for match in found if match), tuple(match[1] for match in found if match))
    return ClassNames(tuple(line.strip() for line in lines))
