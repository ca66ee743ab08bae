"""TFLite files as sources: quantised tensors are in the signature; several samples a call are given where the answers stay the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from roadworthy.build.sources import Loaded, inspect
from roadworthy.core import registry, samples
from roadworthy.core.errors import NotInference, SourceError, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import BATCH, BYTES, Array, Quantization, TensorSpec
from roadworthy.runtimes import open_session
from support.files import tflite_models
from support.files.tflite_models import WEIGHT, Operator, Tensor, connected

pytestmark = pytest.mark.slow

Load = Callable[..., Loaded]
X: Array = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
AFTER = "the file was made for one sample a call; resized for several, each gave the answer that it gives alone"


def answer(loaded: Loaded, **feeds: Array) -> dict[str, Array]:
    plan = Plan(registry.runtime_for(loaded.graph.format), loaded.graph.precision)
    with open_session(loaded.graph.path, loaded.signature, plan) as session:
        return dict(session.run(feeds))


def test_a_free_number_of_samples(tmp_path: Path, loaded: Load) -> None:
    result = loaded(tflite_models.linear(tmp_path / "m.bin", batch=-1))
    assert (result.graph.format, result.graph.precision, result.parameters) == ("tflite", "fp32", 32)
    assert result.signature.inputs == (TensorSpec("x", "float32", (BATCH, 8)),)
    assert result.signature.outputs == (TensorSpec("y", "float32", (BATCH, 4)),)
    assert np.allclose(answer(result, x=X)["y"], X @ WEIGHT.T, atol=1e-5)
    assert AFTER not in result.notes


def test_one_sample_a_call_becomes_several_where_that_holds(tmp_path: Path, loaded: Load) -> None:
    path = tflite_models.linear(tmp_path / "m.tflite")
    result = loaded(path)
    assert result.signature.inputs[0].shape == (BATCH, 8)
    assert AFTER in result.notes
    assert np.allclose(answer(result, x=X)["y"], X @ WEIGHT.T, atol=1e-5)
    assert result.graph.path.read_bytes() == path.read_bytes()


def test_a_size_that_was_baked_in_stays(tmp_path: Path, loaded: Load) -> None:
    """Behind a reshape to one row, the answers of three samples are one answer."""
    tensors = [
        Tensor("x", "float32", (1, 8)), Tensor("shape", "int32", (2,), np.array([1, 8], np.int32)), Tensor("r", "float32", (1, 8)),
        Tensor("w", "float32", (4, 8), WEIGHT), Tensor("y", "float32", (1, 4)),
    ]  # fmt: skip
    reshape = schema.ReshapeOptionsT()
    reshape.newShape = [1, 8]
    path = tflite_models.write(
        tmp_path / "m.tflite", tensors, [Operator("RESHAPE", ("x", "shape"), ("r",), reshape), connected("r", "y")], ["x"], ["y"]
    )
    result = loaded(path)
    assert result.signature.inputs[0].shape == (1, 8)
    assert result.signature.max_batch == 1
    assert np.allclose(answer(result, x=X[:1])["y"], X[:1] @ WEIGHT.T, atol=1e-5)


def coupled(path: Path, batch: int) -> Path:
    """``y = (x - mean of x over the samples) @ w``."""
    tensors = [
        Tensor("x", "float32", (batch, 8)), Tensor("axis", "int32", (1,), np.array([0], np.int32)), Tensor("m", "float32", (1, 8)),
        Tensor("d", "float32", (batch, 8)), Tensor("w", "float32", (4, 8), WEIGHT), Tensor("y", "float32", (batch, 4)),
    ]  # fmt: skip
    mean = schema.ReducerOptionsT()
    mean.keepDims = True
    operators = [
        Operator("MEAN", ("x", "axis"), ("m",), mean),
        Operator("SUB", ("x", "m"), ("d",), schema.SubOptionsT()),
        connected("d", "y"),
    ]
    return tflite_models.write(path, tensors, operators, ["x"], ["y"])


def test_samples_that_see_each_other(tmp_path: Path, loaded: Load) -> None:
    """Promised for any number of samples, the file is refused; made for one, it keeps to one."""
    with pytest.raises(NotInference, match="changes with the others in its batch"):
        loaded(coupled(tmp_path / "free.tflite", -1))
    assert loaded(coupled(tmp_path / "one.tflite", 1)).signature.max_batch == 1


def test_random_numbers_are_caught(tmp_path: Path, loaded: Load) -> None:
    tensors = [Tensor("x", "float32", (1, 8)), Tensor("shape", "int32", (2,), np.array([1, 8], np.int32)),
               Tensor("noise", "float32", (1, 8)), Tensor("y", "float32", (1, 8))]  # fmt: skip
    path = tflite_models.write(
        tmp_path / "m.tflite", tensors,
        [Operator("RANDOM_STANDARD_NORMAL", ("shape",), ("noise",), schema.RandomOptionsT()),
         Operator("ADD", ("x", "noise"), ("y",), schema.AddOptionsT())],
        ["x"], ["y"],
    )  # fmt: skip
    with pytest.raises(NotInference, match="the same input gave two answers"):
        loaded(path)


def test_what_whole_numbers_stand_for_is_in_the_signature(tmp_path: Path, loaded: Load) -> None:
    result = loaded(tflite_models.quantised(tmp_path / "m.tflite"))
    (x,), (y,) = result.signature.inputs, result.signature.outputs
    assert (x.dtype, x.quantization) == ("uint8", Quantization(pytest.approx(0.02), 128))  # type: ignore[arg-type]
    assert (y.dtype, y.quantization) == ("uint8", Quantization(pytest.approx(0.1), 130))  # type: ignore[arg-type]
    assert result.graph.precision == "int8"
    assert result.signature.batched
    given = np.random.default_rng(0).integers(0, 256, (3, 8), np.uint8)
    assert x.quantization and y.quantization
    found = y.quantization.values(answer(result, x=given)["y"])
    wanted = np.clip(x.quantization.values(given) @ WEIGHT.T, -13.0, 12.5)
    assert np.abs(found - wanted).max() < 0.25


def test_names_are_those_of_the_signature_definition(tmp_path: Path, loaded: Load) -> None:
    result = loaded(tflite_models.linear(tmp_path / "m.tflite", batch=-1, image="x", logits="y"))
    assert [spec.name for spec in (*result.signature.inputs, *result.signature.outputs)] == ["image", "logits"]
    assert np.allclose(answer(result, image=X)["logits"], X @ WEIGHT.T, atol=1e-5)


def two(folder: Path) -> Path:
    """``encode`` is x @ w, ``score`` max(x, 0): the same names inside and out, other answers."""
    tensors = [Tensor("x", "float32", (1, 8)), Tensor("y", "float32", (1, 8))]
    relu = tflite_models.write(folder / "relu", tensors, [Operator("RELU", ("x",), ("y",))], ["x"], ["y"], **{"the x:0": "x", "y": "y"})
    linear = tflite_models.linear(folder / "linear", **{"the x:0": "x", "y": "y"})
    return tflite_models.joined(folder / "two.tflite", encode=linear, score=relu)


def test_one_of_several_signatures_is_deployed_by_its_name(tmp_path: Path, loaded: Load) -> None:
    path = two(tmp_path)
    for key, wanted in (("encode", X @ WEIGHT.T), ("score", np.maximum(X, 0))):
        result = loaded(path, signature=key)
        assert [spec.name for spec in (*result.signature.inputs, *result.signature.outputs)] == ["the x:0", "y"]
        assert f"the signature {key!r} of encode, score is deployed" in result.notes
        assert np.allclose(answer(result, **{"the x:0": X})["y"], wanted, atol=1e-5)
        # Other readers than LiteRT run the first subgraph, and know tensors by their own names.
        model = openvino.Core().read_model(result.graph.path)
        assert model.inputs[0].get_names() == {"the x:0"}
        assert np.allclose(openvino.compile_model(model, "CPU")({"the x:0": X[:1]})[0], wanted[:1], atol=1e-5)
    with pytest.raises(UsageError, match=r"has the signatures encode, score; name one: --signature encode"):
        loaded(path)
    with pytest.raises(UsageError, match=r"has no signature 'train'; it has 'encode', 'score'"):
        loaded(path, signature="train")
    found = inspect(path)
    assert found.signatures == ("encode", "score")
    assert "signature score: the x:0:float32[1,8] -> y:float32[1,8]" in found.notes


def test_several_inputs_go_by_the_names_of_the_signature_in_every_runtime(tmp_path: Path, loaded: Load) -> None:
    """A reader that knows no signatures sees the names of the tensors: they are made the same."""
    tensors = [Tensor("serving_default_b:0", "float32", (1, 4)), Tensor("serving_default_a:0", "float32", (1, 4)),
               Tensor("StatefulPartitionedCall:0", "float32", (1, 4))]  # fmt: skip
    first, second, out = (tensor.name for tensor in tensors)
    less = [Operator("SUB", (second, first), (out,), schema.SubOptionsT())]
    path = tflite_models.write(tmp_path / "m.tflite", tensors, less, [first, second], [out], b=first, a=second, difference=out)
    result = loaded(path)
    assert [spec.name for spec in (*result.signature.inputs, *result.signature.outputs)] == ["b", "a", "difference"]
    a, b = np.full((1, 4), 5, np.float32), np.full((1, 4), 2, np.float32)
    assert np.array_equal(answer(result, a=a, b=b)["difference"], a - b)
    compiled = openvino.compile_model(openvino.Core().read_model(result.graph.path), "CPU")
    assert np.array_equal(compiled({"a": a, "b": b})["difference"], a - b)


def test_the_signature_for_serving_needs_no_name(tmp_path: Path, loaded: Load) -> None:
    both = {"other": tmp_path / "relu", "serving_default": tmp_path / "linear"}
    two(tmp_path)
    result = loaded(tflite_models.joined(tmp_path / "m.tflite", **both))
    assert np.allclose(answer(result, **{"the x:0": X})["y"], X @ WEIGHT.T, atol=1e-5)


def test_subgraphs_that_branches_name_are_found_after_one_moved_to_the_front(tmp_path: Path, loaded: Load) -> None:
    """The signature's subgraph is number 3, and its If names the numbers 1 and 2."""
    branches = {
        f"branch_{op}": tflite_models.write(
            tmp_path / op, [Tensor("x", "float32", (1, 8)), Tensor("y", "float32", (1, 8))], [Operator(op, ("x",), ("y",))],
            ["x"], ["y"], a="x", b="y",
        )
        for op in ("RELU", "ABS", "NEG")
    }  # fmt: skip
    chosen = schema.IfOptionsT()
    chosen.thenSubgraphIndex, chosen.elseSubgraphIndex = 1, 0
    tensors = [Tensor("on", "bool", ()), Tensor("x", "float32", (1, 8)), Tensor("y", "float32", (1, 8))]
    main = tflite_models.write(tmp_path / "main", tensors, [Operator("IF", ("on", "x"), ("y",), chosen)], ["on", "x"], ["y"],
                               on="on", x="x", y="y")  # fmt: skip
    path = tflite_models.joined(tmp_path / "m.tflite", **branches, main=main)
    result = loaded(path, signature="main")
    with open_session(result.graph.path, result.signature, Plan("litert")) as session:
        for on, wanted in ((True, np.abs(X[:1])), (False, np.maximum(X[:1], 0))):
            assert np.array_equal(session.run({"on": np.array(on), "x": X[:1]})["y"], wanted)


