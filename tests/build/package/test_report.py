"""The report says the choice and why, draws every candidate once, and no name becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.package.report import card, chart, figures, labels, report
from roadworthy.bundle import store
from roadworthy.bundle.certificate import FrameworkForm
from roadworthy.core.evidence import FirstCall, Interval, Score
from roadworthy.core.stages import Plan, Rejected
from roadworthy.preprocess.contract import Answer, Contract
from support.models import certificates

REALISTIC = certificates.realistic()
FORM = FrameworkForm("aotinductor-bf16-t2", Interval(6.16, 6.01, 6.31), True)
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
        return replace(one, timing=replace(one.timing, trusted=False, rounds=2, noisy=18), verified=replace(one.verified, score=None))

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
    assert "timed in 2 undisturbed rounds and 18 that other processes disturbed: too few" in text
    assert "no accuracy was measured" in text and "there is no chart" in text


def test_a_metric_that_is_no_share_reads_as_a_number() -> None:
    score = Score("bleu", 50, Interval(31.2, 30.1, 32.2), 31.9, Interval(0.7, 0.4, 1.0), 0.95, 1.0)
    assert figures.metric(score, 31.2) == "31.2" and figures.change(score) == "−0.7" and figures.loss(score, 0.95) == "0.950"
    assert figures.change_span(score) == "−1 to −0.4"
    drawn = chart.draw((chart.ChartEntry("a", "winner", score, 1.0),), 1.0, width=400, height=300)
    assert drawn and drawn.scale == 1


def test_a_rise_of_a_metric_of_which_lower_is_better_is_worse() -> None:
    score = Score("mae", 50, Interval(0.32, 0.3, 0.34), 0.3, Interval(0.02, 0.01, 0.03), 0.028, 0.05, better="lower", share=False)
    assert figures.metric(score, 0.32) == "0.320" and figures.change(score) == "+0.02" and figures.change_span(score) == "+0.03 to +0.01"
    drawn = chart.draw((chart.ChartEntry("a", "winner", score, 1.0),), 0.05, width=400, height=300)
    assert drawn and drawn.scale == 1 and drawn.budget_label.text == "budget: 0.0500 higher"
    ticks = {tick.text: tick.at for tick in drawn.y_ticks}
    assert ticks["+0.04"] > ticks["+0.02"] > ticks["0"], "worse is drawn above better"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4896, "0.490"), (9.236, "9.24"), (3878.2, "3,878"), (0, "0"), (-1.5, "−1.50"), (2.1e-5, "2.1e−05"), (1e9, "1e+09"),
     (float("nan"), "not finite")],
)  # fmt: skip
def test_numbers_keep_three_digits(value: float, text: str) -> None:
    assert figures.number(value) == text


ROLES = {"pytorch-fp32-t2": "original", "openvino-fp32-t2": "fallback", "openvino-bf16-b1-t2": "winner"}
SIZES = pytest.mark.parametrize("size", [report.WIDE, report.NARROW], ids=["wide", "narrow"])


def planted(count: int, spread: float, seed: int = 0) -> tuple[chart.ChartEntry, ...]:
    """An original with names as long as real ones beside it, all ``spread`` apart at most in latency and accuracy; two are rejected."""
    random = np.random.default_rng(seed)
    entries = [chart.ChartEntry("tensorflow-fp32-t2", "original", certificates.score(0.0, 0.0), 31.0, "tensorflow")]
    for number in range(count - 3):
        score = certificates.score(spread * 0.009 * random.uniform(-1, 1), 0.004)
        runtime = f"runtime{number % 5}"
        entries.append(
            chart.ChartEntry(f"{runtime}-int8-7bit-b1-t{number}", "passed", score, 0.3 * 4 ** (spread * random.uniform()), runtime)
        )
    fastest = min(entries, key=lambda entry: entry.latency_ms or 0)
    entries[entries.index(fastest)] = replace(fastest, role="winner")
    refused = [chart.ChartEntry(f"rejected-{number}", "rejected", certificates.score(0.02 + 0.5 * number), None) for number in range(2)]
    return tuple(sorted([*entries, *refused], key=lambda entry: chart.ROLES.index(entry.role)))


def drawn_at(size: tuple[int, int], shown: tuple[chart.ChartEntry, ...], budget: float = 0.01) -> chart.Chart:
    drawn = chart.draw(shown, budget, width=size[0], height=size[1])
    assert drawn and len(drawn.points) == len(shown)
    return drawn


@SIZES
@pytest.mark.parametrize(
    "shown",
    [
        chart.entries(REALISTIC.baseline, REALISTIC.measured, REALISTIC.rejected, ROLES),
        *(planted(count, spread) for count in (5, 25, 60) for spread in (1.0, 0.1, 0.0)),
    ],
    ids=["real", *(f"{count}-{kind}" for count in (5, 25, 60) for kind in ("apart", "close", "identical"))],
)
def test_labels_lie_on_nothing_and_points_stay_inside(size: tuple[int, int], shown: tuple[chart.ChartEntry, ...]) -> None:
    drawn = drawn_at(size, shown)
    named = [point.label for point in drawn.points if point.label]
    boxes = [label.box for label in (drawn.budget_label, *named)]
    for one, other in combinations(boxes, 2):
        assert not labels.overlap(one, other), (one, other)
    markers = [(point.x - 4, point.y - 4, point.x + 4, point.y + 4) for point in drawn.points]
    # The winner and the original are named whatever they cover but words.
    polite = [label.box for label in named if label.role not in ("winner", "original")]
    assert not any(labels.overlap(box, marker) for box in polite for marker in markers)
    for box in boxes:
        assert drawn.left <= box[0] and box[2] <= drawn.width and drawn.top <= box[1] and box[3] <= drawn.bottom
    for point in drawn.points:
        assert drawn.left <= point.x <= drawn.width and drawn.top <= point.y <= drawn.bottom
    assert {"winner", "original"} <= {point.role for point in drawn.points if point.label}
    # Of few things most are named; of many only those that a reader looks for.
    assert 2 <= len(named) <= max(chart.FEW, len(chart.most_important(shown)) + 2)


@SIZES
def test_a_label_is_led_to_its_own_point_and_past_the_words_of_others(size: tuple[int, int]) -> None:
    led = 0
    for seed in range(10):
        drawn = drawn_at(size, planted(25, 0.3, seed))
        for point in drawn.points:
            if not point.label or not point.label.leader:
                continue
            led += 1
            x, y, to_x, to_y = point.label.leader
            assert abs(x - point.x) <= 6 and abs(y - point.y) <= 6
            steps = [(x + (to_x - x) * part / 50, y + (to_y - y) * part / 50) for part in range(50)]
            others = [other.label.box for other in drawn.points if other.label and other is not point]
            assert not any(box[0] < at < box[2] and box[1] < height < box[3] for box in others for at, height in steps)
    assert led > 5


@SIZES
def test_the_real_chart_is_in_order(size: tuple[int, int]) -> None:
    drawn = drawn_at(size, chart.entries(REALISTIC.baseline, REALISTIC.measured, REALISTIC.rejected, ROLES))
    faster, slower = (next(point for point in drawn.points if point.role == role) for role in ("winner", "original"))
    assert faster.x < slower.x
    assert sum(point.clipped for point in drawn.points) == 2
    assert sum(point.label is not None for point in drawn.points) >= 5


def test_the_important_ones_are_the_named_the_frontier_and_the_fastest_of_each_runtime() -> None:
    def entry(name: str, drop: float, latency: float | None, role: str = "passed") -> chart.ChartEntry:
        return chart.ChartEntry(name, role, certificates.score(drop), latency, name[0])

    shown = (
        entry("d-refused", 0.5, None, "rejected"),
        entry("a-frontier", 0.004, 1.0),
        entry("a-frontier-again", 0.004, 1.0),
        entry("b-behind", 0.004, 2.0),
        entry("b-frontier", 0.002, 3.0),
        entry("b-winner", 0.001, 4.0, "winner"),
        entry("c-fastest-of-its-own", 0.003, 5.0),
        entry("c-nothing", 0.003, 6.0),
        entry("b-fallback", 0.003, 6.0, "fallback"),
        entry("e-form", 0.0, 7.0, "framework"),
        entry("e-original", 0.0, 9.0, "original"),
    )
    assert [shown[number].name for number in chart.most_important(shown)] == [
        "b-winner", "e-original", "e-form", "b-fallback", "a-frontier", "b-frontier", "b-behind", "c-fastest-of-its-own",
    ]  # fmt: skip


def framed(trusted: bool = True, ratio: Interval = FORM.speedup, paired: bool = True):
    """The realistic certificate with its framework's fastest form in the choice."""
    choice = replace(REALISTIC.choice, framework=replace(FORM, speedup=ratio, paired=paired))
    measured = tuple(replace(one, timing=replace(one.timing, trusted=trusted)) for one in REALISTIC.measured)
    return replace(REALISTIC, choice=choice, measured=measured)


