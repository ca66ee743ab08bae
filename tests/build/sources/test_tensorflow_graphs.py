"""SavedModels, frozen graphs and TensorFlow 1 checkpoints: what is fed and read, kept as it is, and refused in words."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build import sources
from roadworthy.build.sources import Loaded, LoadRequest
from roadworthy.core import samples
from roadworthy.core.errors import ArchitectureMismatch, NotInference, SourceError, SourceUnreadable, StepFailed, UsageError
from roadworthy.core.stages import Source
from roadworthy.core.types import BATCH, BYTES, TensorSpec
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow import function as tensorflow_function
from roadworthy.frameworks.tensorflow import graph as tensorflow_graph
from support.files import tensorflow_files as side

pytestmark = pytest.mark.slow

IMAGE = (BATCH, side.SIDE, side.SIDE, 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A file of ``tensorflow_files``, each made once."""
    known: dict[Any, Path] = {}

    def make(builder: Any, **options: Any) -> Path:
        key = (builder, *sorted((name, str(value)) for name, value in options.items()))
        if key not in known:
            known[key] = builder(tmp_path_factory.mktemp("made") / "model.pb", **options)
        return known[key]

    return make


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Loaded]:
    """Load a file, as a child would."""

    def run(path: Path, kind: str, *said: str, given: dict[str, Any] | None = None, allow: bool = False, **choices: Any) -> Loaded:
        source = Source(path, kind, "tensorflow", "", 0, **choices)
        kept = samples.write(tmp_path / f"samples{len(list(tmp_path.iterdir()))}", given) if given else None
        specs = tuple(sources.parse_input(text) for text in said)
        return sources.load(LoadRequest(source, specs, kept, tmp_path / f"out{len(list(tmp_path.iterdir()))}", allow))

    return run


def answers(loaded: Loaded, feeds: dict[str, Any]) -> dict[str, Any]:
    return tensorflow_function.open_function(loaded.graph.path)(feeds)


def shapes(specs: tuple[TensorSpec, ...]) -> dict[str, tuple[str, tuple[int | str, ...]]]:
    return {spec.name: (spec.dtype, spec.shape) for spec in specs}


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("flatten", [side.flatten_of_contrib, side.flatten_of_early_contrib])
def test_a_frozen_graph_is_read_from_its_own_nodes(made: Any, read: Any, flatten: Any) -> None:
    loaded = read(made(side.frozen_graph, flatten=flatten), "graphdef")
    assert shapes(loaded.signature.inputs) == {"image": ("float32", IMAGE)}
    assert shapes(loaded.signature.outputs) == {"probabilities": ("float32", (BATCH, side.CLASSES))}
    assert any("is_training = false, keep_prob = 1.0" in proof for proof in loaded.proofs)
    assert loaded.parameters == 36 + 16 + 64 * 3 + 3
    image = side.images(3)
    np.testing.assert_allclose(answers(loaded, {"image": image})["probabilities"], softmax(side.expected(image)), atol=1e-6)


def test_what_is_kept_has_one_placeholder_and_no_device(made: Any, read: Any) -> None:
    graph = tensorflow_graph.read_graph(read(made(side.frozen_graph, device="/gpu:0"), "graphdef").graph.path / tensorflow_entry.GRAPHDEF)
    assert [node.name for node in graph.node if "Placeholder" in node.op] == ["image"]
    assert not any(node.device for node in graph.node)
    assert not {"If", "StatelessIf", "Switch", "Merge"} & {node.op for node in graph.node}, "is_training decides them for good"
    assert not graph.library.function


