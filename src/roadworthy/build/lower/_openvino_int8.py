"""Post-training int8 by NNCF: presets, bias correction, smoothed transformers, and sensitive layers that stay in float."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from roadworthy.build.lower import NARROW, calibration_batches
from roadworthy.core.errors import StepFailed
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Signature

Item: TypeAlias = tuple[dict[str, Array], list[Array]]
"""The inputs of a call, and the answers that are wanted."""

MIXED = "mixed"
"""The flavour with asymmetric activations: for those that are negative as often as positive. Without it they are symmetric: faster."""
SENSITIVE = "sensitive"
"""The flavour in which the layers that cost the most accuracy stay in float."""
CALIBRATION_BATCH = 16
"""Samples a call. The range of an activation is the mean of the calls' extremes, so a call of one sample cuts more of it off."""
CALIBRATION_VALUES = 10_000_000
"""Values of the inputs that are enough to calibrate on: an image of 224 x 224 has 50 times as many as one
of 32 x 32, and takes that much longer."""
LEAST_CALLS = 4
RANKED_CALLS = 2
"""Calls of the calibration samples on which sensitive layers are found: each layer is tried on them."""
KEPT_SHARE = 0.25
"""The most of all layers with weights that stay in float: with more of them int8 is hardly faster than they are."""
SMALL_ERROR = 0.01
"""The mean error of the outputs, relative to their size, that needs no layer in float."""
TINY = 1e-12
WEIGHTED = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"}
MOVES = {"Reshape", "Squeeze", "Unsqueeze", "Transpose", "Convert"}
"""Operators that pass numbers on as they are."""


def quantise(model: Any, calibration: SampleSet, signature: Signature, flavour: str) -> Any:
    """``model`` with int8 operators, calibrated on ``calibration``, or on the first samples of it where they are large.

    ``flavour`` is that of the plan, its words joined by hyphens.
    Weights are symmetric, a scale for each channel. The bias of each layer is corrected by a run of the layers before it, which are then
    quantised: the fast correction takes one layer at a time and lost more than it gained on networks whose inputs are 0..255.
    Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv:1906.04721.
    Raises StepFailed for ``SENSITIVE`` where no layer is.
    """
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedAccuracyRestorerParameters, AdvancedQuantizationParameters

    words = flavour.split("-")
    calls = _calls(calibration, signature)
    settings: dict[str, Any] = {
        "preset": nncf.QuantizationPreset.MIXED if MIXED in words else nncf.QuantizationPreset.PERFORMANCE,
        "subset_size": len(calls),
        "fast_bias_correction": False,
        # Transformers have single channels with very large activations: SmoothQuant moves these into the weights.
        "model_type": nncf.ModelType.TRANSFORMER if has_attention(model) else None,
    }
    advanced = AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE if NARROW in words else nncf.OverflowFix.DISABLE)
    quantised = nncf.quantize(model, nncf.Dataset(calls), advanced_parameters=advanced, **settings)
    if SENSITIVE not in words:
        return quantised
    items = _answered(model, calls[:RANKED_CALLS])
    error = 1 - closeness(_compiled(quantised), items)[0]
    if error <= SMALL_ERROR:
        raise StepFailed(f"int8 changes the outputs by {error:.2%} on the calibration samples: no layer has to stay in float")
    return nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset(calls),
        nncf.Dataset(items, lambda item: item[0]),
        closeness,
        max_drop=SMALL_ERROR,
        drop_type=nncf.DropType.ABSOLUTE,
        advanced_quantization_parameters=advanced,
        advanced_accuracy_restorer_parameters=AdvancedAccuracyRestorerParameters(
            max_num_iterations=max(1, int(KEPT_SHARE * _weighted(model))), ranking_subset_size=len(items), num_ranking_workers=1
        ),
        **settings,
    )


def closeness(compiled: Any, items: Iterable[Item]) -> tuple[float, list[float]]:
    """How close the answers of a model are to the wanted ones: 1 where they are the same, for all items and for each one.

    It is 1 minus the mean difference, which is relative to the mean size of the wanted values; of several outputs the worst counts.
    """
    values = [1 - max(map(_error, compiled(feeds).values(), wanted)) for feeds, wanted in items]
    return float(np.mean(values)), values


def _error(found: Array, wanted: Array) -> float:
    return float(np.abs(found - wanted).mean() / max(np.abs(wanted).mean(), TINY))


def _answered(model: Any, calls: Iterable[dict[str, Array]]) -> list[Item]:
    """Each call with the answers of ``model`` in float32."""
    compiled = _compiled(model)
    return [(feeds, [np.array(found, np.float64) for found in compiled(feeds).values()]) for feeds in calls]


def _compiled(model: Any) -> Any:
    import openvino

    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": openvino.Type.f32})


def _calls(calibration: SampleSet, signature: Signature) -> list[dict[str, Array]]:
    """The first calibration samples, call by call: as many as ``CALIBRATION_VALUES`` allow, and ``LEAST_CALLS`` where there are so many."""
    calls: list[dict[str, Array]] = []
    values = 0
    for feeds in calibration_batches(calibration, signature, CALIBRATION_BATCH):
        if len(calls) >= LEAST_CALLS and values >= CALIBRATION_VALUES:
            break
        calls.append(feeds)
        values += sum(array.size for array in feeds.values())
    return calls


def has_attention(model: Any) -> bool:
    """Whether a softmax weighs the values of a matrix product, as in a transformer block; a softmax that is an answer does not."""
    kinds = {node.get_type_name() for node in model.get_ops()}
    return "ScaledDotProductAttention" in kinds or any(
        _reaches_product(node) for node in model.get_ops() if node.get_type_name() == "Softmax"
    )


def _weighted(model: Any) -> int:
    """How many layers have weights."""
    return sum(node.get_type_name() in WEIGHTED for node in model.get_ops())


def _reaches_product(node: Any) -> bool:
    readers = [target.get_node() for target in node.output(0).get_target_inputs()]
    return any(reader.get_type_name() == "MatMul" or (reader.get_type_name() in MOVES and _reaches_product(reader)) for reader in readers)
