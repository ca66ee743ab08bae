"""ONNX files as sources: files of real exporters are read, kept whole and proven; a file that cannot be run is refused with its reason."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from roadworthy.build.sources import Loaded, LoadRequest, load
from roadworthy.core import registry, samples
from roadworthy.core.errors import NotInference, SourceError, SourceRefused, SourceUnreadable
from roadworthy.core.stages import Plan, Source
from roadworthy.core.types import BATCH, Array, TensorSpec
from roadworthy.runtimes import open_session
from support.files import onnx_files
from support.files.onnx_files import node, written

Load = Callable[..., Loaded]
FLOAT, HALF, INT64, BOOL = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL
WEIGHT = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)


def answer(loaded: Loaded, **feeds: Array) -> dict[str, Array]:
    """The answers of the kept graph, through the runtime."""
    plan = Plan(registry.runtime_for(loaded.graph.format), loaded.graph.precision)
    with open_session(loaded.graph.path, loaded.signature, plan) as session:
        return dict(session.run(feeds))


X: Array = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)


@pytest.mark.parametrize("batch", ["N", "batch_size", None])
def test_a_batch_is_free_whatever_it_is_called(batch: str | None, tmp_path: Path, loaded: Load) -> None:
    path = written(tmp_path / "m.bin", [node("MatMul", "x w", "y")], [("x", FLOAT, [batch, 8])], [("y", FLOAT, [batch, 4])], {"w": WEIGHT})
    result = loaded(path)
    assert result.graph.format == "onnx"
    assert result.graph.precision == "fp32"
    assert result.signature.inputs == (TensorSpec("x", "float32", (BATCH, 8)),)
    assert result.signature.outputs == (TensorSpec("y", "float32", (BATCH, 4)),)
    assert result.parameters == 32
    assert np.allclose(answer(result, x=X)["y"], X @ WEIGHT, atol=1e-5)


def test_a_fixed_batch_of_one_is_the_originals_promise(tmp_path: Path, loaded: Load) -> None:
    result = loaded(onnx_files.linear(tmp_path / "m.onnx", batch=1))
    assert result.signature.inputs[0].shape == (1, 8)
    assert result.signature.max_batch == 1


def test_initialisers_that_are_listed_as_inputs_are_none(tmp_path: Path, loaded: Load) -> None:
    path = written(
        tmp_path / "m.onnx", [node("MatMul", "x w", "y")],
        [("w", FLOAT, [8, 4]), ("x", FLOAT, ["N", 8])], [("y", FLOAT, ["N", 4])], {"w": WEIGHT}, opset=8, ir=3,
    )  # fmt: skip
    result = loaded(path)
    assert [spec.name for spec in result.signature.inputs] == ["x"]
    assert [value.name for value in onnx.load(result.graph.path).graph.input] == ["x"]
    assert "1 inputs that the file fills itself were removed" in result.notes
    assert np.allclose(answer(result, x=X)["y"], X @ WEIGHT, atol=1e-5)


def test_weights_beside_the_file_come_along(tmp_path: Path, loaded: Load) -> None:
    weights = onnx_files.weight(onnx_files.linear(tmp_path / "inside.onnx"))
    path = onnx_files.linear(tmp_path / "m.onnx", weights="data/w.bin")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(weights.tobytes())
    result = loaded(path)
    path.unlink()
    (tmp_path / "data" / "w.bin").unlink()
    assert [file.name for file in result.graph.path.parent.iterdir()] == ["model.onnx"]
    assert np.allclose(answer(result, x=X)["y"], X @ weights, atol=1e-5)


def test_weights_too_large_for_one_file_are_kept_beside_it(tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protobuf message has at most 2 GiB, and even the size of a larger one cannot be asked for."""
    weight = np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32)
    path = written(tmp_path / "m.onnx", [node("MatMul", "x w", "y")], [("x", FLOAT, ["N", 32])], [("y", FLOAT, ["N", 32])], {"w": weight})
    monkeypatch.setattr("roadworthy.build.sources.onnx.reader.LARGEST", 4000)
    result = loaded(path)
    assert sorted(file.name for file in result.graph.path.parent.iterdir()) == ["model.onnx", "model.onnx.data"]
    x = np.ones((2, 32), np.float32)
    assert np.allclose(answer(result, x=x)["y"], x @ weight, atol=1e-5)