def test_the_branches_of_tensorflow_1_are_decided_too(made: Any, read: Any) -> None:
    path = made(side.frozen_graph, old_branches=True)
    assert {"Switch", "Merge"} <= {node.op for node in tensorflow_graph.read_graph(path).node}
    loaded = read(path, "graphdef", outputs=("logits",))
    graph = tensorflow_graph.read_graph(loaded.graph.path / tensorflow_entry.GRAPHDEF)
    assert not {"If", "StatelessIf", "Switch", "Merge"} & {node.op for node in graph.node}
    image = side.images(3)
    np.testing.assert_allclose(answers(loaded, {"image": image})["logits"], side.expected(image), atol=1e-5)


def test_outputs_and_inputs_as_said(made: Any, read: Any) -> None:
    path = made(side.frozen_graph, ends=2)
    with pytest.raises(
        UsageError,
        match=r"several places: probabilities:float32\[batch,3\] \(Softmax\), largest:float32\[batch\] \(Max\).* probabilities,largest$",
    ):
        read(path, "graphdef")
    loaded = read(path, "graphdef", outputs=("largest", "logits:0"))
    assert shapes(loaded.signature.outputs) == {"largest": ("float32", (BATCH,)), "logits": ("float32", (BATCH, side.CLASSES))}
    with pytest.raises(UsageError, match="no tensor 'logit'; did you mean logits"):
        read(path, "graphdef", outputs=("logit",))
    inner = read(path, "graphdef", "Relu:float32[batch,8,8,4]", outputs=("logits",))
    assert shapes(inner.signature.inputs) == {"Relu": ("float32", (BATCH, 8, 8, 4))}
    assert not any("is_training" in proof for proof in inner.proofs)
    with pytest.raises(UsageError, match="no input 'picture'; it takes image"):
        read(path, "graphdef", "picture:float32[batch,8,8,1]", outputs=("logits",))


def test_a_graph_with_variables_is_not_frozen(made: Any, read: Any) -> None:
    with pytest.raises(SourceError, match=r"not frozen: it has variables \(conv/kernel.*give the checkpoint"):
        read(made(side.frozen_graph, variables=True), "graphdef")


def test_damaged_and_unknown_graphs(tmp_path: Path, read: Any) -> None:
    (tmp_path / "cut.pb").write_bytes(b"\x0a\xff\x01abc")
    with pytest.raises(SourceUnreadable, match="cut short or damaged"):
        read(tmp_path / "cut.pb", "graphdef")
    graph = framework.framework().compat.v1.GraphDef()
    graph.node.add(name="x", op="ByNobody")
    (tmp_path / "foreign.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(SourceError, match="ByNobody"):
        read(tmp_path / "foreign.pb", "graphdef")


def graph_file(path: Path, build: Callable[[Any], Any]) -> Path:
    graph = framework.framework().Graph()
    with graph.as_default():
        build(framework.framework())
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def test_random_and_coupled_graphs_are_caught_with_their_operation(tmp_path: Path, read: Any) -> None:
    def drawn(tf: Any) -> None:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], "x")
        tf.nn.relu(x * tf.random.uniform([4], seed=7), "y")

    def coupled(tf: Any) -> None:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 2], "x")
        tf.nn.relu(tf.compat.v1.nn.fused_batch_norm(x, [1.0, 1.0], [0.0, 0.0], is_training=True, name="norm")[0], "y")

    with pytest.raises(NotInference, match=r"two answers.*'random_uniform/RandomUniform' \(RandomUniform\)"):
        read(graph_file(tmp_path / "drawn.pb", drawn), "graphdef")
    with pytest.raises(NotInference, match=r"changes with the others in its batch.*'norm' \(FusedBatchNormV3\)"):
        read(graph_file(tmp_path / "coupled.pb", coupled), "graphdef")
    allowed = read(tmp_path / "drawn.pb", "graphdef", allow=True)
    assert any("the user says it is meant" in proof for proof in allowed.proofs)


