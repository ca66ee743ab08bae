"""TensorFlow 1 graphs after training: the answers among losses, counts and summaries; loops of the old control flow; tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build import sources
from roadworthy.build.capture.tensorflow import frozen_graph
from roadworthy.build.capture.tensorflow.original import TensorFlowSubject
from roadworthy.build.lower import _graphdef
from roadworthy.build.sources import Loaded, LoadRequest
from roadworthy.core import samples
from roadworthy.core.errors import SourceError, StepFailed, UsageError
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow import function as tensorflow_function
from roadworthy.frameworks.tensorflow import graph as tensorflow_graph
from support.files.tensorflow_files import flatten_of_contrib, weights

pytestmark = pytest.mark.slow

Build = Callable[[Any, Any], None]


@contextmanager
def old_control_flow() -> Iterator[Any]:
    """``tf`` in a graph that writes loops and branches as TensorFlow 1 did."""
    tf = framework.framework()
    modern = tf.compat.v1.control_flow_v2_enabled()
    tf.compat.v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default():
            yield tf
    finally:
        if modern:
            tf.compat.v1.enable_control_flow_v2()


def variable(tf: Any, *shape: int, seed: int = 0, resource: bool = False) -> Any:
    return tf.compat.v1.Variable(weights(*shape, seed=seed), use_resource=resource)


@pytest.fixture
def trained(tmp_path: Path) -> Callable[[Build], Path]:
    """The ``.meta`` of the checkpoint of a graph that ``build`` makes."""

    def make(build: Build) -> Path:
        with old_control_flow() as tf, tf.compat.v1.Session() as session:
            build(tf, tf.compat.v1)
            session.run([tf.compat.v1.global_variables_initializer(), tf.compat.v1.local_variables_initializer()])
            return Path(f"{tf.compat.v1.train.Saver().save(session, str(tmp_path / 'model.ckpt'))}.meta")

    return make


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Loaded]:
    def run(path: Path, *said: str, given: dict[str, Any] | None = None, **choices: Any) -> Loaded:
        folder = tmp_path / f"read{len(list(tmp_path.iterdir()))}"
        kept = samples.write(folder / "samples", given) if given else None
        specs = tuple(sources.parse_input(text) for text in said)
        return sources.load(LoadRequest(sources.identify(path, **choices), specs, kept, folder / "out"))

    return run


def interface(loaded: Loaded) -> tuple[list[str], list[str]]:
    return [str(spec) for spec in loaded.signature.inputs], [str(spec) for spec in loaded.signature.outputs]


def answers(loaded: Loaded, **feeds: Any) -> dict[str, Any]:
    return tensorflow_function.open_function(loaded.graph.path)(feeds)


# What is the answer, and what is a label.


def lenet(tf: Any, v1: Any) -> None:
    """Nothing has a name; the loss is Mean and the accuracy Mean_1; the labels' shape is not stated."""
    x, y = v1.placeholder(tf.float32, (None, 8, 8, 1)), v1.placeholder(tf.int32, (None))
    one_hot = tf.one_hot(y, 10)
    x = tf.nn.relu(tf.nn.conv2d(x, variable(tf, 3, 3, 1, 4), 1, "SAME") + tf.Variable(tf.zeros(4)))
    logits = tf.matmul(flatten_of_contrib(x), variable(tf, 256, 10)) + tf.Variable(tf.zeros(10))
    loss = tf.reduce_mean(v1.nn.softmax_cross_entropy_with_logits_v2(labels=one_hot, logits=logits))
    v1.train.AdamOptimizer(0.1).minimize(loss)
    tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), tf.argmax(one_hot, 1)), tf.float32))


def by_hand(tf: Any, v1: Any) -> None:
    """The loss written out, a share to keep and a rate without names, a moving average, a summary, a streaming metric."""
    x, y, keep, rate = (
        v1.placeholder(tf.float32, [None, 6]),
        v1.placeholder(tf.float32, [None, 3]),
        v1.placeholder(tf.float32),
        v1.placeholder(tf.float32),
    )
    weight = variable(tf, 6, 3)
    scores = tf.nn.softmax(tf.matmul(v1.nn.dropout(x, keep_prob=keep), weight), name="scores")
    loss = tf.reduce_mean(-tf.reduce_sum(y * v1.log(tf.clip_by_value(scores, 1e-10, 1.0)), axis=[1])) + 1e-3 * tf.nn.l2_loss(weight)
    step = v1.train.GradientDescentOptimizer(rate).minimize(loss)
    with tf.control_dependencies([step]):
        tf.train.ExponentialMovingAverage(0.9).apply([loss])
    v1.summary.scalar("loss", loss)
    v1.metrics.accuracy(tf.argmax(y, 1), tf.argmax(scores, 1))


