"""A candidate that was rejected for want of samples alone is named beside the winner, with what it would take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from roadworthy.build.package.report import report
from roadworthy.build.undecided import faster_undecided
from roadworthy.bundle.certificate import Undecided
from roadworthy.cli.console import terminal
from roadworthy.cli.console.deployment import show_deployment
from roadworthy.core.evidence import FirstLook, Interval, Score
from roadworthy.core.stages import Measured, Plan, Rejected
from roadworthy.preprocess.contract import Contract
from support.models import certificates

NONE = Interval(0.0, 0.0, 0.0)
SCORE = Score("top1", 800, NONE, 0.9, NONE, 0.02, 0.01, needed=3625)


def rejected(name: str, ms: float, score: Score | None = SCORE) -> Rejected:
    return Rejected(Plan("null", "int8", flavour=name, lossy=True), "verify", "too few", score=score, look=FirstLook(ms, ms))


def winner(look: FirstLook | None, ms: float = 0.7) -> Measured:
    measured = certificates.measured(Plan("null"), 0.0, 0.0, ms)
    return replace(measured, verified=replace(measured.verified, look=look))


def test_the_fastest_that_more_samples_would_have_let_pass_is_named() -> None:
    found = [rejected("slow", 0.9), rejected("fast", 0.5), rejected("faster", 0.4), rejected("wrong", 0.1, replace(SCORE, needed=None))]
    named = faster_undecided(found, winner(FirstLook(0.6, 0.5)))
    assert named == Undecided("null-int8-faster-t1", "top1", 0.4, 0.6, 800, 3625)
    assert faster_undecided(found[:1], winner(FirstLook(0.6, 0.5))) is None


def test_where_half_of_the_samples_choose_twice_as_many_are_needed() -> None:
    named = faster_undecided([rejected("fast", 0.5, replace(SCORE, part="choosing"))], winner(FirstLook(0.6, 0.5)))
    assert named is not None and named.needed == 7250


def test_an_original_that_won_is_compared_by_its_time_in_the_race() -> None:
    assert faster_undecided([rejected("fast", 0.5)], winner(None, 0.7)) is not None
    assert faster_undecided([rejected("fast", 0.5)], winner(None, 0.4)) is None


def test_the_terminal_and_the_first_screen_of_the_report_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Undecided("null-int8-t1", "top1", 0.41, 0.62, 800, 3625)
    certificate = replace(certificates.realistic(), undecided=said)
    screen = report.render(certificate, Contract()).split("</section>")[0]
    assert "null-int8-t1 may be faster" in screen and "about 3,625 like these" in screen
    shown: list[str] = []
    monkeypatch.setattr(terminal.output, "print", lambda *text, **how: shown.append(str(text[0]) if text else ""))
    show_deployment(Path("bundle"), certificate, as_json=False)
    assert f"{said}." in shown
