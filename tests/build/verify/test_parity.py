"""Parity is exact arithmetic over batches; each number has a case where it is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from roadworthy.build.verify import parity
from roadworthy.build.verify.feeding import Piece
from roadworthy.core import numerics
from roadworthy.core.errors import StepFailed
from roadworthy.core.evidence import Parity
from roadworthy.core.types import Array


def held(mine: dict[str, Array], truth: dict[str, Array], limit: float = 1e-6, size: int = 3) -> Parity:
    count = len(next(iter(truth.values())))
    pieces = (Piece(start, min(start + size, count), {name: array[start : start + size] for name, array in mine.items()})
              for start in range(0, count, size))  # fmt: skip
    scales = {name: numerics.scale_of(array) for name, array in truth.items()}
    return parity.compare(pieces, truth, scales).parity((size,), limit)


TRUTH = np.array([[1, 2, -4], [3, 0, 1], [0, 0, 0], [1, 1, 2]], dtype=np.float32)


def test_the_worst_case_is_found_whatever_the_batch_it_is_in() -> None:
    mine = TRUTH.copy()
    mine[3, 2] -= 1
    seen = held({"y": mine}, {"y": TRUTH})
    assert (seen.max_abs, seen.max_rel) == (1.0, 0.25)
    assert seen.rms_rel == pytest.approx(0.25 / np.sqrt(12))
    assert seen.cosine == pytest.approx(4 / np.sqrt(3 * 6))
    assert seen.agreement == 0.75
    assert not seen.equivalent
    assert held({"y": mine}, {"y": TRUTH}, limit=0.25).equivalent


def test_the_same_answers_are_equivalent() -> None:
    seen = held({"y": TRUTH.copy()}, {"y": TRUTH}, limit=0.0)
    assert seen == Parity(4, (3,), 0.0, 0.0, 0.0, pytest.approx(1.0), 1.0, True)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_never_equivalent(value: float) -> None:
    mine = TRUTH.copy()
    mine[1, 1] = value
    assert not held({"y": mine}, {"y": TRUTH}, limit=1e9).equivalent


def test_infinities_of_the_original_must_be_met() -> None:
    truth = TRUTH.copy()
    truth[0, 0] = -np.inf
    assert held({"y": truth.copy()}, {"y": truth}).equivalent
    assert not held({"y": TRUTH}, {"y": truth}).equivalent


def test_whole_numbers_are_compared_by_equality() -> None:
    truth = np.arange(1000)
    mine = truth.copy()
    mine[:5] = 0
    assert held({"id": mine}, {"id": truth}, size=64).equivalent
    mine[:7] = -1
    assert not held({"id": mine}, {"id": truth}, size=64).equivalent


def test_each_output_has_its_own_scale() -> None:
    truth = {"small": np.array([[1e-3, 2e-3]]), "large": np.array([[1e3, 2e3]])}
    mine = {"small": np.array([[1e-3, 1e-3]]), "large": truth["large"]}
    assert held(mine, truth).max_rel == pytest.approx(0.5)


def test_an_output_that_is_missing_or_of_another_shape_says_so() -> None:
    with pytest.raises(StepFailed, match="'y' is missing"):
        held({"z": TRUTH}, {"y": TRUTH})
    with pytest.raises(StepFailed, match="shape"):
        held({"y": TRUTH[:, :2]}, {"y": TRUTH})


@given(*(arrays(np.float32, (5, 3), elements=st.floats(-1e6, 1e6, width=32)),) * 2)
def test_parity_and_the_golden_gate_have_one_error(mine: Array, truth: Array) -> None:
    assert held({"y": mine}, {"y": truth}).max_rel == pytest.approx(numerics.output_error(mine, truth), rel=1e-12)
