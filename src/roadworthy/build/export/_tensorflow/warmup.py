"""``assets.extra/tf_serving_warmup_requests``: requests that TensorFlow Serving answers before it says that a model is ready.

A TFRecord file of ``PredictionLog`` messages. Their definitions are not part of TensorFlow: the few fields that a prediction needs are
written here, with TensorFlow's own message for each tensor.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from roadworthy.core.types import BYTES, Array, Arrays
from roadworthy.frameworks.tensorflow import framework

FILE = "assets.extra/tf_serving_warmup_requests"
SPEC, INPUTS, NAME, SIGNATURE, KEY, VALUE, REQUEST, PREDICT = 1, 2, 1, 3, 1, 2, 1, 6
"""Numbers of fields: of ``PredictRequest``, ``ModelSpec``, an entry of a map, ``PredictLog`` and ``PredictionLog``."""


def write(directory: Path, name: str, requests: Iterable[tuple[str, Arrays]]) -> int:
    """Write the file into the SavedModel at ``directory``, for the model ``name``: one record for each signature with its inputs.

    Returns the number of records.
    """
    tf = framework.framework()
    (directory / FILE).parent.mkdir(parents=True)
    records = [prediction_log(name, signature, inputs) for signature, inputs in requests]
    with tf.io.TFRecordWriter(str(directory / FILE)) as file:
        for record in records:
            file.write(record)
    return len(records)


def prediction_log(name: str, signature: str, inputs: Arrays) -> bytes:
    """A serialised ``PredictionLog`` that holds one request to ``signature`` of the model ``name``."""
    spec = _field(NAME, name.encode()) + _field(SIGNATURE, signature.encode())
    entries = [_field(KEY, key.encode()) + _field(VALUE, _tensor(array)) for key, array in inputs.items()]
    request = _field(SPEC, spec) + b"".join(_field(INPUTS, entry) for entry in entries)
    return _field(PREDICT, _field(REQUEST, request))


def _tensor(array: Array) -> bytes:
    tf = framework.framework()
    dtype = tf.string if array.dtype == BYTES else None
    return bytes(tf.make_tensor_proto(array, dtype).SerializeToString())


def _field(number: int, content: bytes) -> bytes:
    """A field that has a length, as protocol buffers write it."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)