def test_the_headline_holds_the_winner_against_the_frameworks_own_fastest_form_too() -> None:
    first = page(framed()).text.partition("Latency against top1")[0]
    assert "9.24 times faster than the original" in first and "as it is called" in first
    assert "aotinductor-bf16-t2 , it is 6.16 times faster (6.01 to 6.31)" in first and "6.16× its framework's fastest" in first
    assert "of its speed" in page(framed(ratio=Interval(0.8, 0.7, 0.9))).text
    assert "too few undisturbed rounds to pair" in page(framed(paired=False)).text and "to pair" not in page(framed()).text
    rows = {row.plan.name: row.role for row in report.table(framed())}
    assert rows["aotinductor-bf16-t2"] == "framework"
    assert "own framework" not in page().text


def test_times_that_are_not_trusted_make_no_headline() -> None:
    first = page(framed(trusted=False)).text.partition("Latency against top1")[0]
    assert "by times that are not certain" in first and "9.24 times faster" not in first and "the winner is 6.16 times faster" in first


def winning(**changes: object):
    """The realistic certificate with another timing of its winner."""
    name = REALISTIC.choice.winner
    measured = tuple(
        replace(one, timing=replace(one.timing, **changes)) if one.verified.candidate.plan.name == name else one
        for one in REALISTIC.measured
    )
    return replace(REALISTIC, measured=measured)


