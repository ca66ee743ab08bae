"""A model that came quantised is held to what its whole numbers stand for: kernels round them apart, a wrong graph is further off."""

from __future__ import annotations

import numpy as np
import pytest

from roadworthy.build.capture import parity
from roadworthy.core.types import Quantization

pytestmark = pytest.mark.slow

SCORES = np.array([[0, 12, 250], [90, 91, 3]], np.uint8)
STEP = Quantization(1 / 256, 0)


def test_a_few_steps_are_rounding_and_many_are_not() -> None:
    near, far = SCORES.copy(), SCORES.copy()
    near[1, 1], far[1, 1] = 89, 150
    assert parity.difference(near, SCORES, STEP, parity.QUANTISED_GATE) is None
    assert "of its scale" in str(parity.difference(far, SCORES, STEP, parity.QUANTISED_GATE))
    assert "of its values" in str(parity.difference(near, SCORES))


def test_other_whole_numbers_stay_what_they_are() -> None:
    classes = np.arange(12).reshape(3, 4)
    assert parity.difference(classes.copy(), classes, None, parity.QUANTISED_GATE) is None
    assert parity.difference(classes + 1, classes, None, parity.QUANTISED_GATE)
