"""What TensorFlow, Keras, TFLite and ONNX files say, each by its own reader and none by its framework."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from roadworthy.build.sources.parsers import hdf5 as parsers_hdf5
from roadworthy.build.sources.parsers import keras_config_scan, protobuf, tf_graph, tf_operators
from roadworthy.build.sources.parsers import onnx as parsers_onnx
from roadworthy.build.sources.parsers import tflite as parsers_tflite
from roadworthy.build.sources.parsers.keras_config_scan import EMBEDDED
from roadworthy.build.sources.parsers.tf_graph import MetaGraph
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.build.sources.static_facts import Facts
from roadworthy.core.errors import SourceRefused, SourceUnreadable
from roadworthy.core.types import Signature

SERVING = "serving_default"
SERVE = "serve"
KERAS_2 = "keras_metadata.pb"


def saved_model(path: Path) -> Facts:
    """Of several meta graphs, the one tagged for serving says the signatures; the operators of all count."""
    _check_directory(path)
    found = tf_graph.saved_model(path / "saved_model.pb")
    main = next((graph for graph in found if SERVE in graph.tags), found[0])
    executes = tuple(dict.fromkeys(said for graph in found for said in tf_operators.beyond_computing(graph)))
    keys = tuple(sorted(main.signatures))
    key = SERVING if SERVING in keys else keys[0] if len(keys) == 1 else ""
    notes = [f"{_written(main)}, tags {', '.join(map(protobuf.shown, main.tags)) or 'none'}"]
    notes.append(f"signatures: {', '.join(map(protobuf.shown, keys)) or 'none'}")
    if len(found) > 1:
        notes.append(f"{len(found)} graphs, tagged {'; '.join(', '.join(map(protobuf.shown, graph.tags)) for graph in found)}")
    if main.assets:
        notes.append(f"{main.assets} files in assets/, which its tables read")
    if (path / KERAS_2).is_file():
        notes.append(f"{KERAS_2} describes the Keras 2 model it was; nothing reads it")
    return Facts("saved_model", main.tensors, main.signatures.get(key), executes, tuple(notes), keys)


def graph_def(path: Path) -> Facts:
    """Its constants are its weights; inputs and outputs it does not say."""
    return _graph("graphdef", tf_graph.graph_def(path))


def checkpoint(path: Path) -> Facts:
    """``path`` is the ``.meta`` file; the weights' names and shapes are in it too."""
    graph = tf_graph.meta_graph(path)
    facts = _graph("tf1", graph)
    return replace(facts, notes=(*facts.notes, _written(graph)))


def _written(graph: MetaGraph) -> str:
    return f"written by TensorFlow {protobuf.shown(graph.version) or 'of an unknown version'}"


