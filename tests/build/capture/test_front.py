"""The steps in front of a model, inside its graph: the answers of NumPy's steps and the graph; a fault in any of them is caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from roadworthy.build import lower
from roadworthy.build.capture import Captured
from roadworthy.build.capture import front as fold
from roadworthy.build.capture.front import operations
from roadworthy.build.lower._onnxruntime import pixels as first
from roadworthy.core.samples import write
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, Signature, SizeRange, TensorSpec
from roadworthy.preprocess.front import Front, put_in_front
from roadworthy.preprocess.steps import ChannelsFirst, Normalize, ReverseChannels
from roadworthy.runtimes import open_session

LEVELS = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
"""Every level in every channel."""
MANY = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
IMAGENET = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def in_front(front: Front, graph: Graph, folder: Path) -> Graph:
    """``graph`` behind the steps of ``front``."""
    (spec,) = graph.signature.inputs
    signature = replace(graph.signature, inputs=(front.outer(spec),))
    return replace(graph, path=put_in_front(front, graph.path, folder / "fronted"), signature=signature, unfolded=True)


def folded(graph: Graph, folder: Path) -> Captured:
    """``graph`` with its steps inside."""
    return fold.fold(fold.FoldRequest(graph, write(folder / "samples", {"x": MANY}), folder / "folded"))


def onnx_graph(
    folder: Path, front: Front, *nodes: Any, opset: int = 17, weights: tuple[Any, ...] = (), size: int | str = 16, channels: int = 3
) -> Graph:
    """A graph that gives what it is given, or what ``nodes`` make of it."""
    folder.mkdir(exist_ok=True)
    spec = front.inner(TensorSpec("x", "uint8", (BATCH, size, size, channels)))
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    made = helper.make_graph(
        nodes or (helper.make_node("Identity", ["x"], ["y"]),),
        "graph",
        [helper.make_tensor_value_info("x", dtype, spec.shape)],
        [helper.make_tensor_value_info("y", dtype, spec.shape)],
        list(weights),
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return Graph("onnx", folder / "model.onnx", Signature((spec,), (replace(spec, name="y"),)), "made")


def answer(graph: Graph, pixels: Array) -> Array:
    """What the runtime of the graph's own format gives for ``pixels``."""
    runtimes = {"onnx": "onnxruntime", "pt2": "pytorch", "jit": "torchscript", "graphdef": "tensorflow"}
    with open_session(graph.path, graph.signature, Plan(runtimes[graph.format])) as session:
        return session.run({"x": pixels})["y"]


@pytest.mark.parametrize("arithmetic", ["fused", "torch", "numpy", "keras"])
@pytest.mark.parametrize("layout", ["first", "last", "first at the end"])
@pytest.mark.parametrize("reverse", [True, False])
def test_a_folded_onnx_graph_gives_every_level_to_the_bit(
    tmp_path: Path, arithmetic: Literal["fused", "torch", "numpy", "keras"], layout: str, reverse: bool
) -> None:
    normalize = changed(IMAGENET, arithmetic=arithmetic, axis=0 if layout == "first" else 2)
    moves = {"first": (ChannelsFirst(), normalize), "last": (normalize,), "first at the end": (normalize, ChannelsFirst())}[layout]
    front = Front((*((ReverseChannels(),) if reverse else ()), *moves))
    graph = in_front(front, onnx_graph(tmp_path / "model", front), tmp_path)
    done = folded(graph, tmp_path)
    assert done.graph is not None, done.routes
    assert done.graph.signature == graph.signature and not done.graph.unfolded
    for pixels in (LEVELS, MANY):
        assert np.array_equal(answer(done.graph, pixels), front.samples(pixels))


