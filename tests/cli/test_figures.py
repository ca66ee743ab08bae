"""What the terminal says of figures that are not certain: each with its mark, none called disturbed where no round was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from roadworthy.build.benchmark import Today
from roadworthy.cli.checkup import Checkup
from roadworthy.cli.console import terminal
from roadworthy.cli.console.checkup import show_checkup
from roadworthy.cli.console.comparison import show_comparison
from roadworthy.cli.console.deployment import show_deployment, show_times
from roadworthy.core.evidence import Interval
from roadworthy.serving.engine.golden_check import GoldenCheck
from support.models import certificates, comparisons
from support.models.bundles import other_host


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Console:
    recorder = Console(record=True, width=200, force_terminal=False)
    monkeypatch.setattr(terminal, "output", recorder)
    return recorder


def line(printed: Console, name: str) -> str:
    """The row of the table that begins with ``name``."""
    return next(text for text in printed.export_text(clear=False).splitlines() if text.split() and text.split()[0] == name)


def shown(printed: Console, **changes: object) -> str:
    """The row of a winner whose timing has these changes."""
    whole = certificates.realistic()
    name = whole.choice.winner
    measured = []
    for one in whole.measured:
        timing = replace(one.timing, **changes)
        measured.append(replace(one, timing=timing) if one.verified.candidate.plan.name == name else one)
    show_deployment(Path("bundle"), replace(whole, measured=tuple(measured)), as_json=False)
    return line(printed, name)


def test_certain_figures_have_no_mark(printed: Console) -> None:
    assert "?" not in shown(printed) and "?" not in printed.export_text()


def test_every_figure_that_is_not_certain_is_marked(printed: Console) -> None:
    rate = certificates.timing(0.49).rate
    assert rate is not None
    found = shown(printed, trusted=False, paired=False, rate=replace(rate, trusted=False))
    assert "? 0.49" in found and "? 0.784" in found and "? 9.24 [" in found and "? 3878 at 16" in found
    assert "rounds that do not agree" in printed.export_text()


def test_the_time_of_every_stage_is_shown_with_its_longest_process_first_and_adds_up(printed: Console) -> None:
    show_times(certificates.realistic())
    text = printed.export_text(clear=False)
    assert line(printed, "candidates").split() == ["candidates", "120.0", "verify-openvino-int8-b1-t2", "31.0"]
    assert text.index("verify-openvino-int8-b1-t2") < text.index("lower-onnx-openvino-int8-b1")
    assert line(printed, "all").split() == ["all", "141.2"]


def test_without_rounds_of_throughput_there_is_no_figure(printed: Console) -> None:
    assert " - " in shown(printed, rate=None)


@pytest.mark.parametrize(
    ("noisy", "words"),
    [(18, "other processes disturbed 18 of 20 rounds"), (0, "the 2 rounds do not agree")],
)
def test_a_checkup_says_why_todays_figure_is_not_certain(printed: Console, noisy: int, words: str) -> None:
    one = Interval(1.0, 0.9, 1.1)
    today = Today(one, 1.2, 2, noisy, trusted=False)
    golden = GoldenCheck("null-fp32-t1", 8, 0.0, 1e-5)
    found = Checkup("b", "null-fp32-t1", 5, golden, (), (), other_host(), other_host(), one, today)
    show_checkup(found, as_json=False)
    assert words in printed.export_text()


def test_a_checkup_begins_with_what_limits_all_that_was_proven(printed: Console) -> None:
    one = Interval(1.0, 0.9, 1.1)
    golden = GoldenCheck("null-fp32-t1", 8, 0.0, 1e-5)
    warnings = ("no data was given: the answers were compared on generated values",)
    today = Today(one, 1.2, 20, 0, trusted=True)
    show_checkup(Checkup("b", "null-fp32-t1", 5, golden, warnings, (), other_host(), other_host(), one, today), as_json=False)
    first = printed.export_text().splitlines()[0]
    assert first.split() == ["warning", *warnings[0].split()]


def test_a_gain_is_paired_by_round_or_marked(printed: Console) -> None:
    whole = comparisons.realistic()
    first = whole.sides[0]
    forms = [replace(form, steady=tuple(replace(one, paired=False) for one in form.steady)) for form in first.forms]
    show_comparison(replace(whole, sides=(replace(first, forms=tuple(forms)), *whole.sides[1:])), None, as_json=False)
    text = printed.export_text()
    assert text.count("? 0.5 ") == len(forms) and text.count(" 0.5 ") == len(forms) + len(whole.sides[1].forms)
