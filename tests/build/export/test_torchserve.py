"""An archive for TorchServe: what is in it, that it is the same every time, and what TorchServe itself answers where it is installed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import roadworthy
from roadworthy.build.export import torchserve as target
from roadworthy.build.exported import Export
from roadworthy.bundle import export_evidence, store
from roadworthy.bundle import golden as goldens
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, Resize
from roadworthy.runtimes.exported import _torchserve_server
from roadworthy.runtimes.exported import torchserve as runtime
from support import exporting
from support.clients.environments import torchserve_programs
from support.models import bundles
from support.server_exports import LABELS, graph

PLAN = Plan("torchserve", flavour="onnxruntime")
SIGNATURE = Signature((TensorSpec("image", "float32", (BATCH, 3, 4, 4)),), (TensorSpec("logits", "float32", (BATCH, 4)),))
STEPS = (Decode(), Resize((4, 4)), ChannelsFirst(), Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
WHEEL = "roadworthy-0.1.0-py3-none-any.whl"
CONTRACT = Contract(STEPS, Answer("softmax", 2, LABELS))


@dataclass(frozen=True)
class Made:
    """A bundle of a linear map, that map as an ONNX graph, and the export of both."""

    graph: Graph
    export: Export


@pytest.fixture
def made(tmp_path: Path) -> Made:
    held = bundles.weights(SIGNATURE)
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"])]
    ends = [("image", [BATCH, 3, 4, 4])], [("logits", [BATCH, 4])]
    captured = graph(tmp_path / "m.onnx", nodes, *ends, held)
    bundle = bundles.write_bundle(tmp_path / "bundle", name="linear", signature=SIGNATURE, contract=CONTRACT)
    (bundle / "deploy").mkdir()
    (bundle / "deploy" / WHEEL).write_bytes(b"a wheel")
    store.seal(bundle, store.read(bundle))
    golden = goldens.read(bundle / "golden.npz", SIGNATURE)
    return Made(captured, Export("linear", "3", PLAN, SIGNATURE, CONTRACT, golden, 1e-5, bundle, (captured,)))


def finished(made: Made, out: Path) -> str:
    out.mkdir()
    target.lower(made.graph, made.export.plan, None, out)
    return target.finish(made.export, out)


def test_it_answers_before_it_is_packed(made: Made, tmp_path: Path) -> None:
    for flavour in ("onnxruntime", "openvino"):
        plan = replace(PLAN, flavour=flavour, threads=2)
        out = tmp_path / flavour
        out.mkdir()
        target.lower(made.graph, plan, None, out)
        session = runtime.load(out, SIGNATURE, plan)
        np.testing.assert_allclose(session.run(made.export.golden.inputs)["logits"], made.export.golden.outputs["logits"], atol=1e-5)
        session.close()


def test_the_archive_holds_the_bundle_and_no_code_of_the_model(made: Made, tmp_path: Path) -> None:
    readme = finished(made, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.properties", "linear.mar", WHEEL, "verify.py"]
    with zipfile.ZipFile(tmp_path / "out" / "linear.mar") as archive:
        names, manifest = archive.namelist(), json.loads(archive.read("MAR-INF/MANIFEST.json"))
        handler, pins = archive.read("handler.py").decode(), archive.read("requirements.txt").decode()
        assert json.loads(archive.read("index_to_name.json")) == dict(zip("0123", LABELS, strict=True))
        archive.extractall(tmp_path / "unpacked")
    assert names == sorted(names) and "bundle/manifest.json" in names and "bundle/variants/onnxruntime-fp32-t1/model.onnx" in names
    assert not [name for name in names if name.endswith(".npz") and "variants" in name]
    assert manifest == {
        "createdOn": "22/11/2026 12:00:00", "runtime": "python", "archiverVersion": "0.12.0",
        "model": {"modelName": "linear", "handler": "handler.py", "modelVersion": "3", "requirementsFile": "requirements.txt"},
    }  # fmt: skip
    assert "torch" not in handler.replace("TorchServe", "").replace("torchserve", "") and 25 <= len(handler.splitlines()) <= 45
    # No index has Roadworthy: the archive and the folder hold the wheel of the bundle.
    assert pins.splitlines()[0] == f"./bundle/deploy/{WHEEL}" in (f"./{name}" for name in names) and "onnxruntime==" in pins
    assert store.read(tmp_path / "unpacked" / "bundle").variants[0].gate == made.export.gate
    assert "@" not in readme and "torchserve --start" in readme and "curl -T FILE" in readme and f"torch ./{WHEEL} onnxruntime==" in readme


def test_it_is_the_same_every_time(made: Made, tmp_path: Path) -> None:
    for name in ("one", "two"):
        finished(made, tmp_path / name)
    assert (tmp_path / "one" / "linear.mar").read_bytes() == (tmp_path / "two" / "linear.mar").read_bytes()


class Context:
    """What TorchServe gives a handler, as far as it is used."""

    def __init__(self, folder: Path) -> None:
        self.system_properties = {"model_dir": str(folder)}


def test_the_handler_takes_tensors_and_images(made: Made, tmp_path: Path) -> None:
    """The handler alone, called as the server does; no server is started."""
    finished(made, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "out" / "linear.mar") as archive:
        archive.extractall(tmp_path / "unpacked")
    names: dict[str, object] = {}
    exec((tmp_path / "unpacked" / "handler.py").read_text(), names)
    handler = names["BundleHandler"]()  # type: ignore[operator]
    handler.initialize(Context(tmp_path / "unpacked"))
    x, y = made.export.golden.inputs["image"], made.export.golden.outputs["logits"]
    packed = io.BytesIO()
    np.savez(packed, image=x)
    answers = handler.handle(
        [{"body": {"image": x.tolist()}}, {"data": bytearray(packed.getvalue())}, {"body": bytearray(picture())}], None
    )
    for answer in json.loads(json.dumps(answers))[:2]:
        np.testing.assert_allclose(answer["logits"], y, atol=1e-5)
    assert answers[2] == best(made.export.bundle) and set(answers[2]) < set(LABELS)


def picture() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (9, 7, 3)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def best(bundle: Path) -> dict[str, float]:
    ranked = roadworthy.load(bundle).infer(picture()).ranked[0]
    return {one.label: pytest.approx(one.score, abs=1e-6) for one in ranked}


def test_without_the_server_the_runtime_inside_answers_and_nothing_claims_the_target(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(made, tmp_path / "out")
    monkeypatch.setattr(runtime, "installed", lambda: False)
    session = runtime.load(tmp_path / "out", SIGNATURE, PLAN)
    np.testing.assert_allclose(session.run(made.export.golden.inputs)["logits"], made.export.golden.outputs["logits"], atol=1e-5)
    assert session.on_target is False  # type: ignore[attr-defined]
    assert [tool.name for tool in session.tools] == ["onnxruntime"]  # type: ignore[attr-defined]
    session.close()


@pytest.mark.slow
def test_torchserve_itself_answers(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{torchserve_programs()}{os.pathsep}{os.environ['PATH']}")
    finished(made, tmp_path / "out")
    session = runtime.load(tmp_path / "out", SIGNATURE, PLAN)
    assert isinstance(session, runtime.TorchServeSession) and session.on_target
    assert {tool.name for tool in session.tools} == {"torchserve", "onnxruntime"}
    try:
        x, y = made.export.golden.inputs["image"], made.export.golden.outputs["logits"]
        np.testing.assert_allclose(session.run({"image": x})["logits"], y, atol=1e-5)
        many: Array = np.concatenate([x] * 3000)
        monkeypatch.setattr(runtime, "REQUEST", 2**20)
        assert np.array_equal(session.run({"image": many})["logits"], np.concatenate([session.run({"image": x})["logits"]] * 3000))
        asked = json.dumps({"image": x.tolist()}).encode()
        np.testing.assert_allclose(session.item(asked, "application/json")["logits"], y, atol=1e-5)
        assert session.item(picture()) == best(made.export.bundle)
        with pytest.raises(StepFailed, match="TorchServe refused a request"):
            session.item(b"no image")
        goldens.write(tmp_path / "out" / "golden.npz", made.export.golden)
        exporting.seal(tmp_path / "out", PLAN, len(x))
        environment = os.environ | {"SERVER_URL": session._server._address}
        verify = subprocess.run(
            [sys.executable, "-I", str(tmp_path / "out" / "verify.py")], capture_output=True, text=True, env=environment
        )
        assert verify.returncode == 0, verify.stderr
        assert export_evidence.read(tmp_path / "out" / "evidence-target.json").passed
    finally:
        children = _torchserve_server._descendants(session._server._child.pid)
        session.close()
    assert len(children) >= 2 and not any(map(runs, children))


def runs(process: int) -> bool:
    """Whether it does: one that has ended may wait for a parent that takes its exit."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.mark.slow
def test_a_handler_that_fails_is_said(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{torchserve_programs()}{os.pathsep}{os.environ['PATH']}")
    finished(made, tmp_path / "out")
    archive = tmp_path / "out" / "linear.mar"
    with zipfile.ZipFile(archive) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(archive, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, b"raise RuntimeError('broken on purpose')" if name == "handler.py" else data)
    with pytest.raises(StepFailed, match=r"the handler failed in TorchServe: .*RuntimeError: broken on purpose"):
        runtime.load(tmp_path / "out", SIGNATURE, PLAN)


def test_plans_are_those_of_the_runtimes_inside(made: Made) -> None:
    found = list(target.plans(made.graph, replace(this_host(), cores=4)))
    assert [(plan.flavour, plan.threads) for plan in found] == [("onnxruntime", 1), ("onnxruntime", 4), ("openvino", 1), ("openvino", 4)]
    with pytest.raises(UsageError, match="its flavours are onnxruntime, openvino"):
        target.lower(made.graph, replace(PLAN, flavour="null"), None, Path("nowhere"))
