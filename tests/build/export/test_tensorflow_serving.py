"""Exports for TensorFlow Serving: operators, pixels, names and files; asked beside our own server by TensorFlow Serving's own stubs."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from roadworthy.build import capture
from roadworthy.bundle import export_evidence
from roadworthy.bundle import golden as goldens
from roadworthy.bundle.certificate import NOT_ON_TARGET
from roadworthy.bundle.export_evidence import ComparedSamples, ExportEvidence
from roadworthy.bundle.golden import Golden
from roadworthy.core import samples
from roadworthy.core.host import this_host
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.steps import (
    ChannelsFirst,
    Crop,
    CropFraction,
    CropToAspect,
    Decode,
    Grey,
    Letterbox,
    Normalize,
    Resize,
    ReverseChannels,
)
from support import pictures
from support.clients.environments import client_python, drive
from support.files import onnx_cases
from support.models import bundles
from support.models import tensorflow_exports as steps
from support.models.tensorflow_captures import Order, make
from support.servers.serving import PICTURE, Server

pytestmark = pytest.mark.slow

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SEES = Contract((Decode(), Resize(10), Crop(8), ChannelsFirst(), Normalize(1 / 255, MEAN, STD)))
STEPS = {
    "ImageNet, torchvision": (Decode(), Resize(36), Crop(32), ChannelsFirst(), Normalize(1 / 255, MEAN, STD, arithmetic="torch")),
    "bicubic, odd crop": (Decode(), Resize(36, "bicubic"), Crop((31, 30)), ChannelsFirst(), Normalize(1 / 255, MEAN, STD)),
    "transformers": (Decode(), Resize((40, 30), "bicubic"), Crop(28, "floor"), Normalize(1 / 255, MEAN, STD, 2, arithmetic="numpy")),
    "Keras": (Decode(), CropToAspect((50, 40)), Resize((50, 40), "bilinear", False, None, "half", False, "tf"),
              Normalize(1 / 127.5, (1.0,), (1.0,), 2, arithmetic="keras")),
    "TensorFlow 1": (Decode(), CropFraction(0.875), Resize((30, 31), "bilinear", False, None, "corner", False, "tf")),
    "TensorFlow, antialias": (Decode(), Resize((30, 31), "bicubic", True, None, "half", False, "tf")),
    "torch on tensors": (Decode(), Resize((40, 44), "bilinear", True, None, "half", True, "torch")),
    "longest side": (Decode(), Resize(40, longest=60), Crop((60, 60), "floor")),
    "YOLO": (Decode(), Letterbox((64, 80)), ReverseChannels()),
    "padded, one corner": (Decode(), Letterbox(48, antialias=True, scale_up=False, centered=False)),
    "crop that resizes": (Decode(), Crop((50, 61), "down", "resize")),
    "Pillow, the rows first": (Decode(), Resize((60, 20))),
    "grey": (Decode("L"), Resize((20, 24)), ChannelsFirst()),
    "grey three times": (Decode(), Grey(3, "torch"), Resize((20, 24), "lanczos")),
    "nearest": (Decode(), Resize((20, 24), "nearest")),
    "int8": (Decode(), Resize((20, 24)), Normalize(1.0, (128.0,), (1.0,), 2, "int8")),
}  # fmt: skip


@pytest.fixture(scope="module")
def tensorflow() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


def test_each_operator_answers_as_onnx_defines_it(tensorflow: Worker, tmp_path: Path) -> None:
    found = tensorflow.ask(steps.operators, steps.Folder(tmp_path)).by_name
    assert len(found) > 60
    assert {name: error for name, error in found.items() if not error[:1].isdigit() or float(error) > 1e-5} == {}


def test_what_cannot_be_written_is_named_with_its_node(tensorflow: Worker, tmp_path: Path) -> None:
    found = tensorflow.ask(steps.refused, steps.Folder(tmp_path)).by_name
    assert found["an operator"].startswith("TensorFlow's graph could not be written from refused.onnx: Mod 'remainder': operators of ONNX")
    assert "Conv 'uneven'" in found["two strides"] and "strides (2, 1)" in found["two strides"]
    assert found["left"] == "[]"


def test_pixels_are_those_of_roadworthy(tensorflow: Worker) -> None:
    request = steps.ImageContracts(tuple(STEPS), tuple(map(Contract, STEPS.values())))
    found = tensorflow.ask(steps.pixels, request).by_name
    # One level where the order of two roundings, or a sum in float32, decides.
    assert {name: levels for name, levels in found.items() if not levels[:1].isdigit() or float(levels) > 1.001} == {}
    same = ("ImageNet, torchvision", "Pillow, the rows first", "TensorFlow 1", "torch on tensors", "YOLO", "nearest")
    assert {name: found[name] for name in same if float(found[name]) > 1e-2} == {}


def test_steps_that_tensorflow_cannot_do_are_named(tensorflow: Worker) -> None:
    unfit = {
        "EXIF": (Decode(orient=True), Resize((8, 8))),
        "box": (Decode(), Resize((8, 8), "box")),
        "no size": (Decode(), Resize(8)),
    }
    found = tensorflow.ask(steps.pixels, steps.ImageContracts(tuple(unfit), tuple(map(Contract, unfit.values())))).by_name
    assert "turned as EXIF says" in found["EXIF"] and "TensorFlow reads no EXIF data" in found["EXIF"]
    assert "(box)" in found["box"] and "state a size in the last resize or crop" in found["no size"]


def test_files_are_decoded_to_the_same_pixels(tensorflow: Worker, tmp_path: Path) -> None:
    found = tensorflow.ask(steps.decoding, steps.Folder(tmp_path)).by_name
    assert len(found) > 40
    assert "the image has more pixels than the limit of 1000" in found.pop("too large")
    assert {name: levels for name, levels in found.items() if levels != "0"} == {}


def written(folder: Path, name: str) -> tuple[Graph, SampleSet]:
    """One of the operators' cases as an ONNX file, and samples."""
    folder.mkdir()
    case = onnx_cases.CASES[name]
    _, graph = onnx_cases.written(case, folder)
    return graph, samples.write(folder / "samples", case.feeds(8))


