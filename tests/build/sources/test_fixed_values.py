"""Inputs that the user gave one value: constants of the deployed model where the size is known, values of the samples where it is not."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from roadworthy.build import sources
from roadworthy.build.sources import Loaded, LoadRequest, Making, parse_inputs
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import fixed
from roadworthy.core import registry, samples
from roadworthy.core.errors import DataError, SourceError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, BoundInput, Signature, TensorSpec
from roadworthy.runtimes import open_session

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
RATE = ("rate:int64[] = 16000", "x:float32[batch,4]")
Fix = Callable[..., Loaded]


def scaled(path: Path, shape: tuple[Any, ...] = ()) -> Path:
    """``x * rate``, where ``rate`` is one number for the whole call."""
    nodes = [helper.make_node("Cast", ["rate"], ["factor"], to=TensorProto.FLOAT), helper.make_node("Mul", ["x", "factor"], ["y"])]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4]),
        helper.make_tensor_value_info("rate", TensorProto.INT64, shape),
    ]
    graph = helper.make_graph(nodes, "scaled", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def load(tmp_path: Path) -> Fix:
    def run(path: Path, *said: str, given: SampleSet | None = None, trust: bool = False, arch: str | None = None) -> Loaded:
        specs, stated = parse_inputs(said)
        making = Making(16, stated, tmp_path / "made")
        source = sources.identify(path, trust=trust, arch=arch)
        return sources.load(LoadRequest(source, specs, given, tmp_path / "kept", making=making))

    return run


def answer(loaded: Loaded, x: Array = X) -> Array:
    """What the original that was kept gives: its only input is ``x``."""
    (spec,) = loaded.signature.inputs
    graph = loaded.graph
    with open_session(graph.path, graph.signature, Plan(registry.runtime_for(graph.format))) as session:
        (found,) = session.run({spec.name: x}).values()
        return np.asarray(found)


def test_a_number_becomes_part_of_an_onnx_file(load: Fix, tmp_path: Path) -> None:
    loaded = load(scaled(tmp_path / "m.onnx"), *RATE)
    assert [str(spec) for spec in loaded.signature.inputs] == ["x:float32[batch,4]"]
    np.testing.assert_array_equal(answer(loaded), X * 16000)
    assert "'rate' is 16000 in every call, as --input states: it is no input of the deployment" in loaded.notes
    assert loaded.samples is not None and loaded.samples.inputs == ("x",)


def test_a_vector_of_settings_has_the_value_in_every_element(load: Fix, tmp_path: Path) -> None:
    loaded = load(scaled(tmp_path / "m.onnx", (4,)), "rate:int64[4] = ones")
    np.testing.assert_array_equal(answer(loaded), X)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (("speed:int64[] = 1",), "has no input 'speed'; it takes x:float32.*rate:int64"),
        (("rate:int32[] = 1",), "'rate' was said to be rate:int32.*and the model takes rate:int64"),
        (("rate:int64[3] = 1",), r"'rate' was said to be rate:int64\[3\]"),
        (("rate:int64[] = 1", "x:float32[2,4] = ones"), "nothing left to send"),
    ],
)
def test_what_the_model_does_not_take_so_is_refused(said: tuple[str, ...], why: str, load: Fix, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=why):
        load(scaled(tmp_path / "m.onnx"), *said)


def test_a_format_that_holds_no_constants_says_so(load: Fix, tmp_path: Path) -> None:
    np.savez(tmp_path / "map.npz", weight=np.ones((4, 2), np.float32), bias=np.zeros(2, np.float32))
    with pytest.raises(UsageError, match="nothing left to send"):
        load(tmp_path / "map.npz", "input:float32[1,4] = ones")
    two = Model(lambda feeds: feeds, (TensorSpec("x", "float32", (BATCH, 4)), TensorSpec("k", "int64", ())), _never, 0)
    with pytest.raises(SourceError, match="'k' cannot be fixed in a file of this format; convert the model again"):
        fixed.bind(two, (BoundInput("k", "int64", (), 3),))


def _never(signature: Signature, out: Path) -> Graph:
    raise AssertionError("not kept")


def test_data_may_leave_a_fixed_input_out_or_hold_its_value(tmp_path: Path) -> None:
    specs, stated = parse_inputs(("ids:int64[batch,seq]", "mask:int64[batch,seq] = ones", "rate:int64[] = 7"))
    assert sources.bound_inputs(specs, stated)[1][0].name == "rate"
    given = samples.write(tmp_path / "a", {"ids": np.zeros((5, 3), np.int64), "rate": np.full(5, 7)})
    whole = sources.with_fixed(given, specs, stated)
    assert whole.inputs == ("ids", "mask")
    np.testing.assert_array_equal(whole.open()["mask"], np.ones((5, 3), np.int64))
    with pytest.raises(DataError, match="has no input 'mask', and nothing shows its size seq"):
        sources.with_fixed(samples.write(tmp_path / "b", {"other": np.zeros((5, 3))}), specs, stated)


NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x, rate: int, scale: float = 1.0):
        if rate == 16000:
            x = x * 2
        return self.head(x) * scale

class Tensors(Net):
    def forward(self, x, rate, scale):
        return self.head(x * (rate / 8000)) * scale
"""