def regression(tf: Any, v1: Any) -> None:
    x, y = v1.placeholder(tf.float32, [None, 6], "features"), v1.placeholder(tf.float32, [None, 1], "observed")
    value = tf.matmul(x, variable(tf, 6, 1), name="value")
    v1.train.AdamOptimizer().minimize(tf.reduce_mean(tf.square(value - y)))


def evaluation_alone(tf: Any, v1: Any) -> None:
    """No optimiser shows that it trains."""
    x, y = v1.placeholder(tf.float32, [None, 6], "features"), v1.placeholder(tf.int64, [None], "correct")
    tf.reduce_mean(tf.cast(tf.equal(tf.argmax(tf.matmul(x, variable(tf, 6, 3), name="scores"), 1), y), tf.float32))


@pytest.mark.parametrize(
    ("build", "takes", "gives"),
    [
        (lenet, "Placeholder:float32[batch,8,8,1]", "add_1:float32[batch,10]"),
        (by_hand, "Placeholder:float32[batch,6]", "scores:float32[batch,3]"),
        (regression, "features:float32[batch,6]", "value:float32[batch,1]"),
        (evaluation_alone, "features:float32[batch,6]", "scores:float32[batch,3]"),
    ],
)
def test_the_answer_is_neither_a_loss_nor_a_count(trained: Any, read: Any, build: Build, takes: str, gives: str) -> None:
    path = trained(build)
    assert interface(read(path)) == ([takes], [gives])
    assert any(note.startswith(f"candidates for --outputs: {gives} (") for note in sources.inspect(path).notes), "without TensorFlow too"


def test_a_choice_is_asked_with_types_shapes_and_the_spelling(trained: Any, read: Any) -> None:
    def two_heads(tf: Any, v1: Any) -> None:
        x, a, b = (v1.placeholder(tf.float32, [None, size]) for size in (6, 3, 2))
        scores, boxes = tf.matmul(x, variable(tf, 6, 3), name="scores"), tf.matmul(x, variable(tf, 6, 2), name="boxes")
        loss = tf.nn.softmax_cross_entropy_with_logits(labels=a, logits=scores) + tf.reduce_sum(tf.abs(boxes - b), 1)
        v1.train.AdamOptimizer().minimize(tf.reduce_mean(loss))

    path = trained(two_heads)
    asked = r"scores:float32\[batch,3\] \(MatMul\), boxes:float32\[batch,2\] \(MatMul\); .*--outputs scores or --outputs scores,boxes$"
    with pytest.raises(UsageError, match=asked):
        read(path)
    assert interface(read(path, outputs=("boxes", "scores")))[1] == ["boxes:float32[batch,2]", "scores:float32[batch,3]"]

    def autoencoder(tf: Any, v1: Any) -> None:
        x = v1.placeholder(tf.float32, [None, 6], "x")
        again = tf.sigmoid(tf.matmul(tf.matmul(x, variable(tf, 6, 2)), variable(tf, 2, 6)), name="again")
        v1.train.AdamOptimizer().minimize(tf.reduce_mean(tf.square(x - again)))

    with pytest.raises(UsageError, match=r"as a loss is: Mean:float32\[\].*again:float32\[batch,6\] \(Sigmoid\).*--outputs again$"):
        read(path := trained(autoencoder))
    assert "again:float32[batch,6] (Sigmoid)" in sources.inspect(path).notes[-1]


def test_a_data_set_of_its_own_is_replaced_by_the_tensor_that_it_names(trained: Any, read: Any) -> None:
    def piped(tf: Any, v1: Any) -> None:
        rows = tf.data.Dataset.from_tensor_slices((np.ones((6, 4), np.float32), np.zeros(6, np.int64))).batch(2)
        x, y = v1.data.make_one_shot_iterator(rows).get_next()
        logits = tf.matmul(x, variable(tf, 4, 3), name="logits")
        v1.train.AdamOptimizer().minimize(tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)))

    path = trained(piped)
    with pytest.raises(SourceError, match=r"data set of its own: IteratorGetNext.*--input 'IteratorGetNext:float32\[batch,4\]'$"):
        read(path)
    loaded = read(path, "IteratorGetNext:float32[batch,4]")
    assert interface(loaded) == (["IteratorGetNext:float32[batch,4]"], ["logits:float32[batch,3]"])
    x = weights(2, 4, seed=3)
    np.testing.assert_allclose(answers(loaded, IteratorGetNext=x)["logits"], x @ weights(4, 3), rtol=1e-5)