def test_names_that_tensorflow_would_change_survive(tensorflow: Worker, tmp_path: Path) -> None:
    original, given = written(tmp_path / "a", "conv, two groups")
    model = onnx.load(original.path)
    for value, name in ((model.graph.input[0], "x:0"), (model.graph.output[0], "logits.1")):
        for node in model.graph.node:
            node.input[:] = [name if one == value.name else one for one in node.input]
            node.output[:] = [name if one == value.name else one for one in node.output]
        value.name = name
    onnx.save(model, original.path)
    graph = steps.with_names(original, ("x:0",), ("logits.1",))
    renamed = samples.write(tmp_path / "renamed", {"x:0": given.open()["x"]})
    out = tmp_path / "out"
    found = tensorflow.ask(steps.export, steps.ServedExport(graph, renamed, out, name="digits"))
    assert found.before < 1e-5 and found.after < 1e-5
    assert found.signatures == ("serving_default",)
    assert found.files == (
        "batching.config", "digits/3/assets.extra/tf_serving_warmup_requests", "digits/3/saved_model.pb", "models.config", "verify.py",
    )  # fmt: skip
    shown = tensorflow.ask(steps.shown, steps.Folder(out / "digits" / "3")).lines
    assert "inputs['x:0'] tensor_info:" in shown and "outputs['logits.1'] tensor_info:" in shown and "shape: (-1, 4, 6, 5)" in shown
    assert "does not say how images become samples" in found.text and "Not verified on the target" in found.text


def test_tensorflow_s_own_way_of_saving_changes_a_name(tensorflow: Worker, tmp_path: Path) -> None:
    assert tensorflow.ask(steps.bare_names, steps.Folder(tmp_path)).lines == ("input_1",)


def test_tensorflow_s_own_decoder_gives_other_pixels(tensorflow: Worker, tmp_path: Path) -> None:
    assert int(tensorflow.ask(steps.bare_decoding, steps.Folder(tmp_path)).by_name["largest"]) > 1


@pytest.mark.parametrize(("name", "format"), [("several", "saved_model"), ("plain", "graphdef")])
def test_graphs_of_tensorflow_keep_their_answers(tensorflow: Worker, tmp_path: Path, name: str, format: str) -> None:
    original = tensorflow.ask(make, Order(name, tmp_path / "original"))
    captured = tensorflow.ask(capture.capture, capture.CaptureRequest(original.graph, format, original.samples, tmp_path / "captured"))
    assert captured.graph is not None
    request = steps.ServedExport(captured.graph, original.samples, tmp_path / "out", reference=original.graph, version="v2")
    found = tensorflow.ask(steps.export, request)
    assert found.before < 1e-5 and found.after < 1e-5
    assert "model/1/saved_model.pb" in found.files and "v2 is 1 here" in found.text


def test_a_table_is_refused_frozen_and_kept_as_it_was_saved(tensorflow: Worker, tmp_path: Path) -> None:
    """Under another name than the file's: TensorFlow's newer part of the file, which states the old one, is left out."""
    original = tensorflow.ask(make, Order("table", tmp_path / "original"))
    entry = tmp_path / "original" / "entry.json"
    entry.write_text(entry.read_text().replace('"name":"y"', '"name":"the answer/1"'))
    graph = steps.with_names(original.graph, ("x",), ("the answer/1",))
    with pytest.raises(Exception, match=r"needs a table or other state .*, which a frozen graph does not hold"):
        tensorflow.ask(steps.export, steps.ServedExport(graph, original.samples, tmp_path / "frozen"))
    found = tensorflow.ask(steps.export, steps.ServedExport(graph, original.samples, tmp_path / "saved", flavour="saved"))
    assert found.before == found.after == 0.0