def first_screen(certificate) -> str:
    return page(certificate).text.partition("Latency against top1")[0]


def test_rounds_that_do_not_agree_are_not_called_disturbed() -> None:
    first = first_screen(winning(trusted=False, rounds=20, noisy=0))
    assert "timed in 20 undisturbed rounds: they do not agree" in first
    assert not any(word in first for word in ("busy", "noisy", "quiet", "other processes"))


def test_a_speed_beside_an_original_that_was_disturbed_makes_no_headline() -> None:
    first = first_screen(winning(paired=False))
    assert "Chosen for latency" in first and "9.24 times faster than the original" not in first
    assert "9.24× ? about 8.78 to 9.61" in first and "too few rounds were undisturbed for both" in first


def test_throughput_is_on_the_first_screen_only_where_it_is_trusted_and_paired() -> None:
    rate = certificates.timing(0.49).rate
    assert rate is not None
    assert "Throughput at batch 16 3,878/s 6.47× the original's (6.21 to 6.80)" in first_screen(winning(rate=rate))
    for alone in (replace(rate, paired=False), replace(rate, speedup=None)):
        assert "3,878/s 96 MB memory" in first_screen(winning(rate=alone))
    for doubtful, why in (
        (replace(rate, trusted=False, rounds=1, noisy=7), "too few undisturbed rounds"),
        (replace(rate, trusted=False), "its rounds do not agree"),
        (None, "too few undisturbed rounds"),
    ):
        first = first_screen(winning(rate=doubtful))
        assert "3,878" not in first and f"Peak memory 96 MB no certain throughput: {why}" in first


def test_a_99th_percentile_of_few_calls_says_so() -> None:
    assert "p99 0.784 ms of 30 calls" in first_screen(winning(calls=30))
    assert "of 2400 calls" not in page().text and " calls" not in first_screen(winning(calls=0))


def test_what_was_rejected_in_the_same_words_is_one_line() -> None:
    late = "the time budget was spent before its turn"
    plans = (Plan("a", "int8", 1), Plan("a", "int8", 2), Plan("b", "int8", 2))
    different = Rejected(Plan("a", "int8", 3), "lower", "something else")
    certificate = replace(REALISTIC, rejected=(*(Rejected(plan, "lower", late) for plan in plans), different))
    listing = page(certificate).text.partition("Each candidate in detail")[0]
    assert listing.count(late) == 1 and "a-int8-t1, -t2, b-int8-t2" in listing and "something else" in listing


def test_the_slowest_first_call_stands_beside_the_cold_start() -> None:
    slow = replace(REALISTIC.measured[1].timing, first_calls=(FirstCall(1, 12.0), FirstCall(8, 526.0), FirstCall(32, 30.0)))
    measured = (REALISTIC.measured[0], replace(REALISTIC.measured[1], timing=slow), *REALISTIC.measured[2:])
    assert "420 ms first call 526 ms" in page(replace(REALISTIC, measured=measured)).text


def test_one_candidate_alone_can_be_drawn() -> None:
    drawn = chart.draw((chart.ChartEntry("a", "winner", certificates.score(0.0, 0.0), 1.0),), 0.0, width=400, height=300)
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
    assert "framework's" not in text and "6.16× that of its framework's fastest form here, `aotinductor-bf16-t2`" in card.render(
        framed(), manifest
    )
    hostile = card.render(replace(REALISTIC, name="a\n# b<img>", origin=replace(REALISTIC.origin, file="x`<b>`")), manifest)
    assert hostile.startswith("# a \\# b\\<img\\> 1\n") and "`x'<b>'`" in hostile
