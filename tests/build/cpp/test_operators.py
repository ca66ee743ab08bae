"""Every operator of generated code against ONNX Runtime, at every level of x86-64 that this CPU has."""

from __future__ import annotations

import numpy as np
import pytest

from support.generated_code import SAMPLES, Compiled, answers, levels
from support.models.operator_cases import cases

pytestmark = pytest.mark.slow

CASES = {case.name: case for case in cases()}
GATE = 3e-6
"""Largest difference relative to the output's scale."""


@pytest.mark.parametrize("name", CASES)
def test_an_operator_gives_the_answers_of_onnx_runtime(compiled: Compiled, name: str) -> None:
    case = CASES[name]
    feeds = case.feeds(SAMPLES)
    wanted = answers(case, feeds)
    for level in levels():
        for found, array in zip(compiled.run(level, case, feeds), wanted, strict=True):
            assert np.isfinite(array).all()
            np.testing.assert_allclose(found, array, rtol=0, atol=GATE * float(np.abs(array).max()), err_msg=level)


@pytest.mark.parametrize("name", ["Relu_images", "clip", "MaxPool_plain", "GlobalMaxPool", "Max", "Tanh_images", "conv_0"])
@pytest.mark.parametrize("place", [0, 1, 9])
def test_what_is_no_number_stays_none(compiled: Compiled, name: str, place: int) -> None:
    """As in PyTorch; ONNX Runtime's own maximum may lose it."""
    case = CASES[name]
    feeds = case.feeds(SAMPLES)
    feeds["x"].reshape(-1)[place] = np.nan
    for level in levels():
        (found,) = compiled.run(level, case, feeds)
        assert np.isnan(found[0]).any() and not np.isnan(found[1:]).any(), level
