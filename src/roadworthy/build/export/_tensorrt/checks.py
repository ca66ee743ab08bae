"""What static checkers say of the ONNX file, where they are installed: trtcheck and polygraphy; no GPU is needed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from roadworthy.core.text import first_line

LIMIT = 300
"""Seconds that polygraphy may take."""
_LINT = "import sys; from polygraphy.tools import main; sys.exit(main())"


def findings(model: Path) -> tuple[str, ...]:
    """One line for each checker: what it found, or that it is not installed."""
    return (f"trtcheck: {_trtcheck(model)}", f"polygraphy check lint: {_polygraphy(model)}")


def _trtcheck(model: Path) -> str:
    if importlib.util.find_spec("trtcheck") is None:
        return "not installed, so not asked"
    import trtcheck

    try:
        report = trtcheck.analyze(model)
    except Exception as problem:
        return f"it failed: {first_line(problem)}"
    found = [f"{issue.severity.value}: {issue.message}" for issue in report.issues]
    return f"for TensorRT {report.target_trt}: {'; '.join(found) or 'nothing found'}"


def _polygraphy(model: Path) -> str:
    if any(importlib.util.find_spec(name) is None for name in ("polygraphy", "onnx_graphsurgeon")):
        return "not installed, so not asked"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "lint.json"
        command = [sys.executable, "-c", _LINT, "check", "lint", str(model), "-o", str(report)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return f"it took more than {LIMIT} s"
        if not report.is_file():
            return f"it failed: {(done.stdout + done.stderr).strip().splitlines()[-1:] or ['it said nothing']}"
        return "; ".join(_entries(json.loads(report.read_text()))) or "nothing found"


def _entries(report: dict[str, list[dict[str, object]]]) -> Iterator[str]:
    for entry in report.get("lint_entries", []):
        yield f"{entry.get('level', 'note')}: {entry.get('message', entry)}"
