"""Which widths are looked at, and which cuts are worth their lessons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from roadworthy.build.benchmark import Beside
from roadworthy.build.compress import Block, Cut, Cuttable
from roadworthy.build.compressing.steps import TimedCut, worth_teaching
from roadworthy.build.compressing.widths import WidthChoice, choices, deeper
from roadworthy.core.evidence import Interval
from roadworthy.core.host import Host
from roadworthy.core.stages import Candidate, Graph, Plan
from support.models.linear import SIGNATURE

AVX2 = Host("a CPU", "x86_64", ("avx2",), 2, 2, 8192, "Linux", "3.11")
AVX512 = replace(AVX2, features=("avx2", "avx512f"))


def block(name: str, channels: int, work: float = 0.1, multiple: int = 1) -> Block:
    return Block(name, channels, (name,), work, multiple)


@given(st.lists(st.tuples(st.integers(1, 600), st.sampled_from((1, 2, 3, 4, 32))), max_size=5), st.sampled_from((AVX2, AVX512)))
def test_every_width_is_fewer_channels_in_a_multiple_that_its_groups_allow(sizes: list[tuple[int, int]], host: Host) -> None:
    blocks = tuple(block(str(number), channels * multiple, 0.1, multiple) for number, (channels, multiple) in enumerate(sizes))
    for choice in choices(Cuttable(blocks), host):
        assert choice.widths, "a choice that cuts nothing is none"
        for one in blocks:
            kept = choice.widths.get(one.name, one.channels)
            assert 0 < kept <= one.channels and kept % one.multiple == 0


def test_wide_blocks_keep_whole_vectors_and_the_light_cut_comes_first() -> None:
    found = choices(Cuttable((block("a", 64, 0.5), block("b", 32, 0.5))), AVX2)
    assert [dict(one.widths) for one in found] == [{"a": 48, "b": 24}, {"a": 32, "b": 16}, {"a": 16, "b": 8}]
    assert [one.share for one in found] == [0.25, 0.5, 0.75]
    assert {width for one in choices(Cuttable((block("a", 64),)), AVX512) for width in one.widths.values()} == {48, 32, 16}


def test_what_is_narrow_already_is_left() -> None:
    assert choices(Cuttable((block("a", 4), block("b", 1))), AVX2) == ()


def cut(multiplications: int, ms: float, low: float) -> TimedCut:
    graph = Graph("null", Path("none"), SIGNATURE, "planted")
    made = Cut(graph, {}, 1, multiplications, 0.0)
    best = Beside(Candidate(Plan("null"), Path("none"), SIGNATURE, "null", 1, 0.0), ms, "null-fp32-t1", Interval(1 / ms, low, 2 / ms))
    return TimedCut(WidthChoice(0.5, {}), made, best)


def test_a_cut_that_is_not_faster_beyond_the_noise_is_not_taught() -> None:
    assert worth_teaching([cut(10, 0.9, 0.99), cut(5, 0.8, 1.0)]) == ()


def test_of_two_cuts_that_are_as_fast_the_one_with_more_left_is_taught() -> None:
    light, deep, deeper = cut(10, 0.6, 1.2), cut(5, 0.6, 1.3), cut(2, 0.4, 1.8)
    assert worth_teaching([deeper, deep, light]) == (light, deeper)


def test_the_channels_between_blocks_are_cut_too_and_apart() -> None:
    found = choices(Cuttable((block("a", 64),), streams=(block("s", 32),)), AVX2)
    assert [dict(one.widths) for one in found[:2]] == [{"a": 48}, {"a": 48, "s": 24}]
    assert len(found) == 6


def test_a_model_is_cut_further_only_where_no_block_would_grow() -> None:
    assert deeper({"a": 32, "s": 24}, {"a": 48}) and deeper({"a": 32}, {}) and deeper({"a": 32}, {"a": 32})
    assert not deeper({"a": 48}, {"a": 32}), "a cut cannot give channels back"
    assert not deeper({"a": 16}, {"a": 48, "s": 24}), "the stream would be as wide as in the original again"