def test_open_shapes_defaults_and_the_old_name_of_a_dropout(tmp_path: Path, read: Any) -> None:
    def build(tf: Any) -> None:
        v1 = tf.compat.v1
        x = v1.placeholder(tf.float32, name="scope/x")
        dropout = v1.placeholder(tf.float32, name="dropout")
        scale = v1.placeholder_with_default(tf.constant(2.0), [], "scale")
        tf.identity(v1.nn.dropout(x * scale, keep_prob=dropout), "y")

    path = graph_file(tmp_path / "open.pb", build)
    with pytest.raises(UsageError, match="leaves the shape of 'scope/x' open"):
        read(path, "graphdef")
    loaded = read(path, "graphdef", "scope/x:float32[batch,4]")
    assert any("dropout = 1.0" in proof for proof in loaded.proofs), "the graph divides by it: it is the share that is kept"
    x = side.weights(2, 4)
    np.testing.assert_array_equal(answers(loaded, {"scope/x": x})["y"], 2 * x)
    assert tensorflow_function.concrete(loaded.graph.path).inputs[0].shape.as_list() == [None, 4], "what was said is in the graph"


def test_an_input_named_like_labels_is_an_input(tmp_path: Path, read: Any) -> None:
    def two(tf: Any) -> None:
        x, y = (tf.compat.v1.placeholder(tf.float32, [None, 4], name) for name in "xy")
        tf.add(tf.nn.relu(x), y, name="sum")

    def counted(tf: Any) -> None:
        x, y = tf.compat.v1.placeholder(tf.float32, [None, 4], "x"), tf.compat.v1.placeholder(tf.int64, [None], "y")
        right = tf.equal(tf.argmax(tf.nn.relu(x, name="scores"), 1), y)
        tf.reduce_mean(tf.cast(right, tf.float32))

    summed = read(graph_file(tmp_path / "two.pb", two), "graphdef").signature
    assert (list(shapes(summed.inputs)), list(shapes(summed.outputs))) == (["x", "y"], ["sum"])
    scored = read(graph_file(tmp_path / "counted.pb", counted), "graphdef").signature
    assert (list(shapes(scored.inputs)), list(shapes(scored.outputs))) == (["x"], ["scores"])


def test_what_only_its_own_program_could_fill(tmp_path: Path, read: Any) -> None:
    def looked_up(tf: Any) -> None:
        x = tf.compat.v1.placeholder(tf.int64, [None], "x")
        table = tf.raw_ops.HashTableV2(key_dtype=tf.int64, value_dtype=tf.float32, name="empty")
        tf.raw_ops.LookupTableFindV2(table_handle=table, keys=x, default_value=0.0)

    def queued(tf: Any) -> None:
        rows = tf.compat.v1.placeholder(tf.float32, [None, 4], "rows")
        queue = tf.queue.FIFOQueue(2, [tf.float32], [[4]])
        queue.enqueue_many(rows)
        tf.nn.relu(queue.dequeue_many(2), "y")

    with pytest.raises(SourceError, match=r"looks things up in the table empty, which nothing fills.*give the SavedModel"):
        read(graph_file(tmp_path / "looked_up.pb", looked_up), "graphdef")
    spelled = r"--input 'fifo_queue_DequeueMany:float32\[batch,16\]' with its own sizes$"
    with pytest.raises(SourceError, match=rf"fed from a queue or a data set of its own: .*\(QueueDequeueManyV2\).*{spelled}"):
        read(graph_file(tmp_path / "queued.pb", queued), "graphdef", outputs=("y",))
    entered = read(tmp_path / "queued.pb", "graphdef", "fifo_queue_DequeueMany:float32[2,4]", outputs=("y",))
    assert [str(spec) for spec in entered.signature.inputs] == ["fifo_queue_DequeueMany:float32[2,4]"]


def test_a_loss_is_no_answer(tmp_path: Path, read: Any) -> None:
    def trained(tf: Any) -> None:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], "x")
        y = tf.nn.relu(x, name="y")
        tf.gradients(tf.reduce_mean(y, name="loss"), [x])

    path = graph_file(tmp_path / "trained.pb", trained)
    with pytest.raises(
        UsageError, match=r"single numbers, as a loss is: loss:float32\[\] \(Mean\); .*y:float32\[batch,4\] \(Relu\).*--outputs y$"
    ):
        read(path, "graphdef")
    assert list(shapes(read(path, "graphdef", outputs=("y",)).signature.outputs)) == ["y"]


