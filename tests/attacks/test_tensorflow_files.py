"""Hostile TensorFlow, Keras, TFLite and ONNX files: refused by name before a framework sees them, and damage gives our errors alone.

What TensorFlow itself writes is attacked in ``test_tensorflow_made.py``; the files here are written by hand, byte by byte.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.build import sources
from roadworthy.build.sources import InspectRequest
from roadworthy.core.errors import RoadworthyError, SourceError, SourceRefused, SourceUnreadable
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Limits, Worker
from support.files import wire_files as made


def refused(path: Path, *words: str) -> None:
    """``path`` is refused in one sentence that holds ``words``, and ``trust`` alone opens it."""
    with pytest.raises(SourceRefused) as caught:
        sources.identify(path)
    message = caught.value.message
    assert "\n" not in message and all(word in message for word in words), message
    assert sources.identify(path, trust=True).trust


def saved(folder: Path, *nodes: bytes, functions: tuple[bytes, ...] = (), more: tuple[tuple[int, bytes], ...] = ()) -> Path:
    graph = made.graph_def(*made.ORDINARY, *made.SAVING, *nodes, functions=functions)
    return made.saved_model(folder / "model", made.meta_graph(graph, made.saver(), made.signature(), *more))


def test_an_ordinary_saved_model_is_accepted_with_its_saver(tmp_path: Path) -> None:
    assert sources.inspect(saved(tmp_path)).executes == ()
    assert sources.identify(tmp_path / "model").kind == "saved_model"


OPERATORS = (
    "ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "TextLineDataset", "TFRecordDatasetV2",
    "InitializeTableFromTextFileV2", "LoadAndRemapMatrix", "CreateSummaryFileWriter", "ImportEvent", "DebugIdentityV2", "RemoteCall",
    "_Recv", "DatasetFromGraph", "XlaCustomCallV2", "DataServiceDatasetV4", "RpcClient", "Skipgram",
)  # fmt: skip


@pytest.mark.parametrize("op", OPERATORS)
def test_an_operator_that_does_more_than_compute_is_named_wherever_it_sits(op: str, tmp_path: Path) -> None:
    evil = made.node(op, "evil")
    refused(saved(tmp_path / "main", evil), op, "node evil)")
    refused(saved(tmp_path / "function", functions=(made.function("inner", evil),)), op, "node evil of the function inner", "--trust")
    second = made.meta_graph(made.graph_def(evil), tags=("train",))
    refused(made.saved_model(tmp_path / "second", made.meta_graph(made.graph_def(*made.ORDINARY), made.signature()), second), op)
    (tmp_path / "frozen.pb").write_bytes(made.graph_def(*made.ORDINARY, evil))
    refused(tmp_path / "frozen.pb", op, "node evil")


def test_a_graph_in_pieces_counts_as_one(tmp_path: Path) -> None:
    """A parser merges what is there twice: so the second graph of one meta graph is part of the first."""
    pieces = made.meta_graph(made.graph_def(*made.ORDINARY), (2, made.graph_def(made.node("ReadFile"))), made.signature())
    refused(made.saved_model(tmp_path / "model", pieces), "ReadFile")
    twice = made.graph_def(
        *made.ORDINARY, functions=(made.function("f", made.node("WriteFile")), made.function("f", made.node("Identity")))
    )
    refused(made.saved_model(tmp_path / "twice", made.meta_graph(twice, made.signature())), "WriteFile")


@pytest.mark.parametrize(
    ("op", "attribute", "harmless", "evil"),
    [
        ("PrintV2", "output_stream", "stderr", "file:///tmp/out"),
        ("DecodeProtoV2", "descriptor_source", "local://", "/etc/passwd"),
        ("FixedUnigramCandidateSampler", "vocab_file", "", "/etc/passwd"),
    ],
)
def test_an_attribute_that_names_a_file_is_refused(op: str, attribute: str, harmless: str, evil: str, tmp_path: Path) -> None:
    assert sources.inspect(saved(tmp_path / "fine", made.node(op, **{attribute: made.text(harmless)}))).executes == ()
    refused(saved(tmp_path / "evil", made.node(op, **{attribute: made.text(evil)})), op, evil)


def stealing(folder: Path, how: str) -> Path:
    """SavedModels in which a call of the model, its loading or its restoring writes a checkpoint to a place of the file's own choice."""
    save, wrap = made.node("SaveV2", "thief", ["x"]), made.function("wrap", made.node("SaveV2", "thief"))
    starts = made.entry("saved_model_main_op", made.message((1, made.message((1, "start")))))
    offer = made.message((2, made.entry("wrap", b"")))
    match how:
        case "output":
            nodes = (made.node("Placeholder", "x"), save, made.node("Identity", "y", ["x", "^thief"]))
            return made.saved_model(folder, made.meta_graph(made.graph_def(*nodes), made.saver("thief:0"), made.signature()))
        case "called":
            call = made.node("StatefulPartitionedCall", "y", ["x"], f=made.call("outer"))
            outer = made.function("outer", made.node("If", then_branch=made.call("wrap")))
            graph = made.graph_def(made.node("Placeholder", "x"), call, functions=(wrap, outer))
            return made.saved_model(folder, made.meta_graph(graph, made.signature()))
        case "loaded":
            graph = made.graph_def(*made.ORDINARY, save, made.node("NoOp", "start", ["^thief"]))
            return made.saved_model(folder, made.meta_graph(graph, made.signature(), (4, starts)))
        case "restored":
            graph = made.graph_def(*made.ORDINARY, save, made.node("NoOp", "restore", ["^thief"]))
            return made.saved_model(folder, made.meta_graph(graph, made.signature(), made.saver("thief")))
        case _:
            graph = made.graph_def(*made.ORDINARY, functions=(wrap,))
            return made.saved_model(folder, made.meta_graph(graph, made.signature(), (7, offer)))


