"""Files for Android: which are offered, what they answer with the interpreter of phones, and what lies beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from roadworthy.build.export import android
from roadworthy.build.exported import Export
from roadworthy.build.lower import litert
from roadworthy.bundle.golden import Golden
from roadworthy.core import samples
from roadworthy.core.errors import BackendMissing, StepFailed, UsageError
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, SizeRange, TensorSpec
from roadworthy.preprocess.answer import Answer
from roadworthy.preprocess.contract import Contract
from roadworthy.runtimes import open_session
from roadworthy.runtimes.exported import android as runtime
from support import hosts
from support.files.onnx_cases import CASES, Case, node, weights, written
from support.files.onnx_networks import NETWORKS

TWO_CORES = hosts.pretended("avx2", 2)
"""Without instructions for products of bytes, which phones have."""


def offered(graph: Graph) -> set[tuple[str, str, int | None]]:
    return {(plan.precision, plan.flavour, plan.batch) for plan in android.plans(graph, TWO_CORES)}


def export(graph: Graph, plan: Plan, labels: tuple[str, ...] = ()) -> Export:
    x = np.zeros((2, *map(int, graph.signature.inputs[0].sample_shape)), np.float32)
    y = np.zeros((2, *map(int, graph.signature.outputs[0].sample_shape)), np.float32)
    return Export(
        "digits", "3", plan, graph.signature, Contract(answer=Answer(labels=labels)), Golden({"x": x}, {"y": y}), 1e-5, graph.path
    )


def test_int8_is_offered_for_phones_whatever_this_cpu_can_do(tmp_path: Path) -> None:
    _, graph = written(CASES["conv, no padding"], tmp_path)
    floats, narrow, whole = ("fp32", "", 1), ("int8", litert.DYNAMIC, 1), ("int8", "", 1)
    assert offered(graph) == {floats, narrow, whole}
    assert offered(Graph("graphdef", graph.path, graph.signature, "test")) == {floats, narrow, whole}
    assert offered(Graph("tflite", graph.path, graph.signature, "test", precision="int8")) == {whole}
    assert {plan.threads for plan in android.plans(graph, TWO_CORES)} == {1, 2}
    assert offered(Graph("onnx", graph.path, graph.signature, "test", precision="int8")) == set()
    free = Signature((TensorSpec("x", "float32", ("batch", "rows")),), graph.signature.outputs, sizes=(SizeRange("rows", (6, 8)),))
    assert offered(Graph("onnx", graph.path, free, "test")) == set()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_answers_with_the_interpreter_of_phones(tmp_path: Path, name: str) -> None:
    model, graph = written(NETWORKS[name], tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    plan = Plan("android", batch=1)
    android.lower(graph, plan, None, out)
    assert [path.name for path in out.iterdir()] == ["model.tflite"]
    feeds = NETWORKS[name].feeds(3)
    (wanted,) = ReferenceEvaluator(model).run(None, feeds)
    with open_session(out, graph.signature, plan) as session:
        assert np.abs(session.run(feeds)["y"] - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert not runtime.ON_TARGET


def test_int8_weights_are_a_plan_of_their_own_and_stay_close(tmp_path: Path) -> None:
    model, graph = written(NETWORKS["a digits network"], tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    plan = Plan("android", "int8", batch=1, flavour=litert.DYNAMIC)
    android.lower(graph, plan, None, out)
    feeds = NETWORKS["a digits network"].feeds(3)
    (wanted,) = ReferenceEvaluator(model).run(None, feeds)
    with open_session(out, graph.signature, plan) as session:
        found = session.run(feeds)["y"]
    assert 1e-4 < np.abs(found - wanted).max() / np.abs(wanted).max() < 0.1


def test_int8_throughout_is_calibrated_on_samples_and_keeps_the_types_of_the_signature(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_quantizer", reason="it needs the quantiser: pip install 'roadworthy[android]'")
    model, graph = written(NETWORKS["an inverted-residual network"], tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    plan = Plan("android", "int8", batch=1)
    feeds = NETWORKS["an inverted-residual network"].feeds(20)
    android.lower(graph, plan, samples.write(tmp_path / "data", feeds), out)
    assert [path.name for path in out.iterdir()] == ["model.tflite"]
    (wanted,) = ReferenceEvaluator(model).run(None, feeds)
    with open_session(out, graph.signature, plan) as session:
        found = session.run(feeds)["y"]
    assert found.dtype == np.float32
    assert 1e-4 < np.abs(found - wanted).max() / np.abs(wanted).max() < 0.2


def test_the_quantiser_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, graph = written(NETWORKS["a digits network"], tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    feeds = NETWORKS["a digits network"].feeds(2)
    with pytest.raises(BackendMissing, match=r"pip install 'roadworthy\[android\]'"):
        android.lower(graph, Plan("android", "int8", batch=1), samples.write(tmp_path / "data", feeds), out)
    assert not list(out.iterdir())


def test_what_is_not_offered_is_refused(tmp_path: Path) -> None:
    _, graph = written(CASES["conv, no padding"], tmp_path)
    with pytest.raises(UsageError, match="int8 needs samples to calibrate on"):
        android.lower(graph, Plan("android", "int8", batch=1), None, tmp_path)
    with pytest.raises(UsageError, match="it is for LiteRT already and keeps its precision, int8"):
        android.lower(Graph("tflite", graph.path, graph.signature, "test", precision="int8"), Plan("android"), None, tmp_path)
    case = Case([node("Mod", "x n", fmod=1, name="rest")], constants={"n": weights(1)})
    folder = tmp_path / "refused"
    folder.mkdir()
    _, other = written(case, tmp_path)
    with pytest.raises(StepFailed, match="Mod 'rest': operators of ONNX that have no translation"):
        android.lower(other, Plan("android"), None, folder)
    assert not list(folder.iterdir())


def test_beside_the_file_lie_class_names_kotlin_and_a_script(tmp_path: Path) -> None:
    _, graph = written(NETWORKS["a digits network"], tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    plan = Plan("android", threads=2, batch=1)
    android.lower(graph, plan, None, out)
    labels = ("zero", "number\none", *map(str, range(2, 10)))
    text = android.finish(export(graph, plan, labels), out)
    assert (out / "labels.txt").read_text().splitlines() == ["zero", "number one", *map(str, range(2, 10))]
    kotlin = (out / "Classifier.kt").read_text()
    assert "fun answer(sample: FloatArray): FloatArray" in kotlin and "writeFloat(sample)" in kotlin and "[1, 1, 8, 8]" in kotlin
    assert "Not verified on the target" in text and "`labels.txt`" in text and "Classifier(context)" in text
    for file in (text, kotlin, (out / "verify.py").read_text()):
        assert "@" not in file.replace("@FACTS@", "")
    # The script's own part answers as on a board.
    answers = f"import sys; sys.path.insert(0, {str(out)!r}); import numpy as np, verify; x = np.ones((1, 1, 8, 8), np.float32); "
    done = subprocess.run([sys.executable, "-c", answers + "print(verify.answers({'x': x})['y'].shape)"], capture_output=True, text=True)
    assert done.stdout.strip() == "(1, 10)", done.stderr


def test_a_model_of_several_outputs_gets_no_class_in_kotlin(tmp_path: Path) -> None:
    _, graph = written(NETWORKS["a digits network"], tmp_path)
    outputs = (TensorSpec("y", "float32", ("batch", 10)), TensorSpec("z", "float32", ("batch", 2)))
    signature = Signature(graph.signature.inputs, outputs)
    text = android.finish(export(Graph("onnx", graph.path, signature, "test"), Plan("android", batch=1)), tmp_path)
    assert not (tmp_path / "Classifier.kt").exists() and not (tmp_path / "labels.txt").exists()
    assert "several inputs or outputs" in text and "The classes have no names" in text


def test_a_damaged_file_is_refused_in_words(tmp_path: Path) -> None:
    _, graph = written(CASES["conv, no padding"], tmp_path)
    (tmp_path / "model.tflite").write_bytes(b"\0" * 100)
    with pytest.raises(StepFailed, match=r"LiteRT cannot load model\.tflite"):
        open_session(tmp_path, graph.signature, Plan("android", batch=1))
