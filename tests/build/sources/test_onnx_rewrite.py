"""ONNX files that a runtime or a request cannot take as they are: what is changed, what is said of it, and that the answers stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from roadworthy.build.sources import Loaded, LoadRequest, inspect, load
from roadworthy.core import registry, samples
from roadworthy.core.errors import DataError, InvalidRequest, SourceError, UsageError
from roadworthy.core.stages import Plan, Source
from roadworthy.core.types import BATCH, BYTES, Array
from roadworthy.runtimes import open_session
from support.files.onnx_files import node, written

Load = Callable[..., Loaded]
FLOAT, INT64, STRING, BRAIN = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.BFLOAT16
ML = ("ai.onnx.ml",)
X: Array = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
COEFFICIENTS = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def answer(loaded: Loaded, **feeds: Array) -> dict[str, Array]:
    """The answers of the kept graph, through the runtime."""
    plan = Plan(registry.runtime_for(loaded.graph.format), loaded.graph.precision)
    with open_session(loaded.graph.path, loaded.signature, plan) as session:
        return dict(session.run(feeds))


def texts(*values: Any) -> Array:
    """Byte strings of one column, [n, 1]."""
    array = np.empty((len(values), 1), BYTES)
    array[:, 0] = [value.encode() if isinstance(value, str) else value for value in values]
    return array


def names(loaded: Loaded) -> tuple[list[str], list[str]]:
    return [str(spec) for spec in loaded.signature.inputs], [str(spec) for spec in loaded.signature.outputs]


def classifier(**labels: Any) -> Any:
    return helper.make_node(
        "LinearClassifier", ["x"], ["label", "probabilities"], domain="ai.onnx.ml", coefficients=COEFFICIENTS.ravel().tolist(),
        intercepts=[0.1, 0.2, 0.3], post_transform="SOFTMAX", **labels,
    )  # fmt: skip


def maps(name: str, key: int) -> Any:
    """The type of an output with one map a sample."""
    of_map = helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, []))
    return helper.make_value_info(name, helper.make_sequence_type_proto(of_map))


def probabilities(x: Array) -> Array:
    logits = x @ COEFFICIENTS.T + np.array([0.1, 0.2, 0.3], np.float32)
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(1, keepdims=True))


def test_the_maps_of_a_classifier_give_way_to_its_probabilities(tmp_path: Path, loaded: Load) -> None:
    zip_map = node("ZipMap", "probabilities", "maps", domain="ai.onnx.ml", classlabels_int64s=[4, 5, 6])
    path = written(tmp_path / "m.onnx", [classifier(classlabels_ints=[4, 5, 6]), zip_map], [("x", FLOAT, [None, 4])],
                   [("label", INT64, [None]), maps("maps", INT64)], domains=ML)  # fmt: skip
    result = loaded(path)
    assert names(result)[1] == ["label:int64[batch]", "probabilities:float32[batch,3]"]
    said = (
        "'maps' is a map for each sample, which no request carries: it is left out, and what it is made of, 'probabilities', is given "
        "in its place (columns 4, 5, 6)"
    )
    assert said in result.notes
    assert [one.op_type for one in onnx.load(result.graph.path).graph.node] == ["LinearClassifier"]
    answers = answer(result, x=X)
    assert np.allclose(answers["probabilities"], probabilities(X), atol=1e-5)
    assert answers["label"].tolist() == (probabilities(X).argmax(1) + 4).tolist()


def test_labels_that_are_texts_are_byte_strings(tmp_path: Path, loaded: Load) -> None:
    zip_map = node("ZipMap", "probabilities", "maps", domain="ai.onnx.ml", classlabels_strings=["cat", "dög", "emu"])
    path = written(tmp_path / "m.onnx", [classifier(classlabels_strings=["cat", "dög", "emu"]), zip_map], [("x", FLOAT, [None, 4])],
                   [("label", STRING, [None]), maps("maps", STRING)], domains=ML)  # fmt: skip
    result = loaded(path)
    assert names(result)[1][0] == "label:object[batch]" or names(result)[1][0] == "label:string[batch]"
    wanted = [["cat", "dög", "emu"][best].encode() for best in probabilities(X).argmax(1)]
    assert answer(result, x=X)["label"].tolist() == wanted


def test_outputs_are_chosen_by_name_inner_tensors_too(tmp_path: Path, loaded: Load) -> None:
    """A map may be named as well: what it is made of is given."""
    zip_map = node("ZipMap", "probabilities", "maps", domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    path = written(tmp_path / "m.onnx", [classifier(classlabels_ints=[0, 1, 2]), zip_map], [("x", FLOAT, [None, 4])],
                   [("label", INT64, [None]), maps("maps", INT64)], domains=ML)  # fmt: skip
    for asked in ("probabilities", "maps"):
        assert names(loaded(path, outputs=(asked,)))[1] == ["probabilities:float32[batch,3]"]
    assert names(loaded(path, outputs=("probabilities", "label")))[1] == ["probabilities:float32[batch,3]", "label:int64[batch]"]
    with pytest.raises(UsageError, match=r"no tensor 'logits' to answer with; --outputs label, maps are the file's own outputs"):
        loaded(path, outputs=("logits",))


def test_an_input_that_the_chosen_outputs_do_not_need_is_left_out(tmp_path: Path, loaded: Load) -> None:
    path = written(tmp_path / "m.onnx", [node("Relu", "x", "y"), node("Sub", "y target", "loss")],
                   [("x", FLOAT, ["N", 4]), ("target", FLOAT, ["N", 4])], [("loss", FLOAT, ["N", 4])])  # fmt: skip
    result = loaded(path, outputs=("y",))
    assert names(result) == (["x:float32[batch,4]"], ["y:float32[batch,4]"])
    assert "these outputs do not depend on 'target': no longer an input" in result.notes


@pytest.mark.parametrize(
    ("nodes", "kind", "given"),
    [
        ([node("Relu", "x", "y"), node("Neg", "x", "z"), node("SequenceConstruct", "y z", "all")], "sequence", ["y", "z"]),
        ([node("Relu", "x", "y"), node("SplitToSequence", "y", "all", axis=1)], "sequence", ["y"]),
        ([node("Relu", "x", "y"), node("SequenceConstruct", "y", "s"), node("Identity", "s", "all")], "sequence", ["y"]),
        ([node("Relu", "x", "h"), node("Identity", "h", "y"), node("SequenceConstruct", "y", "all")], "sequence", ["y"]),
        ([node("Relu", "x", "y"), node("Optional", "y", "all")], "optional value", ["y"]),
    ],
)
def test_sequences_and_optional_values_give_way_to_their_tensors(
    nodes: list[Any], kind: str, given: list[str], tmp_path: Path, loaded: Load
) -> None:
    tensor = helper.make_tensor_type_proto(FLOAT, None)
    form = helper.make_optional_type_proto(tensor) if kind.startswith("optional") else helper.make_sequence_type_proto(tensor)
    path = written(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 4])], [helper.make_value_info("all", form)])
    result = loaded(path)
    assert [spec.name for spec in result.signature.outputs] == given
    assert any("'all' is a" in note and kind in note for note in result.notes)
    assert any("the output 'all' is a sequence, a map or an optional value" in note for note in inspect(path).notes)
    assert np.array_equal(answer(result, x=X)["y"], np.maximum(X, 0))


def test_a_sequence_of_unknown_parts_is_left_out_or_refused(tmp_path: Path, loaded: Load) -> None:
    tensor = helper.make_tensor_type_proto(FLOAT, None)
    parts = helper.make_value_info("parts", helper.make_sequence_type_proto(tensor))
    nodes = [node("SequenceConstruct", "x", "s"), node("SequenceInsert", "s x", "parts"), node("Relu", "x", "y")]
    result = loaded(written(tmp_path / "both.onnx", nodes, [("x", FLOAT, ["N", 4])], [parts, ("y", FLOAT, ["N", 4])]))
    assert names(result)[1] == ["y:float32[batch,4]"]
    assert "'parts' is a sequence, which no request carries: it is left out" in result.notes
    with pytest.raises(SourceError, match=r"gives no tensor \('parts' is a sequence\); name one inside it with --outputs"):
        loaded(written(tmp_path / "one.onnx", nodes, [("x", FLOAT, ["N", 4])], [parts]))


def test_an_input_that_is_no_tensor_is_refused_by_name(tmp_path: Path, loaded: Load) -> None:
    path = written(tmp_path / "m.onnx", [node("SequenceAt", "parts first", "y")], [("first", INT64, [])], [("y", FLOAT, None)])
    model = onnx.load(path)
    of_tensors = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    model.graph.input.append(helper.make_value_info("parts", of_tensors))
    onnx.save(model, path)
    with pytest.raises(
        SourceError, match=r"m\.onnx takes 'parts', which is a sequence, a map or an optional value, and no request carries"
    ):
        loaded(path)
    with pytest.raises(SourceError, match="the input 'parts' is a sequence, which no request carries"):
        load(LoadRequest(Source(path, "onnx", "onnx", "", 0), (), None, tmp_path / "out"))


VOCABULARY = ["red", "green", "blå"]
STRING_MODELS: dict[str, tuple[Any, Any]] = {
    "LabelEncoder": (
        node("LabelEncoder", "x", "y", domain="ai.onnx.ml", keys_strings=VOCABULARY, values_int64s=[7, 8, 9], default_int64=-1),
        [[7], [9], [-1]],
    ),
    "CategoryMapper": (
        node("CategoryMapper", "x", "y", domain="ai.onnx.ml", cats_strings=VOCABULARY, cats_int64s=[7, 8, 9], default_int64=-1),
        [[7], [9], [-1]],
    ),
    "OneHotEncoder": (
        node("OneHotEncoder", "x", "y", domain="ai.onnx.ml", cats_strings=VOCABULARY, zeros=1),
        [[[1, 0, 0]], [[0, 0, 1]], [[0, 0, 0]]],
    ),
    "TfIdfVectorizer": (
        node("TfIdfVectorizer", "x", "y", mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0, ngram_counts=[0],
             ngram_indexes=[0, 1, 2], pool_strings=VOCABULARY),
        [[1, 0, 0], [0, 0, 1], [0, 0, 0]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("operator", list(STRING_MODELS))
def test_texts_go_in_as_byte_strings(operator: str, tmp_path: Path, loaded: Load) -> None:
    made, wanted = STRING_MODELS[operator]
    path = written(tmp_path / "m.onnx", [made], [("x", STRING, [None, 1])], [onnx.ValueInfoProto(name="y")], domains=("ai.onnx.ml:2",))
    given = samples.write(tmp_path / "s", {"x": texts("red", "blå", "none", "green", "red", "blå")})
    result = loaded(path, samples=given)
    assert result.signature.inputs[0].dtype == BYTES
    assert answer(result, x=texts("red", "blå", "none"))["y"].tolist() == wanted
    with pytest.raises(DataError, match=r"byte strings .* cannot be made up"):
        loaded(path)
    with pytest.raises(InvalidRequest, match=r"input 'x' holds bytes at \[1, 0\] that are not UTF-8"):
        answer(result, x=texts("red", b"\xff\xfe"))


def test_texts_are_normalised_without_the_locale_of_the_file(tmp_path: Path, loaded: Load) -> None:
    """ONNX Runtime refuses the file where the machine lacks en_US.UTF-8; the letters of C.UTF-8 are the same."""
    lower = node("StringNormalizer", "x", "y", case_change_action="LOWER")
    path = written(tmp_path / "m.onnx", [lower], [("x", STRING, ["N"])], [("y", STRING, ["N"])])
    given = texts("ÅRHUS", "Łódź", "odd")[:, 0]
    result = loaded(path, samples=samples.write(tmp_path / "s", {"x": given}))
    assert any("C.UTF-8" in note for note in result.notes)
    assert [text.decode() for text in answer(result, x=given)["y"]] == ["århus", "łódź", "odd"]


def test_inputs_without_a_shape_are_asked_for_and_then_stated_in_the_file(tmp_path: Path, loaded: Load) -> None:
    path = written(tmp_path / "m.onnx", [node("Relu", "x:0", "y")], [("x:0", FLOAT, None)], [("y", FLOAT, None)])
    with pytest.raises(UsageError, match=r"leaves the shape of 'x:0' open; say it, for example --input 'x:0:float32\[batch,"):
        loaded(path)
    result = loaded(path, samples=samples.write(tmp_path / "s", {"x:0": np.ones((4, 2, 3), np.float32)}))
    assert names(result) == (["x:0:float32[batch,2,3]"], ["y:float32[batch,2,3]"])
    shape = onnx.load(result.graph.path).graph.input[0].type.tensor_type.shape
    assert [size.dim_value or size.dim_param for size in shape.dim] == [BATCH, 2, 3]


def test_a_wrong_statement_of_an_output_is_corrected(tmp_path: Path, loaded: Load) -> None:
    """The runtime answers rightly whatever the file says; a tool that believes the file does not."""
    path = written(tmp_path / "m.onnx", [node("Relu", "x", "y")], [("x", FLOAT, ["N", 4])], [("y", FLOAT, [1, 9])])
    result = loaded(path)
    assert names(result)[1] == ["y:float32[batch,4]"]
    assert [size.dim_param or size.dim_value for size in onnx.load(result.graph.path).graph.output[0].type.tensor_type.shape.dim] == [
        BATCH,
        4,
    ]


def test_an_input_that_is_also_an_output_and_a_constant_one(tmp_path: Path, loaded: Load) -> None:
    path = written(
        tmp_path / "m.onnx", [node("Mul", "x scale", "y")], [("x", FLOAT, ["N", 4]), ("unused", FLOAT, ["N", 2])],
        [("y", FLOAT, ["N", 4]), ("x", FLOAT, ["N", 4]), ("scale", FLOAT, []), ("y", FLOAT, ["N", 4])],
        {"scale": np.array(2, np.float32)},
    )  # fmt: skip
    result = loaded(path)
    assert names(result) == (
        ["x:float32[batch,4]", "unused:float32[batch,2]"], ["y:float32[batch,4]", "x:float32[batch,4]", "scale:float32[]"],
    )  # fmt: skip
    assert "the file lists the output 'y' several times; it is given once" in result.notes
    answers = answer(result, x=X, unused=np.zeros((3, 2), np.float32))
    assert np.array_equal(answers["y"], 2 * X) and np.array_equal(answers["x"], X) and answers["scale"] == 2


def test_bfloat16_is_float32_outside_of_the_graph(tmp_path: Path, loaded: Load) -> None:
    path = written(tmp_path / "m.onnx", [node("Cast", "x", "wide", to=FLOAT), node("Mul", "wide wide", "square"),
                   node("Cast", "square", "y", to=BRAIN)], [("x", BRAIN, ["N", 4])], [("y", BRAIN, ["N", 4])])  # fmt: skip
    result = loaded(path)
    assert names(result) == (["x:float32[batch,4]"], ["y:float32[batch,4]"])
    assert "'x' is bfloat16 in the file and float32 outside of it: it is rounded on its way in" in result.notes
    assert np.allclose(answer(result, x=X)["y"], X * X, rtol=2e-2)
    assert loaded(path, "x:bfloat16[batch,4]").signature == result.signature


def test_nodes_of_one_name_and_branches(tmp_path: Path, loaded: Load) -> None:
    """The branches read a tensor of the graph around them."""

    def branch(op: str) -> Any:
        return helper.make_graph([helper.make_node(op, ["h"], ["out"])], op, [], [helper.make_tensor_value_info("out", FLOAT, None)])

    nodes = [node("Neg", "x", "h", name="same"), node("If", "on", "y", name="same", then_branch=branch("Relu"), else_branch=branch("Abs"))]
    path = written(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 4])], [("y", FLOAT, ["N", 4]), ("y", FLOAT, ["N", 4])],
                   {"on": np.array(True)})  # fmt: skip
    result = loaded(path)
    assert "several nodes were called same; they have no names now" in result.notes
    assert np.array_equal(answer(result, x=X)["y"], np.maximum(-X, 0))


def test_operators_older_than_the_runtimes_are_refused_with_a_way_out(tmp_path: Path, loaded: Load) -> None:
    path = written(tmp_path / "m.onnx", [node("Relu", "x", "y")], [("x", FLOAT, ["N", 4])], [("y", FLOAT, ["N", 4])], opset=5, ir=3)
    with pytest.raises(SourceError, match=r"Relu\(1\) 'the y': the runtime has no kernel for it; .*version_converter"):
        loaded(path)
    assert loaded(
        written(path, [node("Relu", "x", "y")], [("x", FLOAT, ["N", 4])], [("y", FLOAT, ["N", 4])], opset=7, ir=3)
    ).signature.batched


def branch_of(name: str, *nodes: Any, inputs: tuple[tuple[str, int], ...], outputs: tuple[tuple[str, int], ...]) -> Any:
    """A graph inside a node; the shapes of its floats are left open."""
    sides = ([helper.make_tensor_value_info(one, kind, None if kind == FLOAT else []) for one, kind in side] for side in (inputs, outputs))
    return helper.make_graph(list(nodes), name, *sides)


DOUBLING = branch_of(
    "body", node("Identity", "on_in", "on_out"), node("Add", "a w", "b"),
    inputs=(("i", INT64), ("on_in", TensorProto.BOOL), ("a", FLOAT)), outputs=(("on_out", TensorProto.BOOL), ("b", FLOAT)),
)  # fmt: skip
RUNNING = branch_of(
    "body", node("Add", "s t", "total"), node("Identity", "total", "out"),
    inputs=(("s", FLOAT), ("t", FLOAT)), outputs=(("total", FLOAT), ("out", FLOAT)),
)  # fmt: skip
W: Array = np.arange(4, dtype=np.float32)
ONES, ZEROS = np.ones(3, np.float32), np.zeros(3, np.float32)
HABITS: dict[str, tuple[dict[str, Any], Callable[[Array], Array]]] = {
    "a loop that reads the graph around it": (
        {"nodes": [node("Loop", "n on x", "y", body=DOUBLING)], "weights": {"n": np.array(3), "on": np.array(True), "w": W}},
        lambda x: x + 3 * W,
    ),
    "a scan": (
        {"nodes": [node("Transpose", "x", "xt", perm=[1, 0]), node("Mul", "x zero", "z"), node("ReduceMax", "z", "s", axes=[1], keepdims=0),
                   helper.make_node("Scan", ["s", "xt"], ["y", "all"], body=RUNNING, num_scan_inputs=1)],
         "weights": {"zero": np.array(0, np.float32)}},
        lambda x: x.sum(1),
    ),
    "an input that is left out": (
        {"nodes": [helper.make_node("Clip", ["x", "", "high"], ["y"])], "weights": {"high": np.array(0.5, np.float32)}},
        lambda x: np.minimum(x, 0.5),
    ),
    "an output that is left out": (
        {"nodes": [helper.make_node("LayerNormalization", ["x", "ones"], ["y", "", "unused"])],
         "weights": {"ones": np.ones(4, np.float32)}},
        lambda x: (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5),
    ),
    "nodes out of order": ({"nodes": [node("Relu", "h", "y"), node("Neg", "x", "h")]}, lambda x: np.maximum(-x, 0)),
    "the domain spelled out": ({"nodes": [node("Relu", "x", "y", domain="ai.onnx")]}, lambda x: np.maximum(x, 0)),
    "an operator set of 2017": (
        {"nodes": [node("Dropout", "x", "h"), node("Relu", "h", "y")], "opset": 7, "ir": 3}, lambda x: np.maximum(x, 0),
    ),
    "a size of 0 for an open one": ({"nodes": [node("Relu", "x", "y")], "inputs": [("x", FLOAT, [0, 4])]}, lambda x: np.maximum(x, 0)),
    "a size of -1 for an open one": ({"nodes": [node("Relu", "x", "y")], "inputs": [("x", FLOAT, [-1, 4])]}, lambda x: np.maximum(x, 0)),
}  # fmt: skip


@pytest.mark.parametrize("habit", list(HABITS))
def test_files_of_every_habit(habit: str, tmp_path: Path, loaded: Load) -> None:
    made, wanted = HABITS[habit]
    inputs = made.get("inputs", [("x", FLOAT, ["N", 4])])
    rest = {key: value for key, value in made.items() if key != "inputs"}
    result = loaded(written(tmp_path / "m.onnx", inputs=inputs, outputs=[("y", FLOAT, None)], **rest))
    assert names(result)[0] == ["x:float32[batch,4]"]
    assert np.allclose(answer(result, x=X)["y"], wanted(X), atol=1e-5)