def test_plans_are_frozen_and_for_strings_also_as_saved() -> None:
    from roadworthy.build.export import tensorflow_serving

    def offered(format: str, dtype: str, shape: tuple[int | str, ...] = (BATCH, 4), **more: object) -> list[str]:
        signature = Signature((TensorSpec("x", dtype, shape),), (TensorSpec("y", "float32", (BATCH,)),))
        graph = Graph(format, Path("model"), signature, "test", **more)  # type: ignore[arg-type]
        return [plan.flavour for plan in tensorflow_serving.plans(graph, this_host())]

    assert offered("onnx", "float32") == offered("saved_model", "float32") == ["frozen"]
    assert offered("saved_model", "object") == ["frozen", "saved"]
    assert offered("onnx", "float32", (BATCH, "rows")) == offered("onnx", "float32", precision="int8") == []
    assert offered("graphdef", "float32", unfolded=True) == []


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A bundle that is a linear map of images, and ``model.onnx`` of the same map beside it."""
    bundles.write_bundle(tmp_path / "models" / "picture" / "7", name="picture", version="7", signature=PICTURE, contract=SEES)
    held = bundles.weights(PICTURE)
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"])]
    ports = [helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, list(spec.shape)) for spec in (*PICTURE.inputs, *PICTURE.outputs)]
    constants = [numpy_helper.from_array(array, name) for name, array in held.items()]
    graph = helper.make_graph(nodes, "linear", ports[:1], ports[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "model.onnx")
    return tmp_path


def test_the_saved_model_answers_as_our_own_server_does(tensorflow: Worker, picture: Path) -> None:
    """By REST, by TensorFlow Serving's own stubs, with its warm-up requests, and by the script for the target."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("the stubs need TensorFlow, which is not installed")
    given = {name.removeprefix("in."): array for name, array in bundles.linear_golden(PICTURE).items() if name.startswith("in.")}
    graph, out = Graph("onnx", picture / "model.onnx", PICTURE, "test"), picture / "export"
    found = tensorflow.ask(
        steps.export, steps.ServedExport(graph, samples.write(picture / "given", given), out, contract=SEES, name="picture", version="7")
    )
    assert found.signatures == ("image", "serving_default") and found.after < 1e-5
    Image.fromarray(pictures.picture(20, 30)).save(picture / "image.png")
    np.savez(picture / "given.npz", **given)
    release = ".".join(metadata.version("tensorflow-cpu").split(".")[:2])
    python = client_python("tfserving-stubs", no_deps=(f"tensorflow-serving-api=={release}.*",))
    server = Server(picture / "models", grpc_port=0, versions=0)
    try:
        address = server.wait_ready()
        compared = drive(
            python, "tfserving_exported.py", server.grpc_address, address, sysconfig.get_paths()["purelib"], out / "picture" / "7",
            picture / "given.npz", picture / "image.png",
        )  # fmt: skip
        assert set(compared["errors"]) == {f"{way} {what}" for way in ("grpc", "rest") for what in ("serving_default", "image")}
        assert max(compared["errors"].values()) < 1e-5
        assert [one[:2] for one in compared["warm-up"]] == [
            ["serving_default", size] if odd else ["image", size] for size in (1, 2, 4, 6) for odd in (True, False)
        ]
        assert {one[2] for one in compared["warm-up"]} == {"answered"}
        assert verified(out, address) == 0
        assert verified(out, "http://127.0.0.1:1") == 2
    finally:
        server.kill()


def verified(out: Path, address: str) -> int:
    """The exit status of the export's ``verify.py`` against the server at ``address``."""
    rows = bundles.linear_golden(PICTURE)
    golden = Golden({"image": rows["in.image"]}, {"logits": rows["out.logits"]})
    goldens.write(out / "golden.npz", golden)
    content = (out / "golden.npz").read_bytes()
    export_evidence.write(
        out / "evidence.json",
        ExportEvidence(
            target="tensorflow-serving", model="picture", version="7", golden=hashlib.sha256(content).hexdigest(),
            plan=Plan("tensorflow_serving"), files=export_evidence.files_sum(out), verification=NOT_ON_TARGET, host=this_host(), tools=(),
            samples=ComparedSamples(8, 0, generated=True), max_rel=0.0, max_abs=0.0, gate=1e-5, passed=True,
            created="2026-11-30T12:00:00+00:00",
        ),
    )  # fmt: skip
    run = subprocess.run(
        [sys.executable, str(out / "verify.py")], capture_output=True, text=True, env=os.environ | {"TENSORFLOW_SERVING": address}
    )
    if run.returncode == 0:
        evidence = json.loads((out / "evidence-target.json").read_text())
        assert evidence["verification"] == "verified on the target" and evidence["passed"] is True
    else:
        assert "no server answers at" in run.stderr and "README.md" in run.stderr
    return run.returncode