@pytest.mark.parametrize(
    "normalize",
    [
        Normalize(scale=1.0, mean=(128.0,), dtype="int8"),
        Normalize(scale=1 / 127.5, mean=(1.0,)),
        Normalize(scale=1.0, mean=(103.939, 116.779, 123.68)),
        Normalize(scale=1.0),
        Normalize(std=(0.5, 0.25, 0.125)),
    ],
)
def test_every_kind_of_normalisation_can_be_folded(tmp_path: Path, normalize: Normalize) -> None:
    front = Front((ChannelsFirst(), normalize))
    done = folded(in_front(front, onnx_graph(tmp_path / "model", front), tmp_path), tmp_path)
    assert done.graph is not None, done.routes
    found = answer(done.graph, LEVELS)
    assert np.array_equal(found, front.samples(LEVELS)) and found.dtype == normalize.dtype


def test_one_channel_reversed_is_itself(tmp_path: Path) -> None:
    front = Front((ReverseChannels(), ChannelsFirst(), Normalize(mean=(0.5,))))
    graph = in_front(front, onnx_graph(tmp_path / "model", front, channels=1), tmp_path)
    done = fold.fold(fold.FoldRequest(graph, write(tmp_path / "samples", {"x": MANY[..., :1]}), tmp_path / "folded"))
    assert done.graph is not None, done.routes
    assert np.array_equal(answer(done.graph, MANY[..., :1]), front.samples(MANY[..., :1]))


def test_free_sizes_stay_free(tmp_path: Path) -> None:
    front = Front((ChannelsFirst(), IMAGENET))
    made = onnx_graph(tmp_path / "model", front, size="size")
    made = replace(made, signature=replace(made.signature, sizes=(SizeRange("size", (16, 24)),)))
    done = folded(in_front(front, made, tmp_path), tmp_path)
    assert done.graph is not None and done.graph.signature.sizes == made.signature.sizes, done.routes
    other = MANY[:, :11, :11]
    assert np.array_equal(answer(done.graph, np.ascontiguousarray(other)), front.samples(other))


def test_a_graph_inside_the_graph_reads_the_sample_too(tmp_path: Path) -> None:
    front = Front((ChannelsFirst(), IMAGENET))
    dtype, shape = TensorProto.FLOAT, (BATCH, 3, 16, 16)
    branches = [
        helper.make_graph(
            [helper.make_node(kind, ["x"], ["y"])], kind, [], [helper.make_tensor_value_info("y", dtype, shape)]
        )
        for kind in ("Neg", "Abs")
    ]  # fmt: skip
    yes = numpy_helper.from_array(np.array(True), "yes")
    node = helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1])
    done = folded(in_front(front, onnx_graph(tmp_path / "model", front, node, weights=(yes,)), tmp_path), tmp_path)
    assert done.graph is not None, done.routes
    assert np.array_equal(answer(done.graph, MANY), -front.samples(MANY))