def test_a_picture_without_a_batch(trained: Any, read: Any) -> None:
    def styled(tf: Any, v1: Any) -> None:
        image = v1.placeholder(tf.uint8, [8, 6, 3], "image")
        x = tf.expand_dims(tf.cast(image, tf.float32) - 127.0, 0)
        tf.identity(tf.nn.conv2d(x, variable(tf, 3, 3, 3, 3), 1, "SAME")[0], name="styled")

    loaded = read(trained(styled))
    (image,) = loaded.signature.inputs
    assert (str(image), image.sample_axis) == ("image:uint8[8,6,3]", None)
    assert answers(loaded, image=np.zeros((8, 6, 3), np.uint8))["styled"].shape == (8, 6, 3)


# Loops as TensorFlow 1 wrote them.

STEPS, WIDTH = 5, 3


def recurrent(tf: Any, v1: Any, *, resource: bool = False) -> Any:
    """What ``dynamic_rnn`` writes: TensorArrays in a loop whose states begin with the size of the batch. [batch, 5, 3] to [batch, 2]."""
    x = v1.placeholder(tf.float32, [None, STEPS, WIDTH], "x")
    weight = variable(tf, WIDTH + 4, 4, resource=resource)
    steps, kept = (v1.TensorArray(tf.float32, size=STEPS) for _ in range(2))
    steps = steps.unstack(tf.transpose(x, [1, 0, 2]))

    def step(time: Any, state: Any, kept: Any) -> Any:
        state = tf.tanh(tf.matmul(tf.concat([steps.read(time), state], 1), weight))
        return time + 1, state, kept.write(time, state)

    state = tf.zeros(tf.concat([tf.shape(x)[:1], [4]], 0))
    _, _, kept = v1.while_loop(lambda time, *_: time < STEPS, step, (tf.constant(0), state, kept))
    return tf.matmul(tf.transpose(kept.stack(), [1, 0, 2])[:, -1], variable(tf, 4, 2, seed=1), name="scores")


def by_numpy(x: Any) -> Any:
    state = np.zeros((len(x), 4))
    for step in range(STEPS):
        state = np.tanh(np.concatenate([x[:, step], state], 1) @ weights(WIDTH + 4, 4))
    return state @ weights(4, 2, seed=1)


X = np.random.default_rng(0).standard_normal((6, STEPS, WIDTH)).astype(np.float32)


def saved(path: Path, build: Callable[..., Any], name: str) -> Path:
    """The SavedModel of a graph of TensorFlow 1, whose input is ``x``."""
    with old_control_flow() as tf, tf.compat.v1.Session() as session:
        answer = build(tf, tf.compat.v1)
        session.run(tf.compat.v1.global_variables_initializer())
        graph = tf.compat.v1.get_default_graph()
        tf.compat.v1.saved_model.simple_save(session, str(path), {"steps": graph.get_tensor_by_name("x:0")}, {name: answer})
    return path


def frozen(path: Path, build: Callable[..., Any]) -> Path:
    with old_control_flow() as tf, tf.compat.v1.Session() as session:
        answer = build(tf, tf.compat.v1)
        session.run(tf.compat.v1.global_variables_initializer())
        convert = tf.compat.v1.graph_util.convert_variables_to_constants
        path.write_bytes(convert(session, session.graph.as_graph_def(), [answer.op.name]).SerializeToString())
    return path


def test_a_while_loop_of_three_lines(tmp_path: Path, read: Any) -> None:
    def looped(tf: Any, v1: Any) -> Any:
        x = v1.placeholder(tf.float32, [None, 4], "x")
        return tf.identity(v1.while_loop(lambda n, y: n < 5, lambda n, y: (n + 1, y * 2.0 + x), (tf.constant(0), x))[1], "y")

    path = frozen(tmp_path / "while.pb", looped)
    assert "Enter" in {node.op for node in tensorflow_graph.read_graph(path).node}
    loaded = read(path)
    assert interface(loaded) == (["x:float32[batch,4]"], ["y:float32[batch,4]"])
    np.testing.assert_array_equal(answers(loaded, x=np.ones((2, 4), np.float32))["y"], np.full((2, 4), 63.0))
    wide = tensorflow_function.open_function(loaded.graph.path, double=True)({"x": np.ones((2, 4), np.float32)})["y"]
    assert wide.dtype == np.float64
    with pytest.raises(StepFailed, match="in a session alone"):
        tensorflow_function.concrete(loaded.graph.path)