@pytest.mark.parametrize("how", ["output", "called", "loaded", "restored", "offered"])
def test_a_saver_that_a_call_or_a_load_would_run_is_refused(how: str, tmp_path: Path) -> None:
    refused(stealing(tmp_path / how, how), "SaveV2, which writes files", "node thief")


def test_a_frozen_graph_has_no_saver(tmp_path: Path) -> None:
    (tmp_path / "frozen.pb").write_bytes(made.graph_def(*made.ORDINARY, *made.SAVING))
    refused(tmp_path / "frozen.pb", "SaveV2")


def checkpoint(folder: Path, *nodes: bytes, more: tuple[tuple[int, bytes], ...] = ()) -> Path:
    graph = made.graph_def(*made.ORDINARY, *made.SAVING, *nodes)
    (folder / "model.ckpt.meta").write_bytes(made.meta_graph(graph, made.saver(), *more, tags=()))
    (folder / "model.ckpt.index").write_bytes(b"x" * 40 + bytes.fromhex("57fb808b247547db"))
    (folder / "model.ckpt.data-00000-of-00001").write_bytes(b"weights")
    (folder / "checkpoint").write_text('model_checkpoint_path: "/home/someone/else/model.ckpt"\n')
    return folder / "model.ckpt"


def test_a_checkpoint_whose_graph_does_more_than_compute(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path)
    assert sources.inspect(prefix).executes == ()
    checkpoint(tmp_path, made.node("PyFunc", "evil"))
    refused(prefix, "PyFunc", "evil")
    checkpoint(tmp_path, made.node("Mul", "answer", ["x", "^save"]))
    refused(prefix, "SaveV2, which writes files (node save)")
    # A signature cannot hide it: a checkpoint is not called by one.
    checkpoint(tmp_path, made.node("Mul", "answer", ["x", "^save"]), more=(made.signature(),))
    refused(prefix, "SaveV2, which writes files (node save)")


@pytest.mark.parametrize(
    "content", ["", 'model_checkpoint_path: ""', 'model_checkpoint_path: "../.."', "\xff" * 100, "model_checkpoint_path: x"]
)
def test_a_checkpoint_directory_that_names_nothing(content: str, tmp_path: Path) -> None:
    checkpoint(tmp_path)
    (tmp_path / "checkpoint").write_text(content)
    with pytest.raises(SourceUnreadable, match=r"names no checkpoint; give the \.meta file"):
        sources.inspect(tmp_path)


def test_a_checkpoint_with_a_missing_part(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path)
    (tmp_path / "model.ckpt.data-00000-of-00001").rename(tmp_path / "model.ckpt.data-00000-of-00002")
    with pytest.raises(SourceUnreadable, match="2 data files, and not all of them are there"):
        sources.inspect(prefix)
    (tmp_path / "model.ckpt.data-00000-of-00002").unlink()
    with pytest.raises(SourceUnreadable, match=r"model\.ckpt\.data-00000-of-00001 is not beside it"):
        sources.inspect(prefix)
    (tmp_path / "model.ckpt.meta").unlink()
    with pytest.raises(SourceUnreadable, match=r"without its graph \(model\.ckpt\.meta\)"):
        sources.inspect(prefix)


