"""Samples that choose and samples that are kept: candidates stop early on the first, and what was chosen is judged on the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from roadworthy.build import verify
from roadworthy.build.verify import ConfirmRequest, VerifyRequest, sequential
from roadworthy.core.stages import Rejected, Verified
from support.models import linear as linears
from support.models.linear import Linear

COUNT, CHOOSING = 3000, 1500


@pytest.fixture(scope="module")
def large(planted: None, tmp_path_factory: pytest.TempPathFactory) -> Linear:
    return linears.make(tmp_path_factory.mktemp("large"), COUNT)


def request(large: Linear, flavour: str, precision: str = "int8", *, budget: float = 0.01, metric: str = "top1") -> VerifyRequest:
    return VerifyRequest(large.candidate(flavour, precision), large.samples, large.reference, metric, budget, choosing=CHOOSING)


def verified(asked: VerifyRequest) -> Verified | Rejected:
    outcome = verify.verify(asked)
    result = outcome.verified or outcome.rejected
    assert result is not None and result.score is not None
    return result


def confirmed(asked: VerifyRequest, turn: int = 1) -> Verified | Rejected:
    first = verify.verify(asked).verified
    assert first is not None
    outcome = verify.confirm(ConfirmRequest(asked, first, turn))
    result = outcome.verified or outcome.rejected
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("flavour", "precision", "passes", "most"),
    [
        pytest.param("", "fp32", True, sequential.SAME_SAMPLES + 32, id="the same function"),
        pytest.param("errs by=0.0005", "fp32", False, 32, id="another function"),
        pytest.param("swaps=0.3", "int8", False, 256, id="a hopeless drop"),
        pytest.param("errs by=0.0005", "int8", True, 700, id="no drop"),
    ],
)
def test_a_verdict_that_is_certain_is_given_early(large: Linear, flavour: str, precision: str, passes: bool, most: int) -> None:
    found = verified(request(large, flavour, precision))
    assert isinstance(found, Verified) is passes
    assert found.score is not None and found.parity is not None
    assert found.score.stopped and found.score.part == "choosing"
    assert found.score.samples == found.parity.samples <= most


def test_a_drop_near_the_budget_uses_the_whole_part_and_no_more(large: Linear) -> None:
    found = verified(request(large, "swaps=0.016"))
    assert found.score is not None
    assert (found.score.samples, found.score.part, found.score.stopped) == (CHOOSING, "choosing", False)


@pytest.mark.parametrize(("flavour", "precision"), [("", "fp32"), ("errs by=0.0005", "int8")])
def test_without_a_kept_part_what_passes_is_scored_on_all(large: Linear, flavour: str, precision: str) -> None:
    found = verified(replace(request(large, flavour, precision), choosing=None))
    assert isinstance(found, Verified) and found.score is not None
    assert (found.score.samples, found.score.part, found.score.stopped) == (COUNT, "all", False)


@pytest.mark.parametrize(("flavour", "precision"), [("swaps=0.3", "int8"), ("errs by=0.5", "fp32"), ("is not a number above=0.2", "int8")])
def test_without_a_kept_part_what_is_wrong_is_found_in_the_first_calls(large: Linear, flavour: str, precision: str) -> None:
    found = verified(replace(request(large, flavour, precision), choosing=None))
    assert isinstance(found, Rejected) and found.parity is not None
    assert found.parity.samples < COUNT / 10
    if found.score is not None:
        assert (found.score.part, found.score.stopped) == ("all", True)


@pytest.mark.parametrize(("flavour", "precision"), [("", "fp32"), ("errs by=0.0005", "int8")])
def test_what_is_chosen_is_scored_on_the_kept_samples_and_compared_on_all(large: Linear, flavour: str, precision: str) -> None:
    found = confirmed(request(large, flavour, precision))
    assert isinstance(found, Verified) and found.score is not None and found.choosing is not None
    assert (found.parity.samples, found.score.samples, found.score.part) == (COUNT, COUNT - CHOOSING, "final")
    assert found.choosing.part == "choosing" and found.choosing.samples < CHOOSING
    labels, answers = large.samples.labels(), large.reference.values()["logits"].argmax(axis=1)
    assert labels is not None
    assert found.score.original == pytest.approx((answers == labels)[CHOOSING:].mean())


def test_a_fault_behind_the_samples_that_were_looked_at_is_found_in_what_is_chosen(large: Linear) -> None:
    """Feature 0 is a permutation of 0..1: one sample lies above the bound, and the search stopped before it came."""
    values = large.samples.open()["x"][:, 0]
    behind = float(max(values[CHOOSING:]))
    assert values.argmax() >= CHOOSING, "the planted sample must be one that is kept"
    found = confirmed(request(large, f"is not a number above={behind - 1e-7}", "fp32"))
    assert isinstance(found, Rejected) and "NaN or infinite values" in found.reason


def test_each_lossy_candidate_that_is_judged_on_the_kept_samples_has_less_of_the_error(large: Linear) -> None:
    asked = request(large, "swaps=0.008", budget=0.02)
    bounds = []
    for turn in (1, 2, 3):
        found = confirmed(asked, turn)
        assert isinstance(found, Verified) and found.score is not None
        assert found.score.drop == confirmed(asked, 1).score.drop  # type: ignore[union-attr]
        bounds.append(found.score.bound)
    assert bounds[0] < bounds[1] < bounds[2]
    single = verified(replace(asked, choosing=None)).score
    assert single is not None and single.bound < bounds[0]


def test_what_fails_on_the_kept_samples_says_where(large: Linear) -> None:
    """A candidate that just holds the budget of one part does not hold a smaller one of the other."""
    asked = request(large, "swaps=0.008", budget=0.02)
    first = verify.verify(asked).verified
    assert first is not None
    outcome = verify.confirm(ConfirmRequest(replace(asked, budget=0.005), first))
    assert outcome.rejected is not None
    assert outcome.rejected.reason.startswith("on the samples that took no part in choosing it: top1 drops by")


def test_a_metric_of_unknown_bounds_is_scored_on_the_whole_part(large: Linear, tmp_path: Path) -> None:
    found = verified(request(large, "errs by=0.0005", budget=0.5, metric="error"))
    assert found.score is not None and not found.score.stopped and found.score.samples == CHOOSING
    hopeless = verified(request(large, "errs by=5", metric="error"))
    assert isinstance(hopeless, Rejected) and hopeless.score is not None and hopeless.score.stopped


def test_a_figure_of_a_whole_set_is_of_the_whole_part_and_then_of_the_kept_samples(large: Linear) -> None:
    asked = request(large, "errs by=0.0005", budget=0.05, metric="f1-macro")
    found = verified(asked)
    assert found.score is not None and (found.score.samples, found.score.interval, found.score.stopped) == (CHOOSING, "resampled", False)
    kept = confirmed(asked)
    assert isinstance(kept, Verified) and kept.score is not None and (kept.score.samples, kept.score.part) == (COUNT - CHOOSING, "final")
    outcome = verify.verify(request(large, "errs by=0.0005", "fp32", metric="f1-macro"))
    assert outcome.rejected is not None and outcome.rejected.score is None
    assert outcome.rejected.parity is not None and outcome.rejected.parity.samples == 32
