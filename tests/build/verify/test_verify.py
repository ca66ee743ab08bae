"""Every planted fault is caught, with the reason; what is right gets through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import verify
from roadworthy.build.verify import ReferenceRequest, ScoreRequest, VerifyRequest
from roadworthy.core.errors import DataError, StepFailed
from roadworthy.core.evidence import Budget
from roadworthy.core.isolation import isolate
from roadworthy.core.stages import Candidate, Graph, Rejected, Verified
from roadworthy.core.types import Signature, TensorSpec
from support.models import linear as linears
from support.models.linear import SIGNATURE, Linear, graph_of, reference_of


def verified(linear: Linear, candidate: Candidate, metric: str = "top1", budget: float = 0.01) -> Verified | Rejected:
    outcome = verify.verify(VerifyRequest(candidate, linear.samples, linear.reference, metric, budget))
    result = outcome.verified or outcome.rejected
    assert result is not None
    return result


def rejected(linear: Linear, candidate: Candidate, metric: str = "top1", budget: float = 0.01) -> Rejected:
    result = verified(linear, candidate, metric, budget)
    assert isinstance(result, Rejected), result
    return result


def test_a_true_copy_passes_in_a_child(linear: Linear) -> None:
    request = VerifyRequest(linear.candidate(), linear.samples, linear.reference, "top1", 0.01)
    outcome = isolate.call(verify.verify, request)
    assert outcome.rejected is None and outcome.verified is not None
    assert outcome.verified.parity.equivalent
    assert outcome.verified.parity.batches == (1, 2, 5, 32)
    assert outcome.verified.score is not None
    assert outcome.verified.score.original == outcome.verified.score.value.value > 0.7


def test_the_tolerance_lies_between_rounding_and_any_other_function(linear: Linear) -> None:
    tolerance = linear.reference.tolerance
    assert tolerance.float64 is not None
    assert 0 < tolerance.float64 < 1e-6
    assert 0 < tolerance.noise < 1e-5
    assert max(tolerance.float64, tolerance.noise) < tolerance.limit < 1e-4


def test_a_float32_candidate_must_be_the_same_function_whatever_its_score(linear: Linear) -> None:
    result = rejected(linear, linear.candidate("errs by=0.0005"))
    assert "not the same function" in result.reason
    assert result.score is not None and result.score.drop.value == 0.0
    assert result.parity is not None and result.parity.agreement == 1.0


def test_the_same_error_is_within_the_budget_of_another_precision(linear: Linear) -> None:
    result = verified(linear, linear.candidate("errs by=0.0005", "int8"))
    assert isinstance(result, Verified)
    assert not result.parity.equivalent


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_value_that_is_no_number_is_refused(linear: Linear, precision: str) -> None:
    """One sample of the thousand is enough."""
    reason = rejected(linear, linear.candidate("is not a number above=0.999", precision), budget=1.0).reason
    assert "NaN or infinite" in reason and reason.endswith("(1 seen)")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_batch_size_baked_in_is_caught_even_where_no_class_changes(linear: Linear, precision: str) -> None:
    reason = rejected(linear, linear.candidate("divides by the batch", precision), budget=1.0).reason
    assert "batches of different sizes" in reason
    assert "at a batch of 32" in reason


def test_a_batch_size_that_raises_is_named(linear: Linear, tmp_path: Path) -> None:
    few = linear.with_samples(tmp_path, 3)
    reason = rejected(few, few.candidate("raises from=4", "int8"), budget=1.0).reason
    assert reason == "fails at a batch of 5: only one sample fits"


def test_a_crash_says_at_which_batch_size_it_came(linear: Linear, tmp_path: Path) -> None:
    few = linear.with_samples(tmp_path, 1)
    request = VerifyRequest(few.candidate("crashes from=2", "int8"), few.samples, few.reference, "top1", 1.0)
    with pytest.raises(StepFailed) as caught:
        isolate.call(verify.verify, request, log=tmp_path / "log")
    assert verify.explained(caught.value) == "crashed with SIGSEGV (at a batch of 2)"


def test_a_fixed_batch_is_filled_up_and_cut(linear: Linear) -> None:
    assert isinstance(verified(linear, replace(linear.candidate(), plan=replace(linear.candidate().plan, batch=1))), Verified)


def test_a_drop_beyond_the_budget_is_refused_with_its_figures(linear: Linear) -> None:
    reason = rejected(linear, linear.candidate("swaps=0.2", "int8")).reason
    assert "drops by 1" in reason and "1.00% is allowed" in reason
    assert "would have passed" not in reason


def test_too_few_samples_say_how_many_would_do(linear: Linear, tmp_path: Path) -> None:
    few = linear.with_samples(tmp_path, 100)
    result = rejected(few, few.candidate("errs by=0.0005", "int8"))
    assert result.score is not None and result.score.needed is not None
    assert 250 < result.score.needed < 350
    assert f"about {result.score.needed} samples" in result.reason
    same = verified(few, few.candidate())
    assert isinstance(same, Verified) and same.score is not None and same.score.needed is None


def test_without_labels_the_budget_is_on_agreement_or_error(linear: Linear, tmp_path: Path) -> None:
    blind = linear.with_samples(tmp_path, 1000, labelled=False)
    with pytest.raises(DataError, match="needs labels"):
        verify.score_original(ScoreRequest(blind.samples, blind.reference, "top1", Budget()))
    assert "agreement drops by" in rejected(blind, blind.candidate("swaps=0.2", "int8"), "agreement").reason
    noisy = blind.candidate("errs by=0.01", "int8")
    result = verified(blind, noisy, "error", 0.05)
    assert isinstance(result, Verified) and result.score is not None
    assert 0.03 < result.score.drop.value < result.score.bound < 0.05
    assert result.score.original == 0.0
    assert isinstance(verified(blind, noisy, "error", 0.04), Rejected)


def test_the_original_has_a_score_of_its_own(linear: Linear) -> None:
    request = ScoreRequest(linear.samples, linear.reference, "top1", Budget())
    score = isolate.call(verify.score_original, request)
    assert score.drop.value == score.bound == 0.0
    assert score.value.low < score.value.value == score.original < score.value.high


def test_a_model_of_one_proven_size_is_fed_at_that_size(linear: Linear, tmp_path: Path) -> None:
    fixed = Signature(
        (TensorSpec("x", "float32", (3, linears.FEATURES)),), (TensorSpec("logits", "float32", (3, linears.CLASSES)),), max_batch=3
    )
    few = linear.with_samples(tmp_path / "few", 10).samples
    reference = reference_of(linear.path, few, tmp_path / "reference", fixed)
    assert np.array_equal(reference.open()["logits"], linear.reference.open()["logits"][:10])
    candidate = linear.candidate(signature=fixed)
    outcome = verify.verify(VerifyRequest(candidate, few, reference, "top1", 0.01))
    assert outcome.verified is not None and outcome.verified.parity.batches == (3,)


def test_an_original_that_does_not_run_in_float64_has_the_noise_alone(linear: Linear, planted: None, tmp_path: Path) -> None:
    graph = Graph("planted", linear.path, SIGNATURE, "test")
    reference = verify.establish(ReferenceRequest(graph, linear.samples, 1, tmp_path / "reference"))
    assert reference.tolerance.float64 is None
    assert reference.tolerance.limit > reference.tolerance.noise > 0


def test_an_original_that_gives_no_numbers_is_the_users_to_mend(linear: Linear, tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", weight=np.full((linears.FEATURES, 5), np.nan), bias=np.zeros(5))
    with pytest.raises(DataError, match="no finite number"):
        verify.establish(ReferenceRequest(graph_of(tmp_path / "model.npz"), linear.samples, 1, tmp_path / "reference"))
