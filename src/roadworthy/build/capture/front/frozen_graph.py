"""TensorFlow operations in front of a frozen GraphDef."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roadworthy.build.capture.front import Folding
from roadworthy.build.capture.front.operations import Operation, operations
from roadworthy.build.capture.route import Written
from roadworthy.build.capture.tensorflow import freeze
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow import function as tensorflow_function


def write(folding: Folding, out: Path) -> Written:
    """The graph with its steps, frozen again; raises Refused and what TensorFlow raises."""
    model = tensorflow_function.concrete(folding.model)
    todo = operations(folding.front)

    def call(pixels: Any) -> Any:
        for operation in todo:
            pixels = _applied(operation, pixels)
        return model(pixels)

    graph, entry = freeze.frozen(call, folding.subject.signature)
    (out / tensorflow_entry.GRAPHDEF).write_bytes(graph.SerializeToString(deterministic=True))
    tensorflow_entry.write_entry(out, entry)
    return Written(out, folding.subject.signature)


def _applied(operation: Operation, values: Any) -> Any:
    tf = framework.framework()
    match operation.name:
        case "transpose":
            return tf.transpose(values, [0, 3, 1, 2])
        case "reverse":
            return tf.gather(values, list(range(values.shape[operation.axis]))[::-1], axis=operation.axis)
        case "cast":
            return tf.cast(values, operation.dtype)
        case "whole":
            return tf.clip_by_value(tf.round(values), -128.0, 127.0)
        case _:
            return getattr(tf.math, operation.name)(values, operation.value)