@pytest.mark.parametrize("name", ["saved_model.cpb", "saved_model.pbtxt"])
def test_a_saved_model_in_another_form_is_not_read(name: str, tmp_path: Path) -> None:
    """Some readers prefer the other form where there are two: what was inspected would not be what is run."""
    folder = saved(tmp_path)
    if name == "saved_model.pbtxt":
        (folder / "saved_model.pb").unlink()
    (folder / name).write_bytes(b"anything")
    with pytest.raises(SourceUnreadable, match=r"save it again as saved_model\.pb"):
        sources.inspect(folder)


def test_a_saved_model_with_a_pipe_or_a_linked_directory(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    os.mkfifo(folder / "pipe")
    with pytest.raises(SourceRefused, match="pipe is not a regular file"):
        sources.inspect(folder)
    (folder / "pipe").unlink()
    (folder / "assets").symlink_to("/etc")
    with pytest.raises(SourceRefused, match="assets is a link to a directory"):
        sources.inspect(folder)


def layers_that_run_code(marker: Path) -> dict[str, tuple[dict[str, Any], str]]:
    shell = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    opened = {"module": "builtins", "class_name": "function", "config": "open", "registered_name": "function"}
    fetch = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
    wrapped = made.keras_layer("TimeDistributed", "outer", layer=made.keras_layer("Lambda", "bad"))
    return {
        "Lambda": (made.keras_layer("Lambda", "bad", function=code, arguments={"mode": str(marker)}), "Lambda in the layer 'bad'"),
        "legacy Lambda": (made.keras_layer("Lambda", "bad", None, function=["4wEAAAA=", None, None]), "Lambda in the layer 'bad'"),
        "a lambda elsewhere": (made.keras_layer("Dense", "bad", activation=code), "__lambda__ in the layer 'bad'"),
        "TFSMLayer": (made.keras_layer("TFSMLayer", "bad", filepath="/elsewhere"), "TFSMLayer in the layer 'bad'"),
        "TorchModuleWrapper": (made.keras_layer("TorchModuleWrapper", "bad", module_="pickle"), "TorchModuleWrapper"),
        "os.system": (made.keras_layer("Dense", "bad", activation=shell), "os.system in the layer 'bad'"),
        "open": (made.keras_layer("Dense", "bad", activation=opened), "builtins.open in the layer 'bad'"),
        "get_file": (made.keras_layer("Dense", "bad", activation=fetch), "keras.utils.get_file in the layer 'bad'"),
        "a class of Python's": (made.keras_layer("Popen", "bad", "subprocess"), "subprocess.Popen"),
        "settings": (made.keras_layer("enable_unsafe_deserialization", "bad", "keras.config"), "enable_unsafe_deserialization"),
        "inner parts": (made.keras_layer("get_file", "bad", "keras.src.utils.file_utils"), "get_file"),
        "whole networks": (made.keras_layer("ConvNeXtTiny", "bad", "keras.src.applications.convnext"), "ConvNeXtTiny"),
        "a network with weights": (made.keras_layer("ResNet50", "bad", "keras.applications", weights="imagenet"), "ResNet50"),
        "a list that is fetched": (made.keras_layer("decode_predictions", "bad", "keras.src.applications.convnext"), "decode_predictions"),
        "get_file of a network": (made.keras_layer("get_file", "bad", "keras.src.applications.convnext"), "get_file"),
        "a layer of no network": (made.keras_layer("LayerScale", "bad", "keras.src.applications.resnet"), "LayerScale"),
        "loading": (made.keras_layer("load_model", "bad", "keras.models"), "load_model"),
        "a vocabulary": (made.keras_layer("StringLookup", "bad", vocabulary="/etc/passwd"), "reads the file '/etc/passwd'"),
        "a TensorFlow call": (made.keras_layer("TFOpLambda", "bad", None, function="io.write_file"), "tf.io.write_file"),
        "a raw call": (made.keras_layer("TFOpLambda", "bad", None, function="raw_ops.ReadFile"), "tf.raw_ops.ReadFile"),
        "a node": (made.keras_layer("TensorFlowOpLayer", "bad", None, node_def=json.dumps({"op": "WriteFile"})), "WriteFile"),
        "a wrapped one": (wrapped, "Lambda in the layer 'bad'"),
    }  # fmt: skip


@pytest.mark.parametrize("form", ["keras", "h5"])
@pytest.mark.parametrize("how", sorted(layers_that_run_code(Path("marker"))))
def test_a_keras_layer_that_runs_code_is_refused_by_name(how: str, form: str, tmp_path: Path) -> None:
    layer, words = layers_that_run_code(tmp_path / "marker")[how]
    write: Callable[[Path, object], Path] = made.keras_file if form == "keras" else made.keras_hdf5
    refused(write(tmp_path / f"model.{form}", made.keras_config(made.keras_layer("Dense", "fine"), layer)), words, "--arch", "--trust")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("LayerScale", "keras.src.applications.convnext"),
        ("StochasticDepth", "keras.src.applications.convnext"),
        ("CustomScaleLayer", "keras.src.applications.inception_resnet_v2"),
    ],
)
def test_the_layers_of_keras_own_networks_are_layers(kind: str, module: str, tmp_path: Path) -> None:
    found = sources.inspect(made.keras_file(tmp_path / "model.keras", made.keras_config(made.keras_layer(kind, "fine", module))))
    assert not found.executes