def test_what_the_runtime_lacks_is_said(tmp_path: Path, loaded: Load) -> None:
    tensors = [Tensor("x", "float32", (1, 8)), Tensor("y", "float32", (1, 8))]
    path = tflite_models.write(tmp_path / "m.tflite", tensors, [Operator("AcmeShuffle", ("x",), ("y",))], ["x"], ["y"])
    with pytest.raises(SourceError, match="AcmeShuffle"):
        loaded(path)
    for kind in ("bfloat16", "int4"):
        with pytest.raises(SourceError, match=f"'x' is {kind}, a type that arrays do not have"):
            loaded(cast(tmp_path, kind))
    sizes = Tensor("s", "int32", (2,), np.array([3, 5], np.int32))
    tensors = [Tensor("x", "float32", (1, 8)), sizes, Tensor("y", "float32", (3, 5))]
    operators = [Operator("RESHAPE", ("x", "s"), ("y",), schema.ReshapeOptionsT())]
    with pytest.raises(SourceError, match=r"RESHAPE \(node 0\) failed to prepare: .*8 != 15"):
        loaded(tflite_models.write(tmp_path / "r.tflite", tensors, operators, ["x"], ["y"]))


def cast(folder: Path, kind: str) -> Path:
    """``x`` of ``kind`` as float32."""
    options = schema.CastOptionsT()
    options.inDataType, options.outDataType = tflite_models.TYPES[kind], tflite_models.TYPES["float32"]
    tensors = [Tensor("x", kind, (1, 4)), Tensor("y", "float32", (1, 4))]
    return tflite_models.write(folder / f"{kind}.tflite", tensors, [Operator("CAST", ("x",), ("y",), options)], ["x"], ["y"])


