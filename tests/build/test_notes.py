"""A sentence that any step says about the original reaches the certificate, the report, the card and the terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from roadworthy.build.certificate import Data, noticed
from roadworthy.build.package.report import card, report
from roadworthy.build.sources import Loaded
from roadworthy.bundle.certificate import Certificate
from roadworthy.bundle.manifest import FORMAT, GoldenFile, Manifest
from roadworthy.cli.console import terminal
from roadworthy.cli.console.deployment import show_deployment
from roadworthy.core import codec
from roadworthy.core.evidence import Note
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from support.models import certificates

WARNING, NOTE = certificates.realistic().notes


def test_every_room_is_heard_and_warnings_come_first() -> None:
    original = Graph("module", Path("m"), certificates.SIGNATURE, "kept", ("the original was read by the older reader",))
    other = Graph("onnx", Path("o"), certificates.SIGNATURE, "tracing", ("opset 17",))
    loaded = Loaded(original, 1, (), ("the weights are those of ema", "the weights are those of ema"))
    data = Data("unlabelled", SampleSet(Path("s"), ("x",), 1), None, (), (Note("few samples"), Note("all samples are zeros", warning=True)))
    assert noticed(loaded, data, (other, original)) == (
        Note("all samples are zeros", warning=True),
        Note("few samples"),
        Note("the weights are those of ema"),
        Note("onnx by tracing: opset 17"),
        Note("the original was read by the older reader"),
    )


def test_notes_stand_at_the_head_of_the_certificate() -> None:
    written = codec.to_json(certificates.realistic(), indent=2).decode()
    assert written.index(WARNING.text) < written.index(NOTE.text) < written.index('"host"')
    assert codec.from_json(Certificate, written.encode()).notes == (WARNING, NOTE)


def test_a_certificate_of_an_older_version_has_none() -> None:
    old = re.sub(rb'"notes":\[.*?\],', b"", codec.to_json(certificates.realistic()), count=1)
    assert b"notes" not in old
    assert codec.from_json(Certificate, old).notes == ()


def test_the_report_warns_on_its_first_screen_and_lists_all_below() -> None:
    page = report.render(certificates.realistic(), certificates.CONTRACT)
    first, _, rest = page.partition("</section>")
    assert WARNING.text in first and NOTE.text not in first
    assert WARNING.text in rest and NOTE.text in rest


def test_the_card_tells_warnings_among_the_limits() -> None:
    certificate = certificates.realistic()
    manifest = Manifest(
        FORMAT,
        certificate.name,
        "1",
        "",
        "",
        certificate.signature,
        certificates.CONTRACT,
        (),
        GoldenFile("golden.npz", 8),
        certificate.tolerance,
        (),
    )
    evidence, _, limits = card.render(certificate, manifest).partition("## Limits")
    assert f"Noticed: {NOTE.text}".replace("_", "\\_") in evidence
    assert f"**Warning:** {WARNING.text}" in limits


@pytest.mark.parametrize("note", [WARNING, NOTE])
def test_the_terminal_shows_each(note: Note, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "output", Console(file=screen, width=200))
    show_deployment(Path("b"), replace(certificates.realistic(), notes=(note,)), as_json=False)
    assert f"{'warning' if note.warning else 'note'} {note.text}" in screen.getvalue()
