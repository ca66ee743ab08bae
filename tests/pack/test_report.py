"""The report says the choice and why, draws every candidate once, and lets nobody's name become markup."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest

import certificates
from roadworthy.build.pack import card, chart, figures, report
from roadworthy.bundle import store
from roadworthy.core.contract import Answer, Contract
from roadworthy.core.evidence import Interval, Score
from roadworthy.core.stages import Plan, Rejected

REALISTIC = certificates.realistic()
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"


class Reader(HTMLParser):
    """The tags and the visible text of a page; complains about an end without a start."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(certificate=REALISTIC, contract=certificates.CONTRACT) -> Reader:
    reader = Reader(report.render(certificate, contract))
    assert reader.open == []
    return reader


def test_the_first_section_says_the_choice_and_why() -> None:
    text = report.render(REALISTIC, certificates.CONTRACT).partition('id="chart"')[0]
    for words in (
        "openvino-bf16-b1-t2",
        "openvino-fp32-t2",
        "9.24 times faster",
        "0.490 ms",
        "80.31 %",
        "+0.04 points",
        "worse by at most 0.28 points",
    ):
        assert words in text, words
    assert REALISTIC.host.cpu in text and "beyond the noise of 24 rounds" in text


def test_every_candidate_and_every_reason_is_there() -> None:
    text = page().text
    for one in (REALISTIC.baseline, *REALISTIC.measured):
        assert one.verified.candidate.plan.name in text
    for rejected in REALISTIC.rejected:
        assert rejected.plan.name in text and rejected.reason in text
    for words in (
        "a data-dependent branch",
        "gave the same output twice",
        "no avx512_fp16",
        "openvino 2026.4.1",
        "cifar10_resnet20.th",
        "2,400",
    ):
        assert words in text, words


def test_names_stay_text() -> None:
    certificate = replace(
        REALISTIC,
        name=HOSTILE,
        origin=replace(REALISTIC.origin, file=HOSTILE, proofs=(HOSTILE,)),
        samples=replace(REALISTIC.samples, classes=(HOSTILE,), kind=HOSTILE),
        goal=replace(REALISTIC.goal, metric=HOSTILE),
        choice=replace(REALISTIC.choice, reasons=(HOSTILE,)),
        rejected=(Rejected(Plan("null", flavour=HOSTILE), "lower", HOSTILE, HOSTILE, score=certificates.score(0.5)),),
        unavailable=(HOSTILE,),
    )
    reader = page(certificate, Contract(answer=Answer(labels=(HOSTILE,))))
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "img", "iframe", "object", "base", "form"})
    assert not any(name.startswith("on") or name == "style" for _, attributes in reader.tags for name in attributes)
    assert "{{ 7*7 }}" in reader.text


def test_the_page_allows_its_own_style_and_nothing_else() -> None:
    html = report.render(REALISTIC, certificates.CONTRACT)
    style = re.search(r"<style>(.*?)</style>", html, re.S)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert style and policy
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1].startswith("default-src 'none'") and f"style-src 'sha256-{digest}'" in policy[1] and "unsafe" not in policy[1]
    assert not re.search(r"https?://|url\(|@import|@font-face", html)


def test_identifiers_are_unique_and_the_drawing_is_named() -> None:
    reader = page()
    names = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(set(names)) == len(names)
    for tag, attributes in reader.tags:
        if tag == "svg" and attributes.get("role") == "img":
            assert set((attributes["aria-labelledby"] or "").split()) <= set(names)


def test_the_original_can_win() -> None:
    name = REALISTIC.baseline.verified.candidate.plan.name
    text = page(replace(REALISTIC, choice=replace(REALISTIC.choice, winner=name, fallback=None))).text
    assert "The original stays" in text


def test_untrusted_times_unlabelled_data_and_missing_scores_are_said() -> None:
    def doubted(one):
        return replace(one, timing=replace(one.timing, trusted=False), verified=replace(one.verified, score=None))

    certificate = replace(
        REALISTIC,
        baseline=doubted(REALISTIC.baseline),
        measured=tuple(map(doubted, REALISTIC.measured)),
        rejected=(),
        original=None,
        samples=replace(REALISTIC.samples, kind="generated noise", classes=()),
        signature=replace(REALISTIC.signature, max_batch=5),
    )
    text = page(certificate, Contract()).text
    assert "too busy" in text and "no accuracy was measured" in text and "nothing to draw" in text


def test_a_metric_that_is_no_share_reads_as_a_number() -> None:
    score = Score("bleu", 50, Interval(31.2, 30.1, 32.2), 31.9, Interval(0.7, 0.4, 1.0), 0.95, 1.0)
    assert figures.metric(score, 31.2) == "31.2" and figures.change(score) == "−0.7" and figures.loss(score, 0.95) == "0.950"
    assert figures.change_span(score) == "−1 to −0.4"
    drawn = chart.draw((chart.Entry("a", "winner", score, 1.0),), 1.0, width=400, height=300)
    assert drawn and drawn.scale == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4896, "0.490"), (9.236, "9.24"), (3878.2, "3,878"), (0, "0"), (-1.5, "−1.50"), (2.1e-5, "2.1e−05"), (1e9, "1e+09"),
     (float("nan"), "not finite")],
)  # fmt: skip
def test_numbers_keep_three_digits(value: float, text: str) -> None:
    assert figures.number(value) == text


@pytest.mark.parametrize("width", [350, 760])
def test_labels_do_not_lie_on_each_other_and_points_stay_inside(width: int) -> None:
    roles = {"pytorch-fp32-t2": "original", "openvino-fp32-t2": "fallback", "openvino-bf16-b1-t2": "winner"}
    shown = chart.entries(REALISTIC.baseline, REALISTIC.measured, REALISTIC.rejected, roles)
    drawn = chart.draw(shown, 0.01, width=width, height=360)
    assert drawn and len(drawn.points) == len(shown) == 16
    boxes = []
    for point in drawn.points:
        assert drawn.left <= point.x <= drawn.width and drawn.top <= point.y <= drawn.bottom
        if point.label:
            wide = chart.GLYPH * len(point.label)
            left = {"start": point.label_x, "end": point.label_x - wide, "middle": point.label_x - wide / 2}[point.anchor]
            boxes.append((left, point.label_y - 10, left + wide, point.label_y + 2))
    assert len(boxes) >= 5 and any(point.role == "winner" and point.label for point in drawn.points)
    assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for a, b in combinations(boxes, 2))
    faster, slower = (next(point for point in drawn.points if point.role == role) for role in ("winner", "original"))
    assert faster.x < slower.x
    assert sum(point.clipped for point in drawn.points) == 2


def test_one_candidate_alone_can_be_drawn() -> None:
    drawn = chart.draw((chart.Entry("a", "winner", certificates.score(0.0, 0.0), 1.0),), 0.0, width=400, height=300)
    assert drawn and drawn.x_ticks and drawn.y_ticks


def test_the_card_says_what_was_proven_and_where_that_ends(bundle: Path) -> None:
    manifest = store.read(bundle)
    text = card.render(REALISTIC, replace(manifest, contract=certificates.CONTRACT))
    for words in (
        "269,722 parameters",
        "openvino-bf16-b1-t2",
        "image:float32[batch,3,32,32]",
        "`airplane`",
        "(pixel * 0.00392157",
        "no speed is promised",
    ):
        assert words in text, words
    hostile = card.render(replace(REALISTIC, name="a\n# b<img>", origin=replace(REALISTIC.origin, file="x`<b>`")), manifest)
    assert hostile.startswith("# a \\# b\\<img\\> 1\n") and "`x'<b>'`" in hostile
