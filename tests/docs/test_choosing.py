"""The page on proof and choice names modules that exist, and each of its sources is cited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roadworthy.build import served
from roadworthy.build.verify import reference, sequential

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "choosing.md").read_text()
TEXT, _, SOURCES = PAGE.partition("## Sources")
PATHS = sorted(set(re.findall(r"`((?:build|serving|bundle)/[\w./]+)`", TEXT)))


@pytest.mark.parametrize("path", PATHS)
def test_a_module_that_is_named_exists(path: str) -> None:
    assert (ROOT / "src" / "roadworthy" / path).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", TEXT))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / "docs" / target).exists()


def test_each_source_is_cited_and_each_citation_has_its_source() -> None:
    listed = re.findall(r"^(\d+)\. ", SOURCES, re.M)
    assert listed == [str(number) for number in range(1, len(listed) + 1)]
    assert set(re.findall(r"\[(\d+)\](?!\()", TEXT)) == set(listed)


def test_the_figures_on_the_page_are_those_of_the_code() -> None:
    for words in (
        f"is {reference.MULTIPLE} times the larger of the two, plus {reference.EPSILONS} float32 epsilons, and never above",
        f"{reference.CEILING:g}, all relative",
        f"passes after {sequential.SAME_SAMPLES} samples without one",
        f"fewer than {100 * sequential.SAME_SHARE:g} % of all samples",
    ):
        assert words in PAGE, words
    decision = (ROOT / "docs" / "decisions" / "0040-what-is-served-on-a-share-of-the-cores.md").read_text()
    assert f"more threads must be {100 * served.LEVEL - 100:.0f} % faster" in decision


def test_the_page_is_linked() -> None:
    assert "docs/choosing.md" in (ROOT / "README.md").read_text()
    assert "choosing.md" in (ROOT / "docs" / "architecture.md").read_text()