def net(folder: Path, form: str) -> tuple[Path, str | None, Array]:
    """The file of a network that takes two settings, its architecture, and its answer for 16000 and 0.5."""
    import torch

    (folder / "fixed_net.py").write_text(NET)
    sys.path.insert(0, str(folder))
    import fixed_net

    torch.manual_seed(0)
    model = fixed_net.Tensors().eval() if form == "exported" else fixed_net.Net().eval()
    with torch.no_grad():
        wanted = model.head(torch.from_numpy(X) * 2).numpy() * 0.5
    path = folder / {"state": "net.pt", "script": "net.ts", "exported": "net.pt2"}[form]
    if form == "state":
        torch.save(model.state_dict(), path)
        return path, f"{folder / 'fixed_net.py'}:Net", wanted
    if form == "script":
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            torch.jit.script(model).save(str(path))
    else:
        example = (torch.zeros(3, 4), torch.tensor(8000), torch.tensor(1.0))
        torch.export.save(torch.export.export(model, example, dynamic_shapes=({0: torch.export.Dim("batch")}, None, None)), path)
    return path, None, wanted


@pytest.mark.slow
@pytest.mark.parametrize("form", ["state", "script", "exported"])
def test_pytorch_models_of_every_form(form: str, load: Fix, tmp_path: Path) -> None:
    """A branch on the number is decided; a parameter of Python's own type gets a number, and no tensor."""
    path, arch, wanted = net(tmp_path, form)
    loaded = load(path, "x:float32[batch,4]", "rate:int64[] = 16000", "scale:float32[] = 0.5", trust=True, arch=arch)
    assert [spec.name for spec in loaded.signature.inputs] == ["x"]
    np.testing.assert_allclose(answer(loaded), wanted, rtol=1e-5)


def tensorflow_file(folder: Path, form: str) -> Path:
    """``x * rate`` as a SavedModel, a frozen graph and a Keras model."""
    import keras
    import tensorflow as tf

    if form == "saved_model":
        module = tf.Module()
        spec = (tf.TensorSpec([None, 4], tf.float32, "x"), tf.TensorSpec([], tf.int64, "rate"))
        module.serve = tf.function(lambda x, rate: {"y": x * tf.cast(rate, tf.float32)}, input_signature=spec)
        tf.saved_model.save(module, str(path := folder / "saved"), signatures=module.serve)
        return path
    if form in ("graphdef", "graphdef with a vector"):
        with tf.Graph().as_default() as graph:
            x, sizes = tf.compat.v1.placeholder(tf.float32, [None, 4], "x"), [] if form == "graphdef" else [4]
            rate = tf.compat.v1.placeholder(tf.int64, sizes, "rate")
            tf.multiply(x, tf.cast(rate, tf.float32), name="y")
        (path := folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
        return path
    x, rate = keras.Input((4,), name="x"), keras.Input(batch_shape=(1,), dtype="int64", name="rate")
    keras.Model([x, rate], keras.layers.Multiply()([x, keras.ops.cast(rate, "float32")])).save(path := folder / "m.keras")
    return path


SIZES = {"keras": 1, "graphdef with a vector": 4}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["saved_model", "graphdef", "graphdef with a vector", "keras"])
def test_tensorflow_models_of_every_form(form: str, load: Fix, tmp_path: Path) -> None:
    loaded = load(tensorflow_file(tmp_path, form), f"rate:int64[{SIZES.get(form, '')}] = 16000")
    assert [str(spec) for spec in loaded.signature.inputs] == ["x:float32[batch,4]"]
    from roadworthy.frameworks.tensorflow import function, keras_model

    path = loaded.graph.path
    kept = keras_model.load(path).answer if form == "keras" else function.open_function(path)
    (found,) = kept({"x": X}).values()
    np.testing.assert_array_equal(found, X * 16000)
    assert not any("mode by its training flags" in proof for proof in loaded.proofs)


def test_real_samples_need_not_hold_what_is_fixed(load: Fix, tmp_path: Path) -> None:
    loaded = load(scaled(tmp_path / "m.onnx"), "rate:int64[] = 3", given=samples.write(tmp_path / "given", {"x": X}))
    np.testing.assert_array_equal(answer(loaded), X * 3)