def test_weights_beside_the_file_stay_its_weights(tmp_path: Path) -> None:
    front = Front((ChannelsFirst(), IMAGENET))
    factor = numpy_helper.from_array(np.full((3, 16, 16), 2, np.float32), "factor")
    graph = onnx_graph(tmp_path / "model", front, helper.make_node("Mul", ["x", "factor"], ["y"]), weights=(factor,))
    model = onnx.load(graph.path)
    onnx.save(model, graph.path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    done = folded(in_front(front, graph, tmp_path), tmp_path)
    assert done.graph is not None, done.routes
    assert (done.graph.path.parent / "weights.bin").is_file()
    assert np.array_equal(answer(done.graph, MANY), 2 * front.samples(MANY))


@pytest.mark.parametrize("fault", ["mean", "colours", "layout", "std"])
def test_a_graph_with_other_steps_than_numpys_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    front = Front((ReverseChannels(), ChannelsFirst(), IMAGENET))
    wrong = {
        "mean": (*front.steps[:2], changed(IMAGENET, mean=(0.485, 0.456, 0.416))),
        "std": (*front.steps[:2], changed(IMAGENET, std=(0.229, 0.225, 0.224))),
        "colours": front.steps[1:],
        "layout": front.steps,
    }[fault]
    right = operations.operations

    def planted(given: Front) -> tuple[operations.Operation, ...]:
        made = right(Front(wrong))
        return tuple(replace(one, axis=2) if fault == "layout" and one.name == "reverse" else one for one in made)

    monkeypatch.setattr("roadworthy.build.capture.front.onnx_file.operations", planted)
    done = folded(in_front(front, onnx_graph(tmp_path / "model", front), tmp_path), tmp_path)
    ((route),) = done.routes
    assert done.graph is None and not route.ok
    assert route.outcome.startswith("not folded, the steps stay in front of the graph: ")
    assert not (tmp_path / "folded").exists()


def test_a_format_without_operators_says_so(tmp_path: Path) -> None:
    front = Front((ChannelsFirst(), IMAGENET))
    graph = in_front(front, replace(onnx_graph(tmp_path / "model", front), format="tflite"), tmp_path)
    ((route),) = folded(graph, tmp_path).routes
    assert "a tflite file takes no operators in front of its own" in route.outcome and not route.ok


def test_an_operator_set_that_cannot_round_is_refused(tmp_path: Path) -> None:
    front = Front((ChannelsFirst(), Normalize(scale=1.0, mean=(128.0,), dtype="int8")))
    ((route),) = folded(in_front(front, onnx_graph(tmp_path / "model", front, opset=10), tmp_path), tmp_path).routes
    assert "opset 10 has no operator that rounds" in route.outcome


def test_what_is_in_front_of_the_first_layer_stays_in_float32_in_an_int8_graph(tmp_path: Path) -> None:
    front = Front((ReverseChannels(), ChannelsFirst(), IMAGENET))
    graph = onnx_graph(tmp_path / "model", front, helper.make_node("Neg", ["x"], ["y"], name="layer"))
    assert first.first_nodes(graph.path) == []
    done = folded(in_front(front, graph, tmp_path), tmp_path)
    assert done.graph is not None
    assert [name.rpartition("/")[2] for name in first.first_nodes(done.graph.path)] == ["Transpose", "Gather", "Cast", "Mul", "Add"]


def changed(step: Normalize, **changes: Any) -> Normalize:
    return msgspec.structs.replace(step, **changes)


def quantised_after(path: Path, front_nodes: set[str]) -> int:
    """How many tensors that ``front_nodes`` give are quantised in the int8 graph at ``path``."""
    graph = onnx.load(path).graph
    given = {output for node in graph.node if node.name in front_nodes for output in node.output}
    return sum(node.op_type == "QuantizeLinear" and node.input[0] in given for node in graph.node)


def test_pixels_are_rounded_once_in_an_int8_graph_where_the_quantiser_itself_rounds_them_at_every_step(tmp_path: Path) -> None:
    from onnxruntime import quantization

    random = np.random.default_rng(1)
    kernel = numpy_helper.from_array(random.normal(size=(3, 3, 3, 3)).astype(np.float32), "kernel")
    node = helper.make_node("Conv", ["x", "kernel"], ["y"], name="layer", pads=[1, 1, 1, 1])
    front = Front((ReverseChannels(), ChannelsFirst(), IMAGENET))
    graph = in_front(front, onnx_graph(tmp_path / "model", front, node, weights=(kernel,)), tmp_path)
    done = folded(graph, tmp_path)
    assert done.graph is not None, done.routes
    nodes = {*first.first_nodes(done.graph.path)}
    assert len(nodes) == 5

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [{"x": MANY}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    quantization.quantize_static(done.graph.path, tmp_path / "bare.onnx", Reader(), per_channel=True)
    assert quantised_after(tmp_path / "bare.onnx", nodes) > 1

    calibration = write(tmp_path / "calibration", {"x": MANY})
    found = {}
    for one in (done.graph, graph):
        plan = Plan("onnxruntime", "int8").made_from(one)
        made = lower.lower(lower.LowerRequest(one, plan, calibration, tmp_path / plan.artefact))
        with open_session(made.path, made.signature, plan) as session:
            found[plan.unfolded] = session.run({"x": MANY})["y"]
    assert quantised_after(tmp_path / "onnxruntime-int8" / "model.onnx", nodes) == 1
    assert np.allclose(found[False], found[True], rtol=0, atol=1e-3 * np.abs(found[True]).max())