def test_weights_too_large_for_one_file_survive_a_rewrite(tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed is written for the session, and again to be kept; the source has a data file of the same name beside it."""
    weight = np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32)
    inputs = [("x", FLOAT, ["N", 32])]
    path = written(
        tmp_path / "model.onnx", [node("MatMul", "x w", "h"), node("Relu", "h", "y")], inputs, [("y", FLOAT, ["N", 32])], {"w": weight}
    )
    (tmp_path / "model.onnx.data").write_bytes(b"\xff" * 5000)
    monkeypatch.setattr("roadworthy.build.sources.onnx.reader.LARGEST", 4000)
    result = loaded(path, outputs=("h",))
    x = np.ones((2, 32), np.float32)
    assert np.allclose(answer(result, x=x)["h"], x @ weight, atol=1e-5)


@pytest.mark.parametrize("how", ["above", "absolute", "link"])
def test_weights_elsewhere_are_refused_by_the_reader_itself(how: str, tmp_path: Path) -> None:
    """The reader refuses them too: the static inspection is not the only check."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.zeros((8, 4), np.float32).tobytes())
    (tmp_path / "home").mkdir()
    location = {"above": "../secret.bin", "absolute": str(secret), "link": "w.bin"}[how]
    if how == "link":
        (tmp_path / "home" / "w.bin").symlink_to(secret)
    path = onnx_files.linear(tmp_path / "home" / "m.onnx", weights=location)
    source = Source(path, "onnx", "onnx", "", 0, trust=True)
    with pytest.raises(SourceRefused, match="the model's own directory"):
        load(LoadRequest(source, (), None, tmp_path / "out"))


def test_open_sizes_are_kept_under_names_or_fixed_in_the_file_as_the_user_says(tmp_path: Path, loaded: Load) -> None:
    """A size without a name gets its own: two of them are not one."""
    path = written(
        tmp_path / "m.onnx", [node("GlobalAveragePool", "image:0", "y")],
        [("image:0", FLOAT, ["N", 3, "height - 1", None])], [("y", FLOAT, ["N", 3, 1, 1])],
    )  # fmt: skip
    images = samples.write(tmp_path / "s", {"input": np.ones((4, 3, 7, 9), np.float32)})
    for result in (loaded(path), loaded(path, samples=images)):
        assert result.signature.inputs[0].shape == (BATCH, 3, "height___1", "image_0_3")
        dims = onnx.load(result.graph.path).graph.input[0].type.tensor_type.shape.dim
        assert [size.dim_value or size.dim_param for size in dims] == [BATCH, 3, "height___1", "image_0_3"]
    result = loaded(path, "image:0:float32[batch,3,5,6]")
    assert result.signature.inputs[0].shape == (BATCH, 3, 5, 6)
    dims = onnx.load(result.graph.path).graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_value or size.dim_param for size in dims] == [BATCH, 3, 5, 6]


