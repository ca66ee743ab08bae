"""Names in a Keras 2 file that mean something else in Keras 3, which reads them without a warning.

The table was found by saving every layer of tf-keras 2.21 with each of its options, reading the file with Keras 3.15 and comparing the
answers, and by the sources of Keras 2.0 to 2.3. What Keras 3 refuses to read needs no entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from roadworthy.build.sources.keras.writer_version import KerasWriter
from roadworthy.build.sources.parsers import keras_config_scan
from roadworthy.build.sources.parsers.untrusted import shown

Found: TypeAlias = Callable[[str, dict[str, Any], dict[str, Any]], str]
"""From a class, its arguments and the whole entry: in words what changed, empty where nothing did."""

LOOKUPS = frozenset({"IntegerLookup", "StringLookup", "TextVectorization"})
GATED = frozenset({"LSTM", "GRU", "LSTMCell", "GRUCell", "ConvLSTM2D"})
RESET = frozenset({"GRU", "GRUCell"})


def of(model: Any, writer: KerasWriter) -> tuple[str, ...]:
    """One phrase for each part of the configuration ``model`` that Keras 3 computes differently from its writer, a Keras 2."""
    return tuple(dict.fromkeys(_changes(model, writer)))


def old_bilinear(model: Any, writer: KerasWriter) -> bool:
    """Whether ``writer`` placed the samples of a bilinear UpSampling2D at the pixels' corners, as TensorFlow 1 did.

    So did Keras 2.2.3 to 2.3, and tf.keras up to TensorFlow 1.14. Its version 2.2.4-tf is also that of TensorFlow 1.15 to 2.1, which
    sampled at the centres; their input layers say whether they are ragged.
    """
    if not writer.bundled:
        return (0,) < writer.number < (2, 4)
    return writer.number <= (2, 2, 4) and not says_ragged(model)


def says_ragged(model: Any) -> bool:
    """Whether an input layer states if it is ragged, as none did before TensorFlow 1.15."""
    return any("ragged" in node["config"] for node, _, _ in keras_config_scan.objects(model) if isinstance(node.get("config"), dict))


def lost_axes(model: Any) -> str:
    """In words, the first layer whose several axes Keras 3 replaces by the default when it reads HDF5, also in files of its own."""
    for node, layer, training in keras_config_scan.objects(model):
        inner = node.get("config")
        if not training and isinstance(inner, dict) and (words := _axes("", inner, node)):
            return f"{words} in {where(str(node['class_name']), layer)}"
    return ""


def is_bilinear(kind: str, arguments: dict[str, Any]) -> bool:
    """Whether a layer of this class and these arguments is a bilinear UpSampling2D."""
    return kind == "UpSampling2D" and arguments.get("interpolation") == "bilinear"


def where(kind: str, layer: str) -> str:
    """A layer by its user's name for it."""
    return f"the layer {shown(layer)!r} ({shown(kind)})" if layer else f"a {shown(kind)}"


def _changes(model: Any, writer: KerasWriter) -> Iterator[str]:
    corners = old_bilinear(model, writer)
    for node, layer, training in keras_config_scan.objects(model):
        if training:
            continue
        kind, inner = str(node["class_name"]).rpartition(">")[2], node.get("config")
        arguments = inner if isinstance(inner, dict) else {"": inner}
        for found in TABLE:
            if words := found(kind, arguments, node):
                yield f"{words} in {where(kind, layer)}"
        if corners and is_bilinear(kind, arguments):
            yield f"bilinear interpolation, which sampled at the pixels' corners, in {where(kind, layer)}"


def _hard_sigmoid(kind: str, arguments: dict[str, Any], node: dict[str, Any]) -> str:
    if any(value == "hard_sigmoid" for name, value in arguments.items() if name != "name"):
        return "hard_sigmoid, which was clip(0.2 x + 0.5, 0, 1) and is relu6(x + 3) / 6"
    return ""


def _default_gate(kind: str, arguments: dict[str, Any], node: dict[str, Any]) -> str:
    if kind in GATED and "recurrent_activation" not in arguments:
        return "a recurrent_activation that is not stated, whose default was hard_sigmoid and is sigmoid,"
    return ""


def _reset_after(kind: str, arguments: dict[str, Any], node: dict[str, Any]) -> str:
    return (
        "a reset_after that is not stated, whose default was False and is True," if kind in RESET and "reset_after" not in arguments else ""
    )


def _axes(kind: str, arguments: dict[str, Any], node: dict[str, Any]) -> str:
    axis = arguments.get("axis")
    return f"axis={axis}, which Keras 3 replaces by its default," if isinstance(axis, list) and len(axis) > 1 else ""


def _small(kind: str, arguments: dict[str, Any], node: dict[str, Any]) -> str:
    if kind == "UnitNormalization" or (kind == "Dot" and arguments.get("normalize") is True):
        return "a norm, whose lower bound changed,"
    return ""


def _mask(kind: str, arguments: dict[str, Any], node: dict[str, Any]) -> str:
    if kind == "Masking" or arguments.get("mask_zero") is True:
        return "a mask, which other layers pass on,"
    return ""


def _training(kind: str, arguments: dict[str, Any], node: dict[str, Any]) -> str:
    return "training=True, which the caller's argument now overrides," if _trains(node.get("inbound_nodes")) else ""


def _counts(kind: str, arguments: dict[str, Any], node: dict[str, Any]) -> str:
    mode = arguments.get("output_mode")
    if kind in LOOKUPS and mode in ("one_hot", "multi_hot", "count"):
        return f"output_mode={mode!r}, which gave float32 and gives int64,"
    return ""


def _trains(part: Any) -> bool:
    if isinstance(part, list):
        return any(map(_trains, part))
    return isinstance(part, dict) and (part.get("training") is True or any(map(_trains, part.values())))


TABLE: tuple[Found, ...] = (_hard_sigmoid, _default_gate, _reset_after, _axes, _small, _mask, _training, _counts)
