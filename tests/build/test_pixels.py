"""A model of uint8 pixels: its bundle answers as that of float samples does, and what cannot be so is refused."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

import roadworthy as rw
from roadworthy.build import deploy, lower, sources
from roadworthy.build.certificate import Data
from roadworthy.build.graphs import capture_all
from roadworthy.build.job import Job
from roadworthy.build.original import contract_of, identify, load_original
from roadworthy.build.workspace import Workspace, open_workspace
from roadworthy.bundle import store
from roadworthy.core.errors import DataError, InvalidRequest, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Graph
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.front import Front, put_in_front
from roadworthy.preprocess.steps import ChannelsFirst, Normalize

pytestmark = pytest.mark.usefixtures("warm_steps")

TOML = """
[image]
color = "RGB"
resize = { size = [10, 12] }
crop = [8, 8]
mean = [0.4, 0.5, 0.6]
std = [0.2, 0.3, 0.4]
[answer]
labels = ["a", "b", "c", "d", "e"]
"""


def network(path: Path, size: tuple[int | str, int | str] = (8, 8), inputs: int = 1) -> Path:
    """A convolution, a mean over the image and a layer, float32 [batch,3,*size] to [batch,5], random."""
    random = np.random.default_rng(0)
    arrays = {"kernel": random.normal(size=(6, 3, 3, 3)), "layer": random.normal(size=(6, 5))}
    names = [f"x{number or ''}" for number in range(inputs)]
    graph = helper.make_graph(
        [
            helper.make_node("Sum", names, ["sum"]),
            helper.make_node("Conv", ["sum", "kernel"], ["conv"]),
            helper.make_node("Relu", ["conv"], ["relu"]),
            helper.make_node("GlobalAveragePool", ["relu"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("MatMul", ["flat", "layer"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info(name, 1, ("batch", 3, *size)) for name in names],
        [helper.make_tensor_value_info("y", 1, ("batch", 5))],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def photographs(count: int, height: int = 15, width: int = 19) -> Array:
    """Pictures of few colours each, so that the classes differ: uint8 [count, height, width, 3]."""
    random = np.random.default_rng(3)
    noise = random.integers(0, 100, (count, height, width, 3))
    return np.asarray(noise + random.integers(0, 155, (count, 1, 1, 3)), np.uint8)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "steps.toml").write_text(TOML)
    np.savez(tmp_path / "data.npz", x=photographs(60))
    return Job(
        network(tmp_path / "net.onnx"), tmp_path / "pixels.bundle", data=str(tmp_path / "data.npz"),
        preprocess=str(tmp_path / "steps.toml"), runtimes=("onnxruntime",), precisions=("fp32",), seconds=120, pixels=True, cache=False,
    )  # fmt: skip


@contextmanager
def loaded(job: Job) -> Iterator[tuple[sources.Loaded, Data, Contract, Workspace]]:
    """A deployment up to the original and its samples."""
    with open_workspace(seconds=job.seconds, step_seconds=60, memory_mb=0, notify=lambda progress: None) as workspace:
        source = identify(job, workspace)
        contract = contract_of(job, source, workspace).contract
        yield *load_original(source, job, contract, workspace), contract, workspace


def png(pixels: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_both_bundles_give_the_same_answers_to_the_same_photographs(job: Job) -> None:
    made = deploy.deploy(job)
    floats = deploy.deploy(replace(job, pixels=False, output=job.output.with_name("floats.bundle")))
    certificate = made.certificate
    # The original of this format is the first plan with its steps in front; all others have them inside.
    assert certificate.baseline.verified.candidate.plan.unfolded
    assert certificate.measured and not any(one.verified.candidate.plan.unfolded for one in certificate.measured)
    assert all(one.verified.parity.equivalent for one in certificate.measured)
    assert next(route for route in certificate.routes if route.route == "pixels in").ok
    assert any("the model takes uint8 pixels, a quarter of the bytes" in note.text for note in certificate.notes)
    assert certificate.preprocessing[-1].endswith("as float32 (inside the model)")
    assert "- clients send encoded images, or uint8 pixels of that shape" in (job.output / "MODEL_CARD.md").read_text()

    images = photographs(7)
    with rw.load(made) as pixels, rw.load(floats) as plain:
        (spec,) = pixels.signature.inputs
        assert spec == TensorSpec("x", "uint8", ("batch", 8, 8, 3))
        assert pixels.contract.whole().image == plain.contract.image
        wanted = plain(list(images)).outputs["y"]
        assert np.allclose(pixels(list(images)).outputs["y"], wanted, rtol=0, atol=1e-5)
        assert np.allclose(pixels([png(image) for image in images]).outputs["y"], wanted, rtol=0, atol=1e-5)
        sent = pixels.from_items(list(images))["x"]
        samples = plain.from_items(list(images))["x"]
        assert sent.nbytes * 4 == samples.nbytes
        assert np.allclose(pixels(sent).outputs["y"], wanted, rtol=0, atol=1e-5)
        with pytest.raises(InvalidRequest, match="uint8"):
            pixels(samples)
        with pytest.raises(InvalidRequest, match=r"the model takes x:uint8\[batch,8,8,3\]"):
            pixels(images)
    assert not store.read(floats.bundle).contract.inside


def test_the_samples_are_pixels_and_the_original_has_its_steps_in_front(job: Job) -> None:
    with loaded(job) as (original, data, contract, workspace):
        assert original.graph.unfolded and original.signature.inputs == (TensorSpec("x", "uint8", ("batch", 8, 8, 3)),)
        assert data.evaluation.open()["x"].dtype == np.uint8 and str(contract.sample_shape()) == "uint8 [8, 8, 3]"
        graphs, routes = capture_all(original.graph, data.evaluation, workspace)
        assert [(graph.format, graph.unfolded) for graph in graphs] == [("onnx", False), ("onnx", True)]
        assert [(route.route, route.ok) for route in routes] == [("pixels in", True)]


def test_without_data_random_pictures_become_pixels(job: Job) -> None:
    with loaded(replace(job, data=None)) as (original, data, _, _):
        samples = data.evaluation.open()["x"]
        assert samples.dtype == np.uint8 and samples.shape[1:] == (8, 8, 3) and samples.std() > 20
        assert original.signature.inputs[0].dtype == "uint8"


def test_a_size_that_the_image_decides_stays_free(job: Job) -> None:
    network(job.source, ("height", "width"))
    steps = Path(job.preprocess or "")
    steps.write_text('[image]\ncolor = "RGB"\nmean = [0.5]\nstd = [0.5]\n')
    with loaded(job) as (original, data, _, _):
        (spec,) = original.signature.inputs
        assert spec == TensorSpec("x", "uint8", ("batch", "height", "width", 3)) and len(original.signature.sizes) == 2
        assert data.evaluation.open()["x"].shape[1:] == (15, 19, 3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "samples",
            r"--pixels needs images, or uint8 pixels \[samples, height, width, 3\]; the data holds 'input' as float32 \[60, 3, 8, 8\]",
        ),
        ("no steps", "nothing says how an image becomes its input: use --preprocess"),
        ("two inputs", r"--pixels is for a model of one input, a batch of images"),
        ("pixels", "there is no normalisation to put into it; leave --pixels out"),
    ],
)
def test_what_takes_no_pixels_is_refused(job: Job, name: str, reason: str) -> None:
    if name == "samples":
        np.savez(job.data or "", x=np.zeros((60, 3, 8, 8), np.float32))
    elif name == "no steps":
        job = replace(job, preprocess=None)
    elif name == "two inputs":
        network(job.source, inputs=2)
        job = replace(job, data=None, inputs=tuple(TensorSpec(name, "float32", ("batch", 3, 8, 8)) for name in ("x", "x1")))
    else:
        job = replace(job, preprocess="raw:8", inputs=(TensorSpec("x", "uint8", ("batch", 3, 8, 8)),))
    with pytest.raises((DataError, UsageError), match=reason), loaded(job):
        pass


def test_a_runtime_with_a_folded_graph_tries_its_first_plan_without_too(tmp_path: Path) -> None:
    front = Front((ChannelsFirst(), Normalize()))
    signature = Signature((TensorSpec("x", "float32", ("batch", 3, 8, 8)),), (TensorSpec("y", "float32", ("batch", 5)),))
    inner = Graph("onnx", network(tmp_path / "net.onnx"), signature, "made")
    outer = replace(inner.signature, inputs=(front.outer(inner.signature.inputs[0]),))
    (tmp_path / "home").mkdir()
    network(tmp_path / "home" / "net.onnx")
    fronted = put_in_front(front, tmp_path / "home" / "net.onnx", tmp_path / "fronted")
    unfolded = replace(inner, path=fronted, signature=outer, unfolded=True)
    folded = replace(inner, signature=outer)
    host = replace(this_host(), cores=2)
    several = lower.plans_for((folded, unfolded), host, runtimes=("onnxruntime",), precisions=("fp32",), calibrated=False).plans
    assert [plan.unfolded for plan, _ in several] == [False, False, False, True]
    assert len({plan.name for plan, _ in several}) == 4
    alone = lower.plans_for((unfolded,), host, runtimes=("onnxruntime",), precisions=("fp32",), calibrated=False).plans
    assert [plan.unfolded for plan, _ in alone] == [True, True, True]
