"""What a graph rounds to whole numbers: against ONNX Runtime, against sums of integers, and the same at every level of x86-64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from roadworthy.core.types import Array
from support.generated_code import SAMPLES, Compiled, answers, levels
from support.models.integer_cases import integer_cases
from support.models.operator_cases import OperatorCase

pytestmark = pytest.mark.slow

CASES = {case.name: case for case in integer_cases()}
GATE = 2e-5
"""Largest difference relative to the output's scale, of what is not rounded: a bias is rounded to 32 bits."""
OTHERWISE = 0.02
"""Largest share of rounded numbers that may be the neighbour of the right one: those that lay between two."""


def scale_of(case: OperatorCase, output: str) -> float | None:
    """The scale by which an output was rounded, None for one that was not."""
    stated = case.constants.get(f"{output.removesuffix('_d')}_s") if output.endswith("_d") else None
    return None if stated is None else float(stated)


@pytest.mark.parametrize("name", CASES)
def test_a_rounded_operator_gives_the_answers_of_onnx_runtime(compiled: Compiled, name: str) -> None:
    case = CASES[name]
    feeds = case.feeds(SAMPLES)
    wanted = answers(case, feeds)
    for level in levels():
        for output, found, array in zip(case.outputs, compiled.run(level, case, feeds), wanted, strict=True):
            scale = scale_of(case, output)
            if scale is None:
                np.testing.assert_allclose(found, array, rtol=0, atol=GATE * float(np.abs(array).max()), err_msg=level)
                continue
            steps = np.abs(found - array) / scale
            assert steps.max() < 1.01, level
            assert (steps > 0.5).mean() <= OTHERWISE, level


@pytest.mark.parametrize(
    "name", [name for name in CASES if name.startswith("rounded_conv_") or name in ("rounded_gemm_transposed", "saturating")]
)
def test_sums_are_those_of_whole_numbers_at_every_level(compiled: Compiled, name: str) -> None:
    case = CASES[name]
    feeds = case.feeds(SAMPLES)
    exact = sums(case, feeds["x"])
    assert compiled.calls(name, "integer_convolution(")
    for level in levels():
        assert np.array_equal(compiled.run(level, case, feeds)[case.outputs.index("y")], exact), level


def sums(case: OperatorCase, x: Array) -> Array:
    """What the layer that makes ``y`` gives, from sums of whole numbers without any bound."""
    known = case.constants
    *_, layer = next(node for node in case.nodes if "y" in node[2].split())
    scale, zero = float(known["x_s"]), known["x_z"]
    limits = np.iinfo(zero.dtype)
    whole = np.clip(np.rint(x / np.float32(scale)) + zero, limits.min, limits.max) - float(zero)
    weights, scales = known["w_q"].astype(np.float64), known["w_s"].astype(np.float64) * scale
    made = convolved(whole, weights, **layer) if weights.ndim == 4 else whole @ weights.T
    of_channel = (1, -1, *(1,) * (made.ndim - 2))
    scales = np.broadcast_to(scales, weights.shape[:1])
    bias = np.rint(known["b"] / scales) if "b" in known else np.zeros(len(weights))
    return (made + bias.reshape(of_channel)).astype(np.float32) * scales.astype(np.float32).reshape(of_channel)


def convolved(
    x: Array,
    weights: Array,
    group: int = 1,
    strides: Sequence[int] = (1, 1),
    dilations: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0,) * 4,
) -> Array:
    """A convolution in float64, which holds these sums exactly."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    reach = [(size - 1) * step + 1 for size, step in zip(weights.shape[2:], dilations, strict=True)]
    seen = sliding_window_view(padded, reach, axis=(2, 3))[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    parts = zip(np.split(seen, group, axis=1), np.split(weights, group), strict=True)
    return np.concatenate([np.einsum("nchwyx,fcyx->nfhw", some, kernels) for some, kernels in parts], axis=1)


def test_a_layer_whose_sums_32_bits_do_not_hold_stays_in_float32(compiled: Compiled) -> None:
    assert not compiled.calls("sums_that_32_bits_do_not_hold", "integer_convolution(")
    assert compiled.calls("sums_that_32_bits_do_not_hold", " convolution(")


def test_a_rounded_image_is_not_made_float_between_operators_that_take_whole_numbers(compiled: Compiled) -> None:
    """One step rounds the input, one each for the convolution and the pooling, and one for the output."""
    lines = [f"{kernel}(" for kernel in ("map<Unary::SAME>", "integer_convolution", "pool")]
    assert [compiled.calls("rounded_MaxPool", line) for line in lines] == [2, 1, 1]