@pytest.mark.parametrize("kind", ["float16", "float64", "uint8", "int8", "int16", "uint16", "uint32", "int64", "bool", "complex64"])
def test_inputs_of_every_type_that_arrays_have(kind: str, tmp_path: Path, loaded: Load) -> None:
    result = loaded(cast(tmp_path, kind), f"x:{kind}[batch,4]")
    assert result.signature.inputs[0].dtype == kind and result.signature.batched
    given = np.array([[0, 1, 0, 1], [1, 1, 0, 0]], kind)
    assert np.array_equal(answer(result, x=given)["y"], given.real.astype(np.float32))


def test_byte_strings_and_quantised_numbers_of_16_bits(tmp_path: Path, loaded: Load) -> None:
    texts = np.array([b"a", b"b\0", b""], BYTES)
    # The places are exchanged, so the three texts are one sample.
    given = samples.write(tmp_path / "s", {"x": np.stack([texts, texts[::-1]])})
    result = loaded(tflite_models.strings(tmp_path / "s.tflite", (1, 0, 2)), "x:string[3]", samples=given)
    assert answer(result, x=texts)["y"].tolist() == [b"b\0", b"a", b""]
    step = Quantization(0.01, 0)
    tensors = [Tensor("x", "int16", (1, 4), None, step), Tensor("y", "int16", (1, 4), None, step)]
    twice = Operator("ADD", ("x", "x"), ("y",), schema.AddOptionsT())
    result = loaded(tflite_models.write(tmp_path / "w.tflite", tensors, [twice], ["x"], ["y"]))
    assert result.graph.precision == "int8" and result.signature.outputs[0].quantization == Quantization(pytest.approx(0.01), 0)  # type: ignore[arg-type]
    assert answer(result, x=np.array([[100, -300, 5, 0]], np.int16))["y"].tolist() == [[200, -600, 10, 0]]


