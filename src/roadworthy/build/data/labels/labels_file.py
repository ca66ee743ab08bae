"""Files of class names in the forms that people have: text, CSV, JSON, Python literals and YAML."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.build.data.class_names import ClassNames, is_background, repeated
from roadworthy.core.errors import BackendMissing, DataError
from roadworthy.preprocess.contract import Contract

FORMS = 'give one name a line, or JSON: a list of names, {"0": "name", ...} or {"name": 0, ...}'
WORDNET = re.compile(r"(n\d{8})[\s,:]+(.+)")
WORDNET_ID = re.compile(r"n\d{8}")
NUMBERED = re.compile(r"(\d+)\s*[,:;\t ]\s*(\S.*)")
HOLDERS = ("id2label", "label2id", "names", "class_names", "classes", "labels", "categories")
"""The keys under which the names are in a larger object: of Hugging Face, Ultralytics, COCO and others."""
NAME_KEYS = ("name", "label", "class", "class_name", "classname", "label_name", "names", "labels", "classes")
INDEX_KEYS = ("id", "index", "idx", "label_id", "class_id", "class_index")
YAML, TABLES = (".yaml", ".yml"), {".csv": ",;\t", ".tsv": "\t"}


def read(path: Path) -> ClassNames:
    """The names in the UTF-8 file ``path``. A byte order mark, Windows line ends, blank lines and comments (``# ...``) do not count.

    These forms are read: one name a line; lines that all begin with their index (``0 cat``, ``0,cat``, ``0: cat``) or with a WordNet
    id; CSV with a column of names, and perhaps one of indices and one of WordNet ids; JSON, YAML or a Python literal: a list of names,
    ``{index: name}``, ``{index: [id, name]}`` as Keras has it, ``{name: index}``, a list of ``{"id": index, "name": name}``, or an
    object that holds one of these under a key of ``HOLDERS``. Raises DataError for a file that can be read in two ways, or in none, and
    BackendMissing for YAML without PyYAML.
    """
    what = f"the labels file {path}"
    names = parse(_text(path, what), path.suffix.lower(), what)
    if not names.labels:
        raise DataError(f"{what} holds no names; {FORMS}")
    if "" in names.labels:
        raise DataError(f"{what} has no name for class {names.labels.index('')}; each class needs one")
    return names


def with_labels(contract: Contract, labels: str | Path | Sequence[str]) -> Contract:
    """The contract with class names in the order of the model's outputs: from a file (see ``read``), or as given."""
    found = read(Path(labels)).labels if isinstance(labels, str | Path) else tuple(labels)
    return replace(contract, answer=replace(contract.answer, labels=found))


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{what} cannot be read: it is not UTF-8 text") from None
    except OSError as problem:
        raise DataError(f"{what} cannot be read: {problem.strerror or problem}") from None


def parse(text: str, suffix: str, what: str) -> ClassNames:
    """The names in the ``text`` of a file with that ``suffix``, which the messages call ``what``; raises as ``read`` does."""
    # Where files were put together, a byte order mark may stand in the middle.
    lines = _content([line.strip().lstrip("\ufeff") for line in re.split(r"\r\n|\n|\r", text)])
    if not lines:
        raise DataError(f"{what} is empty; it needs one class name a line")
    if suffix in YAML:
        return _from_value(_yaml(text, what), what)
    if suffix == ".json" or _is_literal(lines):
        return _from_value(_literal(text.strip(), what), what)
    if suffix in TABLES:
        return _from_table(_table(lines, TABLES[suffix]), what)
    rows = [_index_and_name(line) for line in lines]
    return _by_index([(int(index), name) for index, name in rows], what) if _numbered(rows) else _without_ids(lines)


def _content(lines: Sequence[str]) -> list[str]:
    """The lines that are neither blank nor a comment. A ``#`` alone is a name, and so is ``#name`` where every line is one.

    Nothing is lost by it in silence: the names must be as many as the model's outputs.
    """
    full = [line for line in lines if line]
    comments = [line for line in full if len(line) > 1 and line.startswith("#")]
    return full if len(comments) == len(full) else [line for line in full if line not in comments]


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


def _yaml(text: str, what: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise BackendMissing(f"{what} is YAML, which PyYAML reads: pip install pyyaml, or {FORMS}") from None
    try:
        # This loader makes texts, lists and mappings alone: `no` stays a name.
        return yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as problem:
        where = getattr(problem, "problem_mark", None)
        raise DataError(f"{what} is not valid YAML{f' (line {where.line + 1})' if where else ''}; {FORMS}") from None


def _unique(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    if again := repeated(key for key, _ in pairs):
        raise DataError(f"{what} has the key {again[0]!r} twice")
    return dict(pairs)


def _from_value(value: Any, what: str) -> ClassNames:
    if isinstance(value, Mapping):
        held = next((value[key] for key in HOLDERS if isinstance(value.get(key), Mapping | list | tuple)), None)
        return _from_object(value, what) if held is None else _from_value(held, what)
    if isinstance(value, list | tuple):
        return _from_list(value, what)
    raise DataError(f"{what} holds something else than names; {FORMS}")


def _from_list(values: Sequence[Any], what: str) -> ClassNames:
    """Names, whole numbers as names, pairs of an index or an id and a name, or objects of a name and perhaps its index."""
    if all(isinstance(name, str) for name in values) or all(type(name) is int for name in values):
        return ClassNames(tuple(str(name).strip() for name in values))
    if all(map(_is_id_and_name, values)):
        return ClassNames(*_columns(values))
    if all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[1], str) and _index(pair[0]) is not None for pair in values
    ):
        return _by_index([(_index(index), name) for index, name in values], what)
    if all(isinstance(item, Mapping) for item in values):
        names = [next((item[key] for key in NAME_KEYS if isinstance(item.get(key), str)), None) for item in values]
        indices = [next((_index(item[key]) for key in INDEX_KEYS if key in item), None) for item in values]
        if None not in names:
            found = [str(name) for name in names]
            return ClassNames(tuple(found)) if None in indices else _by_index(list(zip(indices, found, strict=True)), what)
    raise DataError(f"{what} holds something else than names; {FORMS}")


def _from_object(value: Mapping[Any, Any], what: str) -> ClassNames:
    """``{index: name}``, ``{index: [id, name]}`` or ``{name: index}``: whichever side is whole numbers holds the indices."""
    keys = [_index(key) for key in value]
    by_index = bool(value) and None not in keys
    items = [_index(item) if isinstance(item, int) or not by_index else None for item in value.values()]
    by_name = bool(value) and None not in items
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
    return isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(part, str) for part in item) and _index(item[0]) is None