def test_code_in_what_is_for_training_counts_too(tmp_path: Path) -> None:
    config = made.keras_config(made.keras_layer("Dense", "fine"))
    config["compile_config"] = {"loss": {"class_name": "__lambda__", "config": {}}}
    refused(made.keras_file(tmp_path / "model.keras", config), "__lambda__")


@pytest.mark.parametrize("config", ["[" * 100_000, '{"a":' * 100_000, "{", "", "\xff", '{"class_name": 1}', "[1, 2]", "null"])
def test_a_configuration_that_is_none(config: str, tmp_path: Path) -> None:
    path = made.keras_file(tmp_path / "model.keras", config.encode("latin-1"))
    try:
        assert sources.inspect(path).signature is None
    except SourceUnreadable as problem:
        assert "config.json" in problem.message and "\n" not in problem.message


def test_a_keras_archive_that_is_a_decompression_bomb_or_leads_out(tmp_path: Path) -> None:
    path = made.keras_file(tmp_path / "model.keras", made.keras_config())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros", b"\0" * 50_000_000)
    with pytest.raises(SourceUnreadable, match="a decompression bomb"):
        sources.inspect(path)
    made.keras_file(path, made.keras_config(), **{"../../escaped": b"x"})
    with pytest.raises(SourceUnreadable, match=r"'\.\./\.\./escaped', which leads out"):
        sources.inspect(path)