def test_a_frozen_graph_with_other_answers_than_its_session_is_not_kept(made: Any, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from roadworthy.build.sources.tensorflow import inference_graph

    def planted(*given: Any) -> Any:
        copy = real(*given)
        for node in copy.node:
            if node.name == "dense/bias":
                node.attr["value"].tensor.CopyFrom(framework.framework().make_tensor_proto(np.float32([1, 0, 0])))
        return copy

    real = inference_graph.inference_graph
    monkeypatch.setattr(inference_graph, "inference_graph", planted)
    with pytest.raises(SourceError, match="frozen, the graph gives other answers than its own session"):
        read(made(side.frozen_graph), "graphdef")


@pytest.mark.parametrize("resource", [False, True])
def test_a_checkpoint_is_frozen_without_its_training(tmp_path: Path, read: Any, resource: bool) -> None:
    meta = side.checkpoint(tmp_path, resource=resource)
    loaded = read(meta, "tf1")
    assert loaded.graph.format == "graphdef"
    assert shapes(loaded.signature.inputs) == {"images": ("float32", IMAGE)}
    assert shapes(loaded.signature.outputs) == {"predictions": ("float32", (BATCH, side.CLASSES))}
    assert any("phase_train = false, keep_prob = 1.0" in proof for proof in loaded.proofs)
    assert any("the file's own graph gave in a session" in proof for proof in loaded.proofs)
    assert loaded.parameters == 36 + 16 + 64 * 3 + 3
    graph = tensorflow_graph.read_graph(loaded.graph.path / tensorflow_entry.GRAPHDEF)
    assert not {"VariableV2", "VarHandleOp", "Assign", "ApplyAdam", "RestoreV2", "ScalarSummary"} & {node.op for node in graph.node}
    tf = framework.framework()
    image = side.images(3)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.train.import_meta_graph(str(meta)).restore(session, str(meta).removesuffix(".meta"))
        wanted = session.run("predictions:0", {"images:0": image, "phase_train:0": False, "keep_prob:0": 1.0})
    np.testing.assert_allclose(answers(loaded, {"images": image})["predictions"], wanted, atol=1e-6)


def test_a_checkpoint_of_the_layers_of_tensorflow_1(tmp_path: Path, read: Any) -> None:
    """``tf.compat.v1.layers`` exists only where Keras 2 was asked for before TensorFlow was imported: in another process."""
    code = f"from support.files import tensorflow_files as side; side.checkpoint_of_layers({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], env=child_environment(TF_USE_LEGACY_KERAS="1"), check=True, capture_output=True)
    loaded = read(tmp_path / "layers.ckpt.meta", "tf1")
    assert shapes(loaded.signature.inputs) == {"x": ("float32", IMAGE)}
    assert shapes(loaded.signature.outputs) == {"dense/BiasAdd": ("float32", (BATCH, side.CLASSES))}
    wanted = np.load(tmp_path / "wanted.npy")
    np.testing.assert_allclose(answers(loaded, {"x": side.images(3)})["dense/BiasAdd"], wanted, atol=1e-6)


def test_a_checkpoint_without_its_values(tmp_path: Path, read: Any) -> None:
    meta = side.checkpoint(tmp_path)
    other = tmp_path / "other.ckpt.meta"
    other.write_bytes(meta.read_bytes())
    with pytest.raises(SourceUnreadable, match=r"the \.index and \.data files belong beside the \.meta"):
        read(other, "tf1")
    tf = framework.framework()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        lone = tf.compat.v1.Variable(1.0, name="lone")
        session.run(lone.initializer)
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "lone.ckpt"), write_meta_graph=False)
    (tmp_path / "lone.ckpt.meta").write_bytes(meta.read_bytes())
    with pytest.raises(ArchitectureMismatch, match="does not fit the graph beside it"):
        read(tmp_path / "lone.ckpt.meta", "tf1")
    data = next(tmp_path.glob("model.ckpt-1.data*"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(SourceError):
        read(meta, "tf1")


def test_a_saved_model_keeps_its_names_and_its_files(made: Any, read: Any) -> None:
    path = made(side.two_by_two)
    loaded = read(path, "saved_model")
    assert loaded.graph.format == "saved_model"
    assert shapes(loaded.signature.inputs) == {"left": ("float32", (BATCH, 4)), "a_right": ("float32", (BATCH, 4))}
    assert shapes(loaded.signature.outputs) == {"difference": ("float32", (BATCH, 2)), "sum": ("float32", (BATCH, 2))}
    assert loaded.parameters == 8
    kept = loaded.graph.path / tensorflow_entry.SAVED_MODEL
    assert (kept / "saved_model.pb").read_bytes() == (path / "saved_model.pb").read_bytes()
    left, right = side.weights(3, 4, seed=8), side.weights(3, 4, seed=9)
    for found in (answers(loaded, {"left": left, "a_right": right}), by_concrete(loaded, {"left": left, "a_right": right})):
        np.testing.assert_allclose(found["sum"], (left + right) @ side.weights(4, 2), atol=1e-6)
        np.testing.assert_allclose(found["difference"], (left - right) @ side.weights(4, 2), atol=1e-6)


def by_concrete(loaded: Loaded, feeds: dict[str, Any]) -> dict[str, Any]:
    """The answers of the function that is frozen, converted and compiled."""
    entry = tensorflow_entry.read_entry(loaded.graph.path)
    return tensorflow_function.Function(tensorflow_function.concrete(loaded.graph.path), entry)(feeds)


def test_a_signature_and_outputs_as_said(made: Any, read: Any) -> None:
    path = made(side.two_by_two)
    loaded = read(path, "saved_model", signature="only_sum")
    assert shapes(loaded.signature.inputs) == {"x": ("float32", (BATCH, 4))}
    with pytest.raises(UsageError, match="no signature 'sum'; it has only_sum, serving_default"):
        read(path, "saved_model", signature="sum")
    assert list(shapes(read(path, "saved_model", outputs=("sum",)).signature.outputs)) == ["sum"]
    with pytest.raises(UsageError, match="no output 'product'; it has difference, sum"):
        read(path, "saved_model", outputs=("product",))


def test_a_model_without_a_signature(made: Any, read: Any) -> None:
    loaded = read(made(side.bare), "saved_model", "x:float32[1,4]")
    assert any("called itself" in note for note in loaded.notes)
    x = side.weights(1, 4)
    np.testing.assert_allclose(next(iter(answers(loaded, {"x": x}).values())), x @ side.weights(4, 2), atol=1e-6)
    with pytest.raises(SourceError, match="no signature, and 2 ways to call __call__: x:float32"):
        read(made(side.bare, ways=2), "saved_model")


@pytest.mark.parametrize("way", ["export", "save"])
def test_keras_3_as_a_saved_model(made: Any, read: Any, way: str) -> None:
    path = made(side.keras_saved_model, way=way)
    loaded = read(path, "saved_model")
    (name,) = shapes(loaded.signature.inputs)
    assert shapes(loaded.signature.inputs)[name] == ("float32", IMAGE)
    assert name in ("image", "inputs", "keras_tensor")
    assert loaded.parameters == side.KERAS_PARAMETERS
    image = side.images(3)
    found = answers(loaded, {name: image})
    for other in (by_concrete(loaded, {name: image}), tensorflow_function.open_function(loaded.graph.path, double=True)({name: image})):
        for output, array in found.items():
            np.testing.assert_allclose(other[output], array, atol=1e-6)


def test_keras_2_directory_with_an_optimizer(made: Any, read: Any) -> None:
    path = made(side.keras_2_saved_model)
    loaded = read(path, "saved_model")
    assert shapes(loaded.signature.inputs) == {"image": ("float32", IMAGE)}
    assert next(iter(answers(loaded, {"image": side.images(2)}).values())).shape == (2, side.CLASSES)
    # Where tf-keras was imported once, TensorFlow knows its classes: only another process shows what happens without.
    imports = "import sys; sys.modules['tf_keras'] = None; from roadworthy.frameworks.tensorflow.saved_model import load_saved"
    code = f"{imports}; load_saved({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True)
    assert "BackendMissing: this model was saved by Keras 2" in done.stderr
    assert "pip install --no-deps tf-keras" in done.stderr


def child_environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TF_CPP_MIN_LOG_LEVEL": "3"} | more


def test_simple_save_of_tensorflow_1(made: Any, read: Any) -> None:
    loaded = read(made(side.simple_save), "saved_model")
    assert shapes(loaded.signature.inputs) == {"image": ("float32", IMAGE)}
    assert shapes(loaded.signature.outputs) == {"logits": ("float32", (BATCH, side.CLASSES)), "name": (BYTES, (BATCH,))}
    assert any("is_training = false" in proof for proof in loaded.proofs)
    image = side.images(3)
    wanted = side.expected(image)
    for found in (answers(loaded, {"image": image}), by_concrete(loaded, {"image": image})):
        np.testing.assert_allclose(found["logits"], wanted, atol=1e-5)
        assert list(found["name"]) == [[b"cat", b"dog", b"owl"][best] for best in wanted.argmax(1)]


def test_an_estimator_takes_serialised_examples_and_says_so(made: Any, read: Any) -> None:
    path, rows = made(side.estimator), side.weights(6, 4)
    given = np.empty(6, object)
    given[:] = side.serialised(rows)
    loaded = read(path, "saved_model", given={"inputs": given})
    assert shapes(loaded.signature.inputs) == {"inputs": (BYTES, (BATCH,))}
    assert shapes(loaded.signature.outputs) == {"classes": (BYTES, (BATCH, 3)), "scores": ("float32", (BATCH, 3))}
    assert any("serialised tf.train.Example" in note for note in loaded.notes)
    scores = softmax(rows @ side.weights(4, 3))
    np.testing.assert_allclose(answers(loaded, {"inputs": given})["scores"], scores, atol=1e-6)
    raw = read(path, "saved_model", signature="predict")
    np.testing.assert_allclose(answers(raw, {"x": rows})["probabilities"], scores, atol=1e-6)


def test_double_precision_is_the_truth_to_float32(made: Any, read: Any) -> None:
    loaded = read(made(side.frozen_graph), "graphdef", outputs=("logits",))
    image = side.images(16)
    truth, scale = side.expected(image), np.abs(side.expected(image)).max()
    single, double = (
        answers(loaded, {"image": image})["logits"],
        tensorflow_function.open_function(loaded.graph.path, double=True)({"image": image})["logits"],
    )
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert np.abs(double - truth).max() < 1e-12 * scale
    assert 1e-9 * scale < np.abs(single - double).max() < 1e-6 * scale


def test_double_precision_inside_loops_and_from_variables(tmp_path: Path, made: Any, read: Any) -> None:
    saved = read(made(side.two_by_two), "saved_model")
    feeds = {"left": side.weights(2, 4), "a_right": side.weights(2, 4, seed=1)}
    wide = tensorflow_function.open_function(saved.graph.path, double=True)(feeds)["sum"]
    exact = (feeds["left"].astype(float) + feeds["a_right"]) @ side.weights(4, 2).astype(float)
    np.testing.assert_allclose(wide, exact, rtol=1e-14)

    tf = framework.framework()

    def loop(x: Any) -> list[Any]:
        return [tf.while_loop(lambda n, y: n < 5, lambda n, y: (n + 1, y * 1.1 + x), (tf.constant(0), x))[1]]

    function = tf.function(loop, input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")], autograph=False).get_concrete_function()
    x = side.weights(2, 4)
    y = x.astype(float)
    for _ in range(5):
        y = y * np.float64(np.float32(1.1)) + x
    np.testing.assert_allclose(tensorflow_function.doubled_function(function)(tf.constant(x, tf.float64))[0].numpy(), y, rtol=1e-14)


def test_what_has_no_double_precision_says_so(tmp_path: Path, read: Any) -> None:
    def resized(tf: Any) -> None:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 1], "x")
        tf.compat.v1.image.resize_bilinear(x, [8, 8], name="resized")

    loaded = read(graph_file(tmp_path / "resized.pb", resized), "graphdef")
    with pytest.raises(StepFailed, match=r"resized \(ResizeBilinear\) computes in single precision"):
        tensorflow_function.open_function(loaded.graph.path, double=True)


def test_two_graphs_whose_functions_share_a_name() -> None:
    """TensorFlow keeps the first function of a name in a process; each graph must still have its own."""
    tf = framework.framework()

    def doubling(x: Any) -> list[Any]:
        return [tf.while_loop(lambda n, y: n < 2, lambda n, y: (n + 1, y * 2.0), (tf.constant(0), x))[1]]

    function = tf.function(doubling, input_signature=[tf.TensorSpec([1], tf.float32, "x")], autograph=False).get_concrete_function()
    graph, entry = tensorflow_graph.frozen(function)
    other = type(graph).FromString(graph.SerializeToString())
    for node in (node for body in other.library.function for node in body.node_def):
        if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum:
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(3.0))
    assert [one.signature.name for one in graph.library.function] == [one.signature.name for one in other.library.function]
    found = [float(tensorflow_graph.graph_function(one, entry)(tf.constant([1.0]))[0].numpy()[0]) for one in (graph, other)]
    assert found == [4.0, 9.0]