@pytest.mark.parametrize("batch", ["batch", "n"])
def test_a_batch_that_is_not_the_first_axis(batch: str, tmp_path: Path, loaded: Load) -> None:
    """A recurrent network as exporters write it: time first, states of [layers, batch, hidden]."""
    draws = np.random.default_rng(0)
    weights = {"w": draws.standard_normal((1, 8, 4)).astype(np.float32), "r": draws.standard_normal((1, 8, 2)).astype(np.float32)}
    lstm = helper.make_node("LSTM", ["x", "w", "r", "", "", "h0", "c0"], ["y", "h", "c"], hidden_size=2)
    states = [("h0", FLOAT, [1, batch, 2]), ("c0", FLOAT, [1, batch, 2])]
    path = written(
        tmp_path / "m.onnx", [lstm], [("x", FLOAT, ["time", batch, 4]), *states], [(name, FLOAT, None) for name in "yhc"], weights
    )
    signature = loaded(path).signature
    assert [spec.sample_axis for spec in (*signature.inputs, *signature.outputs)] == [1, 1, 1, 2, 1, 1]
    assert all(spec.batched for spec in (*signature.inputs, *signature.outputs))
    assert signature.inputs[0].shape == ("time", BATCH, 4)


def test_the_batch_is_one_name_at_any_axis(tmp_path: Path, loaded: Load) -> None:
    """A state [layers, batch, hidden], as recurrent models have it, with a scalar beside it."""
    path = written(
        tmp_path / "m.onnx",
        [node("Mul", "x rate", "scaled"), node("ReduceMean", "scaled", "mean", axes=[1], keepdims=1), node("Add", "state mean", "next")],
        [("x", FLOAT, ["N", 1]), ("state", FLOAT, [2, "N", 4]), ("rate", FLOAT, [])], [("next", FLOAT, [2, "N", 4])],
    )  # fmt: skip
    found = loaded(path).signature
    assert [(one.name, one.shape, one.sample_axis) for one in (*found.inputs, *found.outputs)] == [
        ("x", (BATCH, 1), 0), ("state", (2, BATCH, 4), 1), ("rate", (), None), ("next", (2, BATCH, 4), 1),
    ]  # fmt: skip


def test_a_file_of_numbers_alone_may_have_no_batch(tmp_path: Path, loaded: Load) -> None:
    """An image [height, width, 3]; a vector that is one sample because the user says so; five rows that are five samples."""
    kernel = {"k": np.random.default_rng(0).standard_normal((2, 3, 3, 3)).astype(np.float32), "first": np.array([0])}
    steps = [node("Transpose", "x", "t", perm=[2, 0, 1]), node("Unsqueeze", "t first", "u"), node("Conv", "u k", "c"),
             node("GlobalAveragePool", "c", "g"), node("Flatten", "g", "y")]  # fmt: skip
    image = written(tmp_path / "image.onnx", steps, [("x", FLOAT, [8, 9, 3])], [("y", FLOAT, [1, 2])], kernel)
    result = loaded(image)
    assert (result.signature.inputs[0].sample_axis, result.signature.max_batch) == (None, 1)
    assert answer(result, x=np.ones((8, 9, 3), np.float32))["y"].shape == (1, 2)
    square = {"w": np.random.default_rng(0).standard_normal((5, 5)).astype(np.float32)}
    vector = written(tmp_path / "vector.onnx", [node("MatMul", "x w", "y")], [("x", FLOAT, [5])], [("y", FLOAT, [5])], square)
    with pytest.raises(NotInference, match=r"If a call is one sample, state its sizes without a batch: --input 'x:float32\[5\]'"):
        loaded(vector)
    assert loaded(vector, "x:float32[5]").signature.inputs[0].sample_axis is None
    rows = written(tmp_path / "rows.onnx", [node("MatMul", "x w", "y")], [("x", FLOAT, [4, 5])], [("y", FLOAT, [4, 5])], square)
    for said in ((), ("x:float32[4,5]",)):
        assert (loaded(rows, *said).signature.inputs[0].sample_axis, loaded(rows, *said).signature.max_batch) == (0, 4)