def evil_hdf5(path: Path, how: str) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(made.keras_config())
        weights = file.create_group("layers/dense/vars")
        match how:
            case "external dataset":
                weights.create_dataset("0", (4,), "f4", external=[("/etc/passwd", 0, 16)])
            case "external link":
                weights["0"] = h5py.ExternalLink("/etc/other.h5", "/secret")
            case "virtual dataset":
                layout = h5py.VirtualLayout((4,), "f4")
                layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (4,))
                weights.create_virtual_dataset("0", layout)
            case "soft link":
                weights["0"] = h5py.SoftLink("/layers")
            case "a group in itself":
                weights["0"] = file["layers"]
            case "a large shape":
                weights.create_dataset("0", (2**40,), "f4", chunks=(1024,))
            case "a large compressed shape":
                weights.create_dataset("0", (2**40,), "f4", chunks=(1024,), compression="gzip")
            case "deep":
                group = weights
                for _ in range(100):
                    group = group.create_group("a")
    return path


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("external dataset", SourceRefused, "lie in other files"),
        ("external link", SourceRefused, "is in another file, '/etc/other.h5'"),
        ("virtual dataset", SourceRefused, "lie in other files"),
        ("soft link", SourceUnreadable, "is a link to '/layers'"),
        ("a group in itself", SourceUnreadable, "is there twice"),
        ("a large shape", SourceUnreadable, "claim 4398046511104 bytes and 0 are stored"),
        ("a large compressed shape", SourceUnreadable, "claim 4398046511104 bytes and 0 are stored"),
        ("deep", SourceUnreadable, "more than 64 deep"),
    ],
)
def test_hdf5_that_lies_or_reaches_out(how: str, error: type[SourceError], words: str, tmp_path: Path) -> None:
    path = evil_hdf5(tmp_path / "model.h5", how)
    with pytest.raises(error) as caught:
        sources.inspect(path)
    assert words in caught.value.message and str(path) in caught.value.message
    inside = made.keras_file(tmp_path / "model.keras", made.keras_config(), **{"more.h5": path.read_bytes()})
    with pytest.raises(error, match=r"model\.keras: more\.h5"):
        sources.inspect(inside)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../secret", "not a file of the model's own directory"),
        ("/etc/passwd", "not a file of the model's own directory"),
        ("a/../../secret", "not a file of the model's own directory"),
        ("..\\secret", "not a file of the model's own directory"),
        ("C:secret", "not a file of the model's own directory"),
        ("", "not a file of the model's own directory"),
        ("a\0b", "not a file of the model's own directory"),
        ("link", "a link that leads out"),
        ("folder/secret", "a link that leads out"),
    ],
)
def test_onnx_weights_outside_the_models_directory(location: str, words: str, inside: bool, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").write_bytes(b"x" * 16)
    (home / "link").symlink_to(tmp_path / "secret")
    (home / "folder").symlink_to(tmp_path)
    (home / "model.onnx").write_bytes(made.onnx(location=location, inside=inside))
    with pytest.raises(SourceRefused) as caught:
        sources.inspect(home / "model.onnx")
    assert words in caught.value.message and "the tensor w" in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("location", "offset", "length", "words"),
    [
        ("gone", 0, 16, "there is no such file"),
        ("folder", 0, 16, "there is no such file"),
        ("pipe", 0, 16, "there is no such file"),
        ("loop", 0, 16, ""),
        ("weights", 8, 16, "that file has 16"),
        ("weights", 0, 2**62, "that file has 16"),
        ("weights", -8, 16, "that file has 16"),
        ("weights", 10**30, 16, "that file has 16"),
        ("n" * 5000, 0, 16, "cannot be read"),
    ],
)
def test_onnx_weights_that_are_not_where_they_should_be(location: str, offset: int, length: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"x" * 16)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "model.onnx").write_bytes(made.onnx(location=location, offset=offset, length=length))
    with pytest.raises(SourceUnreadable) as caught:
        sources.inspect(tmp_path / "model.onnx")
    assert words in caught.value.message and len(caught.value.message) < 1000


def test_onnx_weights_beside_the_model_belong_to_it(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"x" * 16)
    (tmp_path / "model.onnx").write_bytes(made.onnx(location="weights"))
    before = sources.inspect(tmp_path / "model.onnx")
    (tmp_path / "weights").write_bytes(b"y" * 16)
    after = sources.inspect(tmp_path / "model.onnx")
    assert before.size == after.size == (tmp_path / "model.onnx").stat().st_size + 16
    assert before.sha256 != after.sha256