def test_threads_that_come_too_late() -> None:
    tf = framework.framework()
    tf.constant(1.0)
    has = tf.config.threading.get_intra_op_parallelism_threads()
    with pytest.raises(UsageError, match="a process of their own"):
        framework.set_threads(has + 1)


def test_the_keyword_spotter_of_keras_2(real: Path, read: Any) -> None:
    loaded = read(real / "models" / "keyword_spotting_saved_model", "saved_model")
    assert shapes(loaded.signature.inputs) == {"input_1": ("float32", (BATCH, 49, 10, 1))}
    assert shapes(loaded.signature.outputs) == {"dense": ("float32", (BATCH, 12))}


def test_the_frozen_graph_that_reads_wav_files(real: Path, read: Any) -> None:
    names = (real / "speech-commands" / "labels.txt").read_text().split()
    files = [file for name in names for file in sorted((real / "speech-commands" / name).glob("*.wav"))]
    given = np.empty(len(files), object)
    given[:] = [file.read_bytes() for file in files]
    loaded = read(real / "models" / "keyword_spotting_ds_cnn_s_tf1_frozen.pb", "graphdef", given={"wav_data": given})
    assert shapes(loaded.signature.inputs) == {"wav_data": (BYTES, (1,))}
    assert shapes(loaded.signature.outputs) == {"labels_softmax": ("float32", (1, 12))}
    assert dataclasses.astuple(tensorflow_entry.read_entry(loaded.graph.path).inputs[0]) == ("wav_data", "wav_data:0", True)
    function = tensorflow_function.open_function(loaded.graph.path)
    right = [names[function({"wav_data": given[i : i + 1]})["labels_softmax"].argmax()] == file.parent.name for i, file in enumerate(files)]
    assert sum(right) == 48
