"""A Keras original as a SavedModel with one signature, called with ``training=False`` under the names users know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roadworthy.build.capture.route import CaptureRoute, Written
from roadworthy.build.capture.tensorflow.original import TensorFlowSubject
from roadworthy.frameworks.tensorflow import entry, framework, keras_model
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port

KEY = "serving_default"


def routes(subject: TensorFlowSubject) -> Iterator[CaptureRoute]:
    """Keras's own export first: other tools read it better than what TensorFlow itself saves of a Keras model."""
    yield CaptureRoute("Keras's export", export)
    yield CaptureRoute("saved as a module", _as_module)


def export(subject: TensorFlowSubject, out: Path) -> Written:
    """By Keras's ``ExportArchive``, with an endpoint of our own that keeps names."""
    tf = framework.framework()
    model = keras_model.load(subject.graph.path)
    model(subject.feeds(subject.batch))  # an export of a model that was never called is refused
    specs = [keras_model.tensor_spec(spec) for spec in subject.signature.inputs]
    inputs = tuple(Port(name, spec.name) for name, spec in zip(subject.inputs, specs, strict=True))
    outputs = tuple(Port(name, f"output_{number}") for number, name in enumerate(subject.outputs))

    def serve(*tensors: Any) -> dict[str, Any]:
        answers = model(dict(zip(subject.inputs, tensors, strict=True)))
        return {port.tensor: tf.identity(answers[port.name]) for port in outputs}

    archive = keras_model.package(model.reader).export.ExportArchive()
    archive.track(model.model)
    archive.add_endpoint(KEY, serve, input_signature=specs)
    archive.write_out(str(out / entry.SAVED_MODEL), **({"verbose": False} if model.reader == "keras" else {}))
    entry.write_entry(out, GraphEntry(inputs, outputs, KEY))
    return Written(out, subject.signature)


def _as_module(subject: TensorFlowSubject, out: Path) -> Written:
    keras_model.export(keras_model.load(subject.graph.path), subject.signature, out)
    return Written(out, subject.signature)