def test_two_inputs_of_other_types_and_two_outputs_keep_their_names(tmp_path: Path, loaded: Load) -> None:
    path = written(
        tmp_path / "m.onnx",
        [node("Cast", "mask", "weights", to=FLOAT), node("Gather", "table ids", "rows"), node("Mul", "rows weights", "kept"),
         node("ReduceSum", "kept axes", "total", keepdims=0)],
        [("ids", INT64, ["n", 5]), ("mask", BOOL, ["n", 5])], [("total", FLOAT, ["n"]), ("kept", FLOAT, ["n", 5])],
        {"table": np.arange(4, dtype=np.float32), "axes": np.array([1])},
    )  # fmt: skip
    result = loaded(path)
    assert [str(spec) for spec in result.signature.inputs] == ["ids:int64[batch,5]", "mask:bool[batch,5]"]
    assert [str(spec) for spec in result.signature.outputs] == ["total:float32[batch]", "kept:float32[batch,5]"]


def test_half_precision_is_taken_as_it_is(tmp_path: Path, loaded: Load) -> None:
    path = written(tmp_path / "m.onnx", [node("MatMul", "x w", "y")], [("x", HALF, ["N", 8])], [("y", HALF, ["N", 4])],
                   {"w": WEIGHT.astype(np.float16)})  # fmt: skip
    result = loaded(path)
    assert result.signature.outputs[0].dtype == "float16"
    assert "weights are float16, and so may be what is computed with them" in result.notes


def quantised(path: Path) -> Path:
    """``y = x @ w`` in int8 between QDQ operators, floats outside."""
    step = np.float32(0.05)
    return written(
        path,
        [node("QuantizeLinear", "x step zero", "q"), node("DequantizeLinear", "q step zero", "d"),
         node("DequantizeLinear", "w step zero", "v"), node("MatMul", "d v", "y")],
        [("x", FLOAT, ["N", 8])], [("y", FLOAT, ["N", 4])],
        {"w": np.rint(WEIGHT / step).astype(np.int8), "step": np.array(step), "zero": np.array(0, np.int8)},
    )  # fmt: skip


def test_a_quantised_file_says_so(tmp_path: Path, loaded: Load) -> None:
    result = loaded(quantised(tmp_path / "m.onnx"))
    assert result.graph.precision == "int8"
    assert np.allclose(answer(result, x=X)["y"], X @ WEIGHT, atol=1.0)


def test_a_dropout_left_on_is_caught_and_named(tmp_path: Path, loaded: Load) -> None:
    path = written(
        tmp_path / "m.onnx", [node("MatMul", "x w", "h"), node("Dropout", "h ratio on", "y")],
        [("x", FLOAT, ["N", 8])], [("y", FLOAT, ["N", 4])], {"w": WEIGHT, "ratio": np.float32(0.5).reshape(()), "on": np.array(True)},
    )  # fmt: skip
    with pytest.raises(NotInference, match=r"two answers .* first to differ is 'the y' \(Dropout\)"):
        loaded(path)
    off = onnx.load(path)
    off.graph.initializer[2].CopyFrom(numpy_helper.from_array(np.array(False), "on"))
    onnx.save(off, path)
    assert loaded(path).signature.batched


def test_a_random_number_is_caught_and_named(tmp_path: Path, loaded: Load) -> None:
    path = written(tmp_path / "m.onnx", [node("RandomNormalLike", "x", "noise"), node("Add", "x noise", "y")],
                   [("x", FLOAT, ["N", 8])], [("y", FLOAT, ["N", 8])])  # fmt: skip
    with pytest.raises(NotInference, match=r"'the noise' \(RandomNormalLike\)"):
        loaded(path)


def test_statistics_over_the_batch_are_caught(tmp_path: Path, loaded: Load) -> None:
    path = written(
        tmp_path / "m.onnx", [node("ReduceMean", "x", "mean", axes=[0], keepdims=1), node("Sub", "x mean", "y")],
        [("x", FLOAT, ["N", 8])], [("y", FLOAT, ["N", 8])],
    )  # fmt: skip
    with pytest.raises(NotInference, match="changes with the others in its batch"):
        loaded(path)