def test_of_two_signatures_one_is_quantised(tmp_path: Path, loaded: Load) -> None:
    whole = tflite_models.quantised(tmp_path / "whole", x="x", y="y")
    path = tflite_models.joined(tmp_path / "m.tflite", whole=whole, real=tflite_models.linear(tmp_path / "real", x="x", y="y"))
    assert loaded(path, signature="whole").graph.precision == "int8"
    assert loaded(path, signature="real").graph.precision == "fp32"


def test_sizes_that_a_file_leaves_open_are_kept_under_names_or_stated(tmp_path: Path, loaded: Load) -> None:
    axes = Tensor("axes", "int32", (2,), np.array([1, 2], np.int32))
    tensors = [Tensor("x:0", "float32", (1, -1, -1, 3)), axes, Tensor("y", "float32", (1, 3))]
    mean = [Operator("MEAN", ("x:0", "axes"), ("y",), schema.ReducerOptionsT())]
    path = tflite_models.write(tmp_path / "m.tflite", tensors, mean, ["x:0"], ["y"])
    assert loaded(path).signature.inputs[0].shape == (1, "x_0_1", "x_0_2", 3)
    result = loaded(path, "x:0:float32[1,5,6,3]")
    image = np.random.default_rng(0).standard_normal((1, 5, 6, 3)).astype(np.float32)
    assert np.allclose(answer(result, **{"x:0": image})["y"], image.mean((1, 2)), atol=1e-5)


def test_mobilenet_in_uint8_sees_what_is_there(real: Path, tmp_path: Path, loaded: Load) -> None:
    """Class 0 is the background, so every class is ImageNet's and one."""
    known = {"n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
             "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701}  # fmt: skip
    files = [(file, known[folder.name] + 1) for folder in sorted((real / "imagenette").iterdir()) for file in sorted(folder.iterdir())[:10]]
    images = np.stack([np.asarray(Image.open(file).convert("RGB").resize((128, 128), Image.Resampling.BILINEAR)) for file, _ in files])
    result = loaded(
        real / "models" / "imagenet_mobilenet_v1_025_128_uint8.tflite", samples=samples.write(tmp_path / "s", {"input": images})
    )
    assert result.signature.inputs == (TensorSpec("input", "uint8", (1, 128, 128, 3), Quantization(1 / 128, 128)),)
    assert result.signature.outputs[0].quantization == Quantization(1 / 256, 0)
    plan = Plan(registry.runtime_for("tflite"), result.graph.precision)
    with open_session(result.graph.path, result.signature, plan) as session:
        found = [next(iter(session.run({"input": image[None]}).values())).argmax() for image in images]
    assert np.mean(np.array(found) == [label for _, label in files]) > 0.3
