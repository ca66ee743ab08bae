"""Tables in files: CSV, Parquet and JSON lines as a DataFrame."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from roadworthy.core.errors import BackendMissing, DataError
from roadworthy.core.text import first_line

SEPARATORS = ",;\t|"
SNIFFED = 1 << 16
"""Characters at the beginning of a CSV file that show its separator."""
INDEX = "Unnamed: 0"
"""What pandas calls the column that it wrote without a name: the number of the row."""


def read_table(path: Path) -> Any:
    """The table in ``path`` as a DataFrame; its suffix says what it is.

    Raises DataError, with the line where that is known, for a file that cannot be read, BackendMissing without the packages for it.
    """
    pandas = _pandas(path)
    try:
        frame = READERS[path.suffix.lower()](path, pandas)
    except (DataError, BackendMissing):
        raise
    except ImportError:
        raise BackendMissing(f"{path} needs pyarrow to be read: pip install 'roadworthy[tables]'") from None
    except UnicodeDecodeError as problem:
        raise DataError(f"{path} is not UTF-8 text: {problem.reason} at byte {problem.start}") from None
    except Exception as problem:
        raise DataError(f"{path} cannot be read as a table: {first_line(problem)}", detail=repr(problem)) from None
    if not len(frame):
        raise DataError(f"{path} has no rows")
    return frame.drop(columns=INDEX) if INDEX in frame.columns else frame


def _pandas(path: Path) -> Any:
    try:
        import pandas
    except ImportError:
        raise BackendMissing(f"{path} needs pandas to be read: pip install 'roadworthy[tables]'") from None
    return pandas


def _csv(path: Path, pandas: Any) -> Any:
    """Numbers are read exactly. In a column of texts every cell is kept as it is written, ``NA`` and ``null`` too."""
    separator = _separator(path)
    heading = None if _has_no_heading(path, separator) else "infer"
    options = {"sep": separator, "header": heading, "encoding": "utf-8-sig", "low_memory": False}
    frame = pandas.read_csv(path, **options)
    texts = [place for place, dtype in enumerate(frame.dtypes) if dtype.kind not in "biufmM"]
    if texts and frame.iloc[:, texts].isna().any(axis=None):
        kept = pandas.read_csv(path, **options, dtype=str, keep_default_na=False)
        for place in texts:
            frame[frame.columns[place]] = kept.iloc[:, place]
    return frame


def _parquet(path: Path, pandas: Any) -> Any:
    return pandas.read_parquet(path)


def _json_lines(path: Path, pandas: Any) -> Any:
    rows = []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows.append(_row(line, f"{path}, line {number}"))
    return pandas.DataFrame(rows)


def _row(line: str, what: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as problem:
        raise DataError(f"{what} is not JSON: {problem}") from None
    if not isinstance(row, dict):
        raise DataError(f"{what} is not an object of names and values")
    return row


READERS: dict[str, Callable[[Path, Any], Any]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".pq": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}


def _separator(path: Path) -> str:
    first = _first_lines(path)[0] if path.suffix.lower() != ".tsv" else "\t"
    return max(SEPARATORS, key=first.count)


def _has_no_heading(path: Path, separator: str) -> bool:
    """Whether the first line holds numbers alone, and so no names."""
    cells = next(csv.reader(_first_lines(path)[:1], delimiter=separator), [])
    return bool(cells) and all(map(_is_number, cells))


def _first_lines(path: Path) -> list[str]:
    with open(path, encoding="utf-8-sig") as file:
        return file.read(SNIFFED).splitlines() or [""]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