def test_a_batch_norm_in_training_mode_does_not_pass(tmp_path: Path, loaded: Load) -> None:
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    batch_norm = helper.make_node(
        "BatchNormalization", ["x", "scale", "bias", "mean", "var"], ["y", "m", "v"], name="bn", training_mode=1, epsilon=1e-5
    )
    path = written(tmp_path / "m.onnx", [batch_norm], [("x", FLOAT, ["N", 3, 5, 5])], [("y", FLOAT, ["N", 3, 5, 5])],
                   {"scale": ones, "bias": zeros, "mean": zeros, "var": ones})  # fmt: skip
    with pytest.raises(SourceError) as caught:
        loaded(path)
    assert "BatchNorm" in caught.value.message or "training" in caught.value.message.lower()


def test_what_no_runtime_has_is_refused_in_words(tmp_path: Path, loaded: Load) -> None:
    strange = helper.make_node("Shuffle", ["x"], ["y"], domain="acme.ops")
    values = ([("x", FLOAT, ["N", 8])], [("y", FLOAT, ["N", 8])])
    with pytest.raises(SourceError, match=r"acme\.ops::Shuffle"):
        loaded(written(tmp_path / "custom.onnx", [strange], *values, domains=("acme.ops",)))
    with pytest.raises(
        SourceError,
        match=r"operators of ai\.onnx 99\): .* newer than this runtime, .*; update \w+, or export the model with an older opset",
    ):
        loaded(written(tmp_path / "new.onnx", [node("Relu", "x", "y")], *values, opset=99))
    with pytest.raises(SourceError, match=r"newir.* cannot be opened .*IR version: 99, .*set ir_version of the loaded model to that"):
        loaded(written(tmp_path / "newir.onnx", [node("Relu", "x", "y")], *values, ir=99))


def test_tensors_that_numpy_has_no_type_for(tmp_path: Path, loaded: Load) -> None:
    for kind in ("FLOAT8E4M3FN", "INT4"):
        small = written(
            tmp_path / f"{kind}.onnx", [node("Cast", "x", "y", to=FLOAT)],
            [("x", getattr(TensorProto, kind), ["N", 8])], [("y", FLOAT, ["N", 8])], opset=21, ir=10,
        )  # fmt: skip
        with pytest.raises(
            SourceError, match=rf"'x' is {kind.lower()[:4]}\w*, a type that arrays do not have; export the model with float32"
        ):
            loaded(small)
    pairs = written(tmp_path / "complex.onnx", [node("Identity", "x", "y")], [("x", TensorProto.COMPLEX64, ["N"])],
                    [("y", TensorProto.COMPLEX64, ["N"])])  # fmt: skip
    with pytest.raises(SourceError, match="complex64"):
        loaded(pairs)
    constant = written(tmp_path / "constant.onnx", [node("Relu", "w", "y")], [], [("y", FLOAT, [8, 4])], {"w": WEIGHT})
    with pytest.raises(SourceError, match="takes no input"):
        loaded(constant)


def test_a_file_cut_short(tmp_path: Path, loaded: Load) -> None:
    path = onnx_files.linear(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises((SourceUnreadable, SourceError)):
        load(LoadRequest(Source(path, "onnx", "onnx", "", 0), (), None, tmp_path / "out"))


def test_mnist_of_another_framework_answers_right(real: Path, tmp_path: Path, loaded: Load) -> None:
    """CNTK wrote it: IR 3, opset 8, every weight listed as an input, one sample a call."""
    with gzip.open(real / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)[:500].astype(np.float32)
    with gzip.open(real / "mnist" / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:500]
    result = loaded(real / "models" / "mnist.onnx", samples=samples.write(tmp_path / "s", {"input": images}))
    assert result.signature.inputs == (TensorSpec("Input3", "float32", (1, 1, 28, 28)),)
    plan = Plan(registry.runtime_for("onnx"))
    with open_session(result.graph.path, result.signature, plan) as session:
        found = [int(session.run({"Input3": image[None]})["Plus214_Output_0"].argmax()) for image in images]
    assert np.mean(found == labels) > 0.98