def _graph(kind: str, graph: MetaGraph) -> Facts:
    fed = [protobuf.shown(node.name) for node in graph.nodes if node.op in ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")]
    notes = (f"{len(graph.nodes)} nodes; placeholders: {', '.join(fed) or 'none'}",)
    return Facts(kind, graph.tensors, None, tf_operators.beyond_computing(graph), notes)


def keras(path: Path) -> Facts:
    """A ``.keras`` archive: its configuration, and its weights by the table of the HDF5 inside."""
    with Archive(path) as archive:
        model = keras_config_scan.walk(_json(archive.read("config.json"), f"{path}: config.json"))
        metadata = _json(archive.read("metadata.json"), f"{path}: metadata.json")
        version = metadata.get("keras_version") if isinstance(metadata, dict) else None
        weights = [parsers_hdf5.read_member(archive, name, path) for name in archive.names if name.endswith((".h5", ".hdf5"))]
        if EMBEDDED in archive.names:
            # A live model of ours: its classes came along.
            model = replace(model, needs=(), executes=(*model.executes, f"the pickled classes in {EMBEDDED}"))
    return _model("keras", model, tuple(spec for one in weights for spec in one.tensors), str(version or ""))


def hdf5(path: Path) -> Facts:
    """A whole model where its configuration is in the file, else weights alone."""
    found = parsers_hdf5.read(path)
    if found.config:
        return _model("hdf5", keras_config_scan.walk(_json(found.config, f"{path}: model_config")), found.tensors, found.version)
    if found.named or any("/vars/" in f"/{spec.name}" for spec in found.tensors):
        return Facts("keras_weights", found.tensors, notes=_version(found.version))
    raise SourceUnreadable(f"{path} is an HDF5 file that holds neither a Keras model nor its weights")


def _model(kind: str, model: keras_config_scan.KerasModel, tensors: Any, version: str) -> Facts:
    notes = _version(version)
    if model.needs:
        notes += (f"classes that are not Keras's own: {', '.join(model.needs)}",)
    if model.quantised:
        notes += ("its weights came quantised",)
    signature = Signature(model.inputs, ()) if model.inputs else None
    return Facts(kind, tensors, signature, model.executes, notes, needs=model.needs)


def _version(version: str) -> tuple[str, ...]:
    return (f"written by Keras {protobuf.shown(version)}",) if version else ()


def tflite(path: Path) -> Facts:
    """Operators that TFLite's own interpreter does not have are named; whether the runtime brings them it says itself."""
    found = parsers_tflite.read(path)
    notes = [f"operators: {', '.join(found.operators)}"]
    if found.custom:
        notes.append(f"operators that are not TFLite's own: {', '.join(found.custom)}")
    if found.variables:
        notes.append(f"{found.variables} operators on variables: it was converted without freezing them, and may answer nonsense")
    if found.key:
        notes.append(f"signature {protobuf.shown(found.key)}")
    for spec in (*found.signature.inputs, *found.signature.outputs):
        if spec.quantization:
            notes.append(f"{protobuf.shown(spec.name)} stands for (q - {spec.quantization.zero_point}) * {spec.quantization.scale:.6g}")
    return Facts("tflite", found.tensors, found.signature, found.executes, tuple(notes))


def onnx(path: Path) -> Facts:
    """Weights in other files belong to the source as the model's own bytes do."""
    found = parsers_onnx.read(path)
    sets = ", ".join(f"{protobuf.shown(domain) or 'ai.onnx'} {version}" for domain, version in found.opsets)
    notes = [f"written by {protobuf.shown(found.producer) or 'an unknown tool'}, operator sets: {sets or 'none'}"]
    files = parsers_onnx.external_files(path, found)
    if files:
        notes.append(f"weights in {', '.join(protobuf.shown(file.name) for file in files)}")
    operators_said = ", ".join(map(protobuf.shown, found.foreign[:4]))
    missing = f"calls operators of a library that is not in the file ({operators_said}); export it with standard operators"
    return Facts("onnx", found.tensors, found.signature, (), tuple(notes), unsupported=missing if found.foreign else "", files=files)


READERS: dict[str, Callable[[Path], Facts]] = {
    "saved_model": saved_model, "graphdef": graph_def, "tf1": checkpoint, "keras": keras, "hdf5": hdf5, "tflite": tflite, "onnx": onnx,
}  # fmt: skip
"""By what ``kinds`` recognises."""


def _json(data: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise SourceUnreadable(f"{what} is not sound JSON: {problem}") from None


def _check_directory(path: Path) -> None:
    """Nothing in a SavedModel is a device or a pipe, and no link leads to what is none of its own files."""
    for file in path.rglob("*"):
        try:
            mode = file.stat().st_mode
        except OSError:
            raise SourceUnreadable(f"{file} is a link that leads nowhere; fetch the SavedModel again") from None
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise SourceRefused(f"{file} is no regular file, and nothing in a SavedModel is anything else")
        if file.is_symlink() and stat.S_ISDIR(mode):
            raise SourceRefused(f"{file} is a link to a directory; put the directory itself there")
