"""The bounds of a run on a quiet machine: each is of a figure that some test records, and a figure outside is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dependability.bounds import BOUNDS, breaches
from dependability.harness import Record


def recorded(row: str, **figures: float | None) -> Record:
    return Record(row, "case", "", "", figures, "2026-01-01", "here", False)


@pytest.mark.parametrize(("row", "figure"), BOUNDS)
def test_a_bound_is_of_a_figure_that_is_recorded(row: str, figure: str) -> None:
    assert any(f"        {figure}=" in text or f" {figure}=" in text for text in sources(row))


def sources(row: str) -> list[str]:
    texts = [file.read_text() for file in Path(__file__).parent.glob("test_*.py") if file.name != Path(__file__).name]
    return [text for text in texts if f'"{row}"' in text]


def test_what_lies_outside_is_named_and_nothing_else() -> None:
    assert list(breaches([recorded("overload", refused_p50_ms=20, goodput_a_cpu_second_share=0.9, refused_p99_ms=1e9)])) == []
    assert list(breaches([recorded("overload", refused_p50_ms=None)])) == []
    said = list(breaches([recorded("overload", refused_p50_ms=200, goodput_a_cpu_second_share=0.3), recorded("gone", told_after_s=2)]))
    assert said == [
        "overload case: refused_p50_ms is 200, and should be at most 150",
        "overload case: goodput_a_cpu_second_share is 0.3, and should be at least 0.6",
        "gone case: told_after_s is 2, and should be at most 1",
    ]