def test_a_tflite_operator_of_tensorflow_that_touches_files(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(made.tflite(custom="FlexWriteFile"))
    refused(tmp_path / "model.tflite", "FlexWriteFile", "writes files")


def examples(folder: Path) -> Iterator[tuple[str, Path]]:
    """One valid file of each kind; of a SavedModel and a checkpoint the part that is parsed."""
    yield "saved_model", saved(folder, functions=(made.function("f", made.node("Identity", T=made.call("g"))),)) / "saved_model.pb"
    yield "graphdef", folder / "frozen.pb"
    (folder / "frozen.pb").write_bytes(made.graph_def(*made.ORDINARY, functions=(made.function("f", made.node("If", a=made.call("f"))),)))
    yield "tf1", checkpoint(folder).with_name("model.ckpt.meta")
    yield "onnx", folder / "model.onnx"
    (folder / "model.onnx").write_bytes(made.onnx(inside=True))
    yield "tflite", folder / "model.tflite"
    (folder / "model.tflite").write_bytes(made.tflite())
    yield "keras", made.keras_file(folder / "model.keras", made.keras_config(made.keras_layer("Dense", "d")))
    yield "hdf5", made.keras_hdf5(folder / "model.h5", made.keras_config(made.keras_layer("Dense", "d")))


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return dict(examples(tmp_path_factory.mktemp("valid")))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A child, as the product has one: a parser in C that crashes would end it, and with it the test."""
    with Worker(limits=Limits(seconds=20, memory_mb=1024)) as worker:
        yield worker


KINDS = ("saved_model", "graphdef", "tf1", "onnx", "tflite", "keras", "hdf5")


def looked_at(path: Path, data: bytes, worker: Worker) -> None:
    original = path.read_bytes()
    path.write_bytes(data)
    try:
        worker.ask(sources.inspect_step, InspectRequest(path.parent if path.name == "saved_model.pb" else path))
    except SourceError as problem:
        assert "\n" not in problem.message and len(problem.message) < 1000
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(where=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_gives_our_errors_alone(kind: str, where: float, valid: dict[str, Path], worker: Worker) -> None:
    data = valid[kind].read_bytes()
    looked_at(valid[kind], data[: int(where * len(data))], worker)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from([0, 1, 0x7F, 0x80, 0xFE, 0xFF])), min_size=1, max_size=8)
)
def test_a_file_changed_anywhere_gives_our_errors_alone(
    kind: str, changes: list[tuple[float, int]], valid: dict[str, Path], worker: Worker
) -> None:
    data = bytearray(valid[kind].read_bytes())
    for where, value in changes:
        data[int(where * len(data))] = value
    looked_at(valid[kind], bytes(data), worker)


@pytest.mark.parametrize("kind", KINDS)
def test_the_valid_files_are_accepted(kind: str, valid: dict[str, Path]) -> None:
    """Otherwise the two tests above would prove nothing."""
    path = valid[kind]
    assert sources.inspect(path.parent if kind == "saved_model" else path).kind == kind


@pytest.mark.parametrize(
    "data",
    [
        made.message((1, 1), (2, b"")) + b"\x12" + made.varint(2**62),
        made.message((1, 1)) + b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        made.message((1, 1)) + b"\x13\x13\x13",
        made.message((1, 1)),
    ],
)
def test_a_protobuf_that_lies_about_lengths(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(data)
    with pytest.raises(SourceUnreadable, match=r"saved_model\.pb"):
        sources.inspect(tmp_path)


def test_attributes_nested_without_end(tmp_path: Path) -> None:
    deep = made.text("x")
    for _ in range(5000):
        deep = made.message((10, made.message((1, "f"), (2, made.entry("a", deep)))))
    with pytest.raises(SourceUnreadable, match="nested more than 100 deep"):
        sources.inspect(saved(tmp_path, made.node("If", f=deep)))


def test_graphs_in_graphs_without_end(tmp_path: Path) -> None:
    graph = b""
    for _ in range(5000):
        graph = made.message((1, made.message((4, "If"), (5, made.message((6, graph))))))
    (tmp_path / "model.onnx").write_bytes(made.message((1, 8), (7, graph)))
    with pytest.raises(SourceUnreadable, match="nested more than 100 deep"):
        sources.inspect(tmp_path / "model.onnx")


def test_a_name_of_a_file_cannot_forge_a_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path, made.node("ReadFile", "a\nError: all is well\x1b[2J" + "b" * 1000))
    with pytest.raises(SourceRefused) as caught:
        sources.identify(path)
    assert caught.value.message.isprintable() and len(caught.value.message) < 700


def test_a_parser_that_crashes_costs_a_child(tmp_path: Path) -> None:
    assert sys.platform == "linux"
    path = made.keras_hdf5(tmp_path / "model.h5", made.keras_config())
    assert isolate.call(sources.inspect_step, InspectRequest(path)).kind == "hdf5"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RoadworthyError, match="cut short or damaged"):
        isolate.call(sources.inspect_step, InspectRequest(path))


def test_nothing_here_needs_a_framework(valid: dict[str, Path]) -> None:
    import subprocess

    paths = [str(path.parent if kind == "saved_model" else path) for kind, path in valid.items()]
    program = (
        "import sys; from pathlib import Path; from roadworthy.build.sources.inspect import inspect\n"
        "for path in sys.argv[1:]: inspect(Path(path))\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'torch', 'onnx', 'flatbuffers'})"
    )
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_tensor_of_nothing_but_claims_makes_no_room(tmp_path: Path) -> None:
    """A list in a flatbuffer that claims four thousand million entries."""
    data = bytearray(made.tflite())
    (tmp_path / "model.tflite").write_bytes(data)
    assert sources.inspect(tmp_path / "model.tflite").signature is not None
    for at in range(8, len(data) - 4, 4):
        if struct.unpack_from("<I", data, at)[0] in (1, 2, 3):
            evil = bytearray(data)
            struct.pack_into("<I", evil, at, 0xFFFFFFF0)
            (tmp_path / "model.tflite").write_bytes(evil)
            try:
                sources.inspect(tmp_path / "model.tflite")
            except SourceUnreadable as problem:
                assert "TFLite" in problem.message
