"""The course of the race as it is drawn: all candidates, the leaders by name, who left and why it stopped in words."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from roadworthy.build.package.report import course, report
from roadworthy.build.package.report.course import CourseChart
from roadworthy.bundle.course import Course, CourseCheck, Departure, Standing, Stop
from roadworthy.core.evidence import Interval
from support.models import certificates

SMALL = certificates.COURSE
ROLES = {"openvino-bf16-b1-t2": "winner", "pytorch-fp32-t2": "original", "openvino-fp32-b1-t2": "fallback"}


def crowd(count: int = 40, figure: str = "latency") -> Course:
    """So many candidates, of which all but four leave; the last ten were far behind at first sight."""
    random = np.random.default_rng(0)
    rounds = (5, 8, 12, 18, 27, 40)
    speed = [0.5 * 1.02**number if number < 4 else 0.6 + 0.03 * number for number in range(count - 10)] + [5.0 + n for n in range(10)]
    checks, gone = [], []
    for turn, number in enumerate(rounds):
        left = [plan for plan in range(count) if plan < 4 or (plan < count - 10 and turn < 1 + (plan * 7) % 5) or turn == 0]
        spread = 0.3 / number**0.5
        medians = {plan: speed[plan] * float(np.exp(random.normal(0, spread / 4))) for plan in left}
        shown = {plan: value if figure == "latency" else 1000 / value for plan, value in medians.items()}
        standings = [Standing(name(plan), Interval(value, value * (1 - spread), value * (1 + spread))) for plan, value in shown.items()]
        checks.append(CourseCheck(number, 1.5 * number, tuple(sorted(standings, key=lambda one: one.figure.value))))
        gone += [
            Departure(name(plan), number, "far" if turn == 0 else "slower", name(0), Interval(1.4, 1.2, 1.6))
            for plan in left
            if plan >= 4 and (turn == len(rounds) - 1 or turn + 1 >= 1 + (plan * 7) % 5 or plan >= count - 10)
        ]
    return Course(figure, 0.02, 40, 60.0, "time", tuple(checks), tuple(gone))  # type: ignore[arg-type]


def name(number: int) -> str:
    return f"runtime{number % 5}-int8-mixed-b1-t2-{number}"


def drawn(one: Course, roles: dict[str, str], width: int = 760) -> CourseChart:
    found = course.draw(one, roles, width=width, height=340)
    assert found is not None
    return found


@pytest.mark.parametrize("width", [760, 350])
@pytest.mark.parametrize("figure", ["latency", "throughput"])
@pytest.mark.parametrize("count", [3, 40])
def test_everything_lies_inside_and_no_name_covers_another(count: int, figure: str, width: int) -> None:
    one = SMALL if count == 3 else crowd(figure=figure)
    chart = drawn(one, ROLES if count == 3 else {name(0): "winner", name(9): "original"}, width)
    for line in chart.lines:
        numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", line.path + line.area)]
        assert all(chart.left <= x <= chart.right for x in numbers[::2]) and all(chart.top <= y <= chart.bottom for y in numbers[1::2])
    heights = sorted(line.label for line in chart.lines if line.label is not None)
    assert all(second - first >= course.LINE - 0.01 for first, second in pairwise(heights))
    assert all(chart.top <= height <= chart.bottom for height in heights)
    assert bool(heights) == (width == 760)
    assert chart.lines[-1].role == "winner", "it is drawn last, over the others"


def test_the_leaders_of_many_are_in_colour_and_the_far_ones_are_counted() -> None:
    chart = drawn(crowd(), {name(0): "winner", name(9): "original"})
    assert len(chart.lines) + chart.beyond == 40 and chart.beyond == 10
    coloured = {line.plan: line.role for line in chart.lines if line.role != "other"}
    assert coloured == {name(0): "winner", name(9): "original", name(1): "ahead", name(2): "ahead", name(3): "ahead"}
    assert {line.plan for line in chart.lines if not line.left} == {name(number) for number in range(4)}
    assert all((line.area != "") == (line.role != "other") for line in chart.lines)


def test_of_throughput_more_is_better() -> None:
    slow = replace(crowd(figure="throughput"))
    chart = drawn(slow, {name(0): "winner"})
    winner, other = (next(line for line in chart.lines if line.plan == name(number)) for number in (0, 20))
    assert winner.end[1] < other.end[1] and chart.beyond == 10


@pytest.mark.parametrize(
    ("stopped", "words"),
    [
        ("leads", "all others were certainly slower"), ("level", "equal within 2 %"), ("rounds", "did not separate"),
        ("time", "its time was over"), ("budget", "the time budget of the deployment"), ("untimed", "no time decides"),
    ],
)  # fmt: skip
def test_the_page_says_why_it_stopped_and_who_left(stopped: Stop, words: str) -> None:
    page = report.render(replace(certificates.realistic(), course=replace(SMALL, stopped=stopped)), certificates.CONTRACT)
    assert "The race stopped after 23 rounds in 14.2 s" in page and words in page
    section = page.partition('id="course"')[2].partition('id="candidates"')[0]
    assert section.count("<svg") >= 2 and 'role="img"' in section and "<desc" in section
    for one in SMALL.departures:
        assert one.plan in section
    assert "at first sight certainly slower than openvino-bf16-b1-t2 (2.29× its time, 2.20 to 2.40)" in section


def test_a_race_without_a_check_has_no_drawing_and_older_certificates_no_section() -> None:
    page = report.render(replace(certificates.realistic(), course=replace(SMALL, checks=(), departures=())), certificates.CONTRACT)
    section = page.partition('id="course"')[2].partition('id="candidates"')[0]
    assert "The race stopped" in section and "<svg" not in section
    assert 'id="course"' not in report.render(replace(certificates.realistic(), course=None), certificates.CONTRACT)


def test_names_of_the_course_stay_text() -> None:
    hostile = "<script>alert(1)</script>"
    standing = Standing(hostile, Interval(1.0, 0.9, 1.1))
    one = replace(SMALL, checks=(CourseCheck(5, 1.0, (standing,)),), departures=(Departure(hostile, 5, "failed"),))
    assert "<script" not in report.render(replace(certificates.realistic(), course=one), certificates.CONTRACT)