def _columns(pairs: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names and the ids of pairs of an id and a name."""
    return tuple(name.strip() for _, name in pairs), tuple(one.strip() for one, _ in pairs)


def _index(value: Any) -> int | None:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\d{1,9}", value))):
        return None
    return int(value)


def _table(lines: Sequence[str], delimiters: str) -> list[list[str]]:
    """The cells, by the delimiter that gives most columns, the same number in each row."""
    tables = [[[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=one)] for one in delimiters]
    even = [rows for rows in tables if len({len(row) for row in rows}) == 1]
    return max(even or tables[:1], key=lambda rows: len(rows[0]))


def _from_table(rows: list[list[str]], what: str) -> ClassNames:
    """The rows of a CSV file: a column of names, perhaps with one of indices and one of WordNet ids, a heading first or not."""
    heading = [cell.casefold().replace(" ", "_") for cell in rows[0]]
    width = len(heading)
    for body, named in ((rows, []), (rows[1:], heading)):
        if not body or any(len(row) != width for row in rows):
            continue
        columns = [list(column) for column in zip(*body, strict=True)]
        index = [place for place, cells in enumerate(columns) if all(_index(cell) is not None for cell in cells)]
        ids = [place for place, cells in enumerate(columns) if all(map(WORDNET_ID.fullmatch, cells))]
        names = [place for place in range(width) if place not in (*index, *ids)]
        if len(names) > 1:
            names = [place for place in names if named and named[place] in NAME_KEYS]
        if len(names) != 1 or len(index) > 1 or len(ids) > 1 or (width > 1 and not index and not ids and not named):
            continue
        if width == 1 and not named and heading[0] in NAME_KEYS and len(rows) > 1:
            continue
        chosen = columns[names[0]]
        if not index:
            return ClassNames(tuple(chosen), tuple(columns[ids[0]])) if ids else _without_ids(chosen)
        numbered = [_index(cell) for cell in columns[index[0]]]
        found = _by_index(list(zip(numbered, chosen, strict=True)), what)
        return ClassNames(found.labels, _by_index(list(zip(numbered, columns[ids[0]], strict=True)), what).labels) if ids else found
    if width == 1:
        return _without_ids([cell for (cell,) in rows])
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
    """The names without the WordNet ids that all of them begin with, if they do. A background class has none: its name is its id."""
    names = [line.strip() for line in lines]
    found = [WORDNET.fullmatch(name) for name in names]
    without = [name for name, match in zip(names, found, strict=True) if match is None]
    if len(without) == len(names) or len(without) > 1 or not all(map(is_background, without)):
        return ClassNames(tuple(names))
    pairs = [(match[1], match[2].strip()) if match else (name, name) for name, match in zip(names, found, strict=True)]
    return ClassNames(*_columns(pairs))
