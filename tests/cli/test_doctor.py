"""``doctor --peak`` prints what was measured, with its spread, and why a precision has no figure."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from roadworthy.bundle.peak import HostPeak, MatrixPeak
from roadworthy.cli import doctor, examination
from roadworthy.core.evidence import Interval

PEAK = HostPeak((MatrixPeak("fp32", 2, Interval(80.0, 70.0, 90.0), 96.4, "gemm"),), Interval(9.5, 9.1, 9.9), ("bf16: none here",))


def said(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(examination, "of_host", lambda host: PEAK)
    monkeypatch.setattr(examination.registry, "names", lambda kind: ())
    result = CliRunner().invoke(doctor.command, list(arguments), catch_exceptions=False)
    return result.output


def test_the_peak_is_measured_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(monkeypatch, "--peak")
    for words in ("fp32", "96", "80", "70 to 90", "gemm", "not measured: bf16: none here", "9.5 GB/s"):
        assert words in text, words
    assert json.loads(said(monkeypatch, "--peak", "--json"))["peak"]["matrices"][0]["best"] == 96.4
    assert "GB/s" not in said(monkeypatch) and json.loads(said(monkeypatch, "--json"))["peak"] is None
