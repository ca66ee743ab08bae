"""The executable: right answers at every level of the CPU, alone in an empty root, from images as from tensors, and in C."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from roadworthy.build.export import native
from roadworthy.build.export._native import files
from roadworthy.build.export._ncnn import library
from roadworthy.build.exported import Export
from roadworthy.bundle.golden import Golden
from roadworthy.core import cpu_mask
from roadworthy.core.errors import ProgramMissing, StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.numerics import softmax
from roadworthy.core.samples import SampleSet, file_of
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, Resize
from roadworthy.runtimes.exported import native as runtime

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None or this_host().architecture != "x86_64", reason="g++ for x86-64 is missing here"),
]
SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 1, 8, 8)),), (TensorSpec("y", "float32", ("batch", 4)),), max_batch=8)
PLAN = Plan("native", "fp32", threads=1, flavour="generated")
CONTRACT = Contract(
    (Decode("L"), Resize((8, 8)), ChannelsFirst(), Normalize(1 / 255, (0.5,), (0.25,))),
    Answer("softmax", 3, ('a "b"', "é", "c")),
)
PLACES = f"{os.defpath}:/usr/sbin:/sbin"
USERS, BUILT = Path.home() / ".cache", Path("roadworthy-libraries", f"ncnn-{library.VERSION}", "libncnn.a")
"""The cache of the user who runs the tests, which have one of their own, and the library in it."""
SAMPLES = np.random.default_rng(1).standard_normal((5, 1, 8, 8), dtype=np.float32)


def network(path: Path, operator: str = "Relu") -> Path:
    """Convolution, an activation, pooling and a dense layer."""
    generator = np.random.default_rng(0)
    weights = {"w": (6, 1, 3, 3), "b": (6,), "v": (96, 4), "c": (4,)}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["h"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node(operator, ["h"], ["r"], "activation"),
        helper.make_node("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "v", "c"], ["y"], "dense"),
    ]
    constants = [numpy_helper.from_array(generator.standard_normal(shape, dtype=np.float32) / 3, name) for name, shape in weights.items()]
    value = helper.make_tensor_value_info
    x, y = (value("x", TensorProto.FLOAT, ["batch", 1, 8, 8]), value("y", TensorProto.FLOAT, ["batch", 4]))
    model = helper.make_model(helper.make_graph(nodes, "net", [x], [y], constants), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


@dataclass(frozen=True)
class Made:
    """A finished export, how it is used, and the answers that it must give."""

    path: Path
    text: str
    graph: Graph
    answers: np.ndarray

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.path / "program", *words], capture_output=True, text=True, timeout=120, env={}, stdin=subprocess.DEVNULL
        )


def exported(folder: Path, plan: Plan, calibration: SampleSet | None = None) -> Made:
    path = network(folder / "model.onnx")
    graph = Graph("onnx", path, SIGNATURE, "test")
    answers = np.asarray(ReferenceEvaluator(str(path)).run(None, {"x": SAMPLES})[0])
    (folder / "out").mkdir()
    native.lower(graph, plan, calibration, folder / "out")
    golden = Golden({"x": SAMPLES}, {"y": answers})
    export = Export("net", "1", plan, SIGNATURE, CONTRACT, golden, 1e-5, folder, (graph,))
    return Made(folder / "out", native.finish(export, folder / "out"), graph, answers)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return exported(tmp_path_factory.mktemp("native"), PLAN)


@pytest.fixture
def unmasked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(cpu_mask.MASK, raising=False)
    yield


def test_the_answers_are_right_at_every_level(made: Made, unmasked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    here = this_host()
    tried = []
    for mask, level in (("sse4_2", "v2"), ("avx2", "v3"), ("avx512", "v4")):
        monkeypatch.setenv(cpu_mask.MASK, mask)
        if not here.has(*cpu_mask.LEVELS[mask].features):
            continue
        assert runtime.level(this_host()) == level
        session = runtime.load(made.path, SIGNATURE, PLAN)
        try:
            for count in (1, 5):
                np.testing.assert_allclose(session.run({"x": SAMPLES[:count]})["y"], made.answers[:count], rtol=1e-5, atol=1e-5)
        finally:
            session.close()
        tried.append(level)
    assert "v2" in tried


def test_nothing_but_the_kernel_is_needed(made: Made, tmp_path: Path) -> None:
    linked = subprocess.run(["ldd", made.path / "program"], capture_output=True, text=True)
    assert "not a dynamic executable" in linked.stderr + linked.stdout
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(made.path / "program", root / "program")
    np.save(root / "x.npy", SAMPLES)
    alone = [shutil.which("unshare") or "", "--user", "--map-root-user", shutil.which("chroot", path=PLACES) or "", str(root)]
    if "" in alone or subprocess.run([*alone, "/program", "--help"], capture_output=True).returncode:
        pytest.skip("this machine allows no root directory of one's own")
    done = subprocess.run([*alone, "/program", "--outputs", "/x.npy"], capture_output=True, text=True, env={})
    found = [json.loads(line)["outputs"]["y"] for line in done.stdout.splitlines()]
    np.testing.assert_allclose(found, made.answers, rtol=1e-5, atol=1e-5)


def test_an_image_is_answered_with_ranked_classes_as_the_server_does(made: Made, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (20, 30), np.uint8)
    (tmp_path / "x.pgm").write_bytes(b"P5 30 20 255\n" + pixels.tobytes())
    done = made.run(tmp_path / "x.pgm", "--outputs")
    assert done.returncode == 0, done.stderr
    (answer,) = map(json.loads, done.stdout.splitlines())
    sample = Preprocessor(CONTRACT.image).one(pixels)
    logits = np.asarray(ReferenceEvaluator(str(made.graph.path)).run(None, {"x": sample[None]})[0])
    np.testing.assert_allclose(answer["outputs"]["y"], logits[0], rtol=1e-5, atol=1e-5)
    shares = softmax(logits)[0]
    order = np.argsort(-shares, kind="stable")[:3].tolist()
    names = [*CONTRACT.answer.labels, "3"]
    assert [(one["index"], one["label"]) for one in answer["classes"]] == [(index, names[index]) for index in order]
    np.testing.assert_allclose([one["probability"] for one in answer["classes"]], shares[order], rtol=1e-4)


def test_a_wrong_image_a_truncated_file_and_nan_are_answered_in_words(made: Made, tmp_path: Path) -> None:
    (tmp_path / "cut.pgm").write_bytes(b"P5 30 20 255\n" + bytes(100))
    cut = made.run(tmp_path / "cut.pgm")
    assert cut.returncode == 1 and "cut.pgm is truncated: it has 100 bytes of pixels, and needs 600" in cut.stderr
    (tmp_path / "x.gif").write_bytes(b"GIF89a" + bytes(30))
    assert "it is neither that nor a .npy file" in made.run(tmp_path / "x.gif").stderr
    np.save(tmp_path / "nan.npy", np.full((1, 8, 8), np.nan, np.float32))
    (answer,) = map(json.loads, made.run(tmp_path / "nan.npy", "--outputs").stdout.splitlines())
    assert answer["outputs"]["y"] == [None] * 4 and [one["probability"] for one in answer["classes"]] == [None] * 3


def test_threads_share_the_samples_of_a_call(made: Made) -> None:
    session = runtime.load(made.path, SIGNATURE, replace(PLAN, threads=3))
    many = np.tile(SAMPLES, (40, 1, 1, 1))
    try:
        np.testing.assert_allclose(session.run({"x": many})["y"], np.tile(made.answers, (40, 1)), rtol=1e-5, atol=1e-5)
    finally:
        session.close()


def test_the_library_is_used_from_c_as_the_guide_says(made: Made, tmp_path: Path) -> None:
    command = next(line for line in made.text.splitlines() if line.startswith("gcc example.c"))
    for name in ("example.c", "libnet.a", "model_run.h"):
        shutil.copy(made.path / name, tmp_path)
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    zero = np.asarray(ReferenceEvaluator(str(made.graph.path)).run(None, {"x": np.zeros((1, 1, 8, 8), np.float32)})[0])[0]
    np.testing.assert_allclose([float(line) for line in done.stdout.split()], zero, rtol=1e-5, atol=1e-5)


def test_the_program_can_be_linked_again_as_the_guide_says(made: Made, tmp_path: Path) -> None:
    command = next(line for line in made.text.splitlines() if line.startswith("g++ "))
    shutil.copytree(made.path, tmp_path / "copy")
    (tmp_path / "copy" / "program").unlink()
    done = subprocess.run(command, shell=True, cwd=tmp_path / "copy", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), "it is compiled without a warning"
    assert (tmp_path / "copy" / "program").stat().st_size == (made.path / "program").stat().st_size


def test_an_operator_that_generated_code_lacks_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    graph = Graph("onnx", network(tmp_path / "model.onnx", "Softsign"), SIGNATURE, "test")
    (tmp_path / "out").mkdir()
    with pytest.raises(StepFailed, match="Softsign 'activation'"):
        native.lower(graph, PLAN, None, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    flavours = {plan.flavour for plan in native.plans(graph, this_host())}
    assert flavours == {"generated", "ncnn"}, "the other form is tried where code may not be generated"


def test_the_other_form_is_planned_where_its_library_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph("onnx", network(tmp_path / "model.onnx"), SIGNATURE, "test")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    host = replace(this_host(), cores=4)
    first = [("generated", 1), ("generated", 4)]
    int8 = [*first, ("generated-percentile-mixed", 1)]
    assert [(plan.flavour, plan.threads) for plan in native.plans(graph, host)] == [*first, *int8]
    library.folder().mkdir(parents=True)
    (library.folder() / "libncnn.a").touch()
    found = [(plan.flavour, plan.threads) for plan in native.plans(graph, host)]
    assert found == [*first, ("ncnn", 1), ("ncnn", 4), *int8]


def test_a_machine_without_a_compiler_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph("onnx", network(tmp_path / "model.onnx"), SIGNATURE, "test")
    monkeypatch.setenv("PATH", str(tmp_path))
    for call in (native.require, lambda: native.lower(graph, PLAN, None, tmp_path)):
        with pytest.raises(ProgramMissing, match=r"the program g\+\+ is not installed here: install GCC"):
            call()


def test_another_precision_and_another_machine_are_refused(tmp_path: Path) -> None:
    graph = Graph("onnx", network(tmp_path / "model.onnx"), SIGNATURE, "test")
    with pytest.raises(UsageError, match="native-int8-ncnn-t1 is not a plan of native"):
        native.lower(graph, Plan("native", "int8", flavour="ncnn"), None, tmp_path)
    with pytest.raises(UsageError, match="int8 needs samples to calibrate on"):
        native.lower(graph, replace(PLAN, precision="int8"), None, tmp_path)
    words = "the executable is for x86-64, and this machine is aarch64"
    assert native.unavailable(replace(this_host(), architecture="aarch64")) == {"fp32": words, "int8": words}


def test_int8_gives_nearly_the_answers_and_the_same_at_every_level(
    tmp_path: Path, made: Made, unmasked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "samples").mkdir()
    np.save(tmp_path / "samples" / file_of("x"), np.random.default_rng(2).standard_normal((64, 1, 8, 8), dtype=np.float32))
    plan = replace(PLAN, precision="int8")
    narrow = exported(tmp_path, plan, SampleSet(tmp_path / "samples", ("x",), 64))
    assert "computes in int8" in narrow.text and "computes in int8" not in made.text
    answers = []
    for mask in ("sse4_2", "avx2", "avx512"):
        monkeypatch.setenv(cpu_mask.MASK, mask)
        session = runtime.load(narrow.path, SIGNATURE, plan)
        try:
            answers.append(session.run({"x": SAMPLES})["y"])
        finally:
            session.close()
    assert np.array_equal(answers[0], answers[1]) and np.array_equal(answers[0], answers[2])
    assert 0 < np.abs(answers[0] - made.answers).max() < 0.05 * np.abs(made.answers).max()


def test_a_directory_without_a_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="holds no program"):
        runtime.load(tmp_path, SIGNATURE, PLAN)


@pytest.mark.skipif(not (USERS / BUILT).is_file(), reason="libncnn.a is not built here: python -m roadworthy.build.export._ncnn")
def test_the_network_of_ncnn_gives_the_answers_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(USERS))
    made = exported(tmp_path, replace(PLAN, flavour="ncnn"))
    session = runtime.load(made.path, SIGNATURE, replace(PLAN, flavour="ncnn"))
    try:
        for count in (1, 5):
            np.testing.assert_allclose(session.run({"x": SAMPLES[:count]})["y"], made.answers[:count], rtol=2e-5, atol=2e-5)
    finally:
        session.close()
    assert (made.path / files.LICENCES / "ncnn.txt").is_file()
    assert "not a dynamic executable" in str(subprocess.run(["ldd", made.path / "program"], capture_output=True, text=True))
