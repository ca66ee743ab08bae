"""Weights in int8, for operators that round their float input by the range that it has in each call (LiteRT's "dynamic range")."""

from __future__ import annotations

import numpy as np

from roadworthy.build.lower._tflite.file import FlatModel

FILTERS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""The operators, each with the axis of its weights that counts the outputs: every output has a scale of its own."""
SMALLEST = 1024
"""Numbers below which rounding saves nothing; the limit of TensorFlow's converter."""


def narrow(model: FlatModel) -> bool:
    """Round the weights of every such operator to int8, symmetric around 0; whether there were any."""
    found = False
    for code, operator in model.operators():
        weights = operator.inputs[1] if code in FILTERS else -1
        if weights not in model.arrays or model.arrays[weights].dtype != np.float32 or model.arrays[weights].size < SMALLEST:
            continue
        array, axis = model.arrays[weights], FILTERS[code]
        others = tuple(one for one in range(array.ndim) if one != axis)
        largest = np.abs(array).max(axis=others, keepdims=True)
        scales = np.where(largest > 0, largest, 1) / np.float32(127)
        model.quantise(weights, np.rint(array / scales).astype(np.int8), scales.reshape(-1), axis)
        if hasattr(operator.builtinOptions, "asymmetricQuantizeInputs"):
            operator.builtinOptions.asymmetricQuantizeInputs = True
        found = True
    return found
