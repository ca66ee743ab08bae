"""``docs/shape-operations.md``, written from what a walk finds: ``python tests/conformance/table.py``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from conformance import shapes  # noqa: E402
from conformance.walk import Row, WalkRequest, walk  # noqa: E402
from roadworthy.core.isolation import isolate  # noqa: E402
from roadworthy.core.isolation.worker import Limits  # noqa: E402

PAGE = ROOT / "docs" / "shape-operations.md"
QUICK = {
    "torch": ("pytorch", "torchscript", "litert", "onnxruntime", "openvino"),
    "tensorflow": ("tensorflow", "xla", "litert", "onnxruntime", "openvino"),
}
SLOW = ("aotinductor",)
"""Compiles every model for ten seconds; the page has it for each case, the tests for all cases in one model."""
TITLES = {"tensorflow": "TensorFlow", "torch": "PyTorch"}
EQUAL = "="

HEAD = """# The shape operations on every path

Each operation is a small model that goes the way of any other: loaded, captured by every route of every format, lowered to every
runtime that takes the graph, and asked at 1 and at 3 samples with a dynamic batch. `=` says that every output has the framework's own
shape and values, within 1e-5 of the output's scale. A number is a refusal, with its reason below the table. Where an operation moves
or joins the batch axis, the model brings it back to the front behind it.

The last case is the one that bites: a convolution, a flatten and a dense layer carried between the frameworks. TensorFlow flattens rows,
columns, channels; PyTorch channels, rows, columns. The dense kernel must be permuted with them, and then both give the same answers.

This page is written by `python tests/conformance/table.py`; the tests hold it against a walk of their own.
"""


def main() -> None:
    """Walk every case of both frameworks and write the page."""
    names = tuple(case.name for case in shapes.CASES)
    parts = [HEAD]
    for framework, title in TITLES.items():
        runtimes = QUICK[framework] + (SLOW if framework == "torch" else ())
        with tempfile.TemporaryDirectory() as folder:
            request = WalkRequest(framework, names, runtimes, Path(folder) / "walk")
            parts.append(f"\n## {title}\n\n{written(framework, isolate.call(walk, request, limits=Limits(seconds=1800)).rows)}")
    PAGE.write_text("".join(parts), encoding="utf-8")
    print(f"written: {PAGE}")


def written(framework: str, rows: tuple[Row, ...]) -> str:
    """The rows as a table, one line a way, and the reasons of its refusals."""
    ways = list(dict.fromkeys(cell.way for row in rows for cell in row.cells))
    operations = {case.name: case.operation if framework == "tensorflow" else case.in_torch for case in shapes.CASES}
    found = {row.case: {cell.way: cell for cell in row.cells} for row in rows}
    reasons: list[str] = []
    lines = [f"| operation | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}"]
    for name, cells in found.items():
        shown = []
        for way in ways:
            cell = cells.get(way)
            if cell and cell.refused and cell.refused not in reasons:
                reasons.append(cell.refused)
            shown.append("" if cell is None else cell.differs or (str(reasons.index(cell.refused) + 1) if cell.refused else EQUAL))
        lines.append(f"| {operations[name]} | {' | '.join(shown)} |")
    return "\n".join([*lines, "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1)), ""])


def read(framework: str) -> dict[str, dict[str, bool]]:
    """What the page says: by case and way, whether the answers are equal."""
    lines = PAGE.read_text(encoding="utf-8").partition(f"\n## {TITLES[framework]}\n")[2].partition("\n## ")[0].splitlines()
    table = [[part.strip() for part in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    ways = table[0][1:]
    names = {case.operation if framework == "tensorflow" else case.in_torch: case.name for case in shapes.CASES}
    return {names[row[0]]: {way: text == EQUAL for way, text in zip(ways, row[1:], strict=True) if text} for row in table[2:]}


if __name__ == "__main__":
    main()