@pytest.mark.parametrize("resource", [False, True])
def test_a_recurrent_checkpoint_after_training(trained: Any, read: Any, resource: bool) -> None:
    def build(tf: Any, v1: Any) -> None:
        scores, y = recurrent(tf, v1, resource=resource), v1.placeholder(tf.int64, [None])
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=scores))
        v1.train.AdamOptimizer().minimize(loss)

    loaded = read(trained(build), given={"x": X})
    assert interface(loaded) == (["x:float32[batch,5,3]"], ["scores:float32[batch,2]"])
    np.testing.assert_allclose(answers(loaded, x=X)["scores"], by_numpy(X), atol=1e-6)


def test_a_saved_model_with_loops_is_called_by_its_signature_and_converted(tmp_path: Path, read: Any) -> None:
    loaded = read(saved(tmp_path / "saved", recurrent, "scores"), given={"steps": X})
    assert interface(loaded) == (["steps:float32[batch,5,3]"], ["scores:float32[batch,2]"])
    np.testing.assert_allclose(answers(loaded, steps=X)["scores"], by_numpy(X), atol=1e-6)
    call = tensorflow_function.open_function(loaded.graph.path)
    given = samples.write(tmp_path / "again", {"steps": X})
    graph, entry = frozen_graph.frozen(TensorFlowSubject(graph=loaded.graph, signature=loaded.signature, samples=given, call=call))
    assert [port.name for port in entry.inputs] == ["steps"]
    assert "LoopCond" in {node.op for node in graph.node}, "tf2onnx and OpenVINO read the old loops themselves"


def test_a_loop_in_a_branch_that_never_runs_is_gone(tmp_path: Path, read: Any) -> None:
    def branched(tf: Any, v1: Any) -> Any:
        x, training = v1.placeholder(tf.float32, [None, 4], "x"), v1.placeholder(tf.bool, [], "is_training")
        loop = lambda: v1.while_loop(lambda n, y: n < 3, lambda n, y: (n + 1, y * 1.5), (tf.constant(0), x))[1]  # noqa: E731
        return tf.identity(tf.cond(training, loop, lambda: x * 2.0), "y")

    loaded = read(frozen(tmp_path / "branch.pb", branched))
    graph = tensorflow_graph.read_graph(loaded.graph.path / tensorflow_entry.GRAPHDEF)
    assert not {"Enter", "Merge", "Switch", "NextIteration"} & {node.op for node in graph.node}
    np.testing.assert_array_equal(answers(loaded, x=np.ones((2, 4), np.float32))["y"], np.full((2, 4), 2.0))


def test_the_state_that_a_loop_leaves_behind_is_no_answer(tmp_path: Path, read: Any) -> None:
    with old_control_flow() as tf:
        recurrent(tf, tf.compat.v1)
        path = tmp_path / "rnn.pb"
        graph = tf.compat.v1.get_default_graph()
        assert any(op.type == "Exit" and not op.outputs[0].consumers() for op in graph.get_operations())
    path = frozen(path, recurrent)
    assert interface(read(path))[1] == ["scores:float32[batch,2]"]


# Tables.


def words(tf: Any, v1: Any) -> None:
    """Words to numbers by a table, numbers to weights, the best of them back to a name by another."""
    x = v1.placeholder(tf.string, [None], "words")
    number = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["no", "yes"], tf.constant([0, 1], tf.int64)), 2).lookup(x)
    scores = tf.gather(variable(tf, 3, 2), number, name="scores")
    names = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.range(2, dtype=tf.int64), ["bad", "good"]), "?")
    tf.identity(names.lookup(tf.argmax(scores, 1)), name="name")


def test_the_tables_of_a_checkpoint_are_kept_filled(trained: Any, read: Any) -> None:
    given = np.array([b"yes", b"no", b"maybe", b"no"], object)
    loaded = read(trained(words), given={"words": given}, outputs=("scores", "name"))
    entry = tensorflow_entry.read_entry(loaded.graph.path)
    assert len(entry.initialisers) == 2
    wanted = weights(3, 2)[[1, 0, 2, 0]]
    found = answers(loaded, words=given)
    np.testing.assert_array_equal(found["scores"], wanted)
    assert list(found["name"]) == [[b"bad", b"good"][best] for best in wanted.argmax(1)]
    with pytest.raises(StepFailed, match=r"tables \(.* fills them\), which TensorFlow alone has"):
        _graphdef.read(loaded.graph.path, loaded.signature)
