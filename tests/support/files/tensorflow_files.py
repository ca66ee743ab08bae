"""TensorFlow model files as tools of different ages write them; small, seeded, and made once for all tests that read them.

Importing this module costs nothing: TensorFlow is imported by the builders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SIDE, CLASSES = 8, 3
RATE = 0.5


def weights(*shape: int, seed: int = 0) -> Any:
    """float32 weights of a fixed draw."""
    return (np.random.default_rng(seed).standard_normal(shape) / np.sqrt(np.prod(shape[:-1]) or 1)).astype(np.float32)


def images(count: int, seed: int = 0) -> Any:
    """float32 [count, 8, 8, 1]."""
    return np.random.default_rng(seed).standard_normal((count, SIDE, SIDE, 1)).astype(np.float32)


def flatten_of_contrib(x: Any) -> Any:
    """``tf.contrib.layers.flatten`` as its later releases built it, from primitive operations."""
    tf = _tf()
    inner = int(np.prod(x.shape.as_list()[1:]))
    batch = tf.strided_slice(tf.shape(x), [0], [1], [1], shrink_axis_mask=1)
    return tf.reshape(x, tf.stack([batch, inner if x.shape[1:].is_fully_defined() else -1]))


def flatten_of_early_contrib(x: Any) -> Any:
    """The same as its first releases built it: slices, a product and a concatenation."""
    tf = _tf()
    shape, rank = tf.shape(x), len(x.shape)
    batch, rest = tf.slice(shape, [0], [1]), tf.slice(shape, [1], [rank - 1])
    return tf.reshape(x, tf.concat([batch, tf.expand_dims(tf.reduce_prod(rest), 0)], 0))


def network(image: Any, training: Any, keep: Any, *, make: Any, flatten: Any = flatten_of_contrib) -> Any:
    """Convolution, batch normalisation by a switch, flatten, dropout, dense: logits [n, 3]. ``make(name, array)`` gives the weights."""
    tf = _tf()
    x = tf.nn.conv2d(image, make("conv/kernel", weights(3, 3, 1, 4)), 1, "SAME")
    mean, variance = make("bn/moving_mean", weights(4, seed=1)), make("bn/moving_variance", 1 + weights(4, seed=2) ** 2)
    scale, offset = make("bn/gamma", 1 + weights(4, seed=3)), make("bn/beta", weights(4, seed=4))

    def by_the_batch() -> Any:
        return tf.compat.v1.nn.fused_batch_norm(x, scale, offset, is_training=True)[0]

    def by_the_past() -> Any:
        return tf.compat.v1.nn.fused_batch_norm(x, scale, offset, mean, variance, is_training=False)[0]

    x = tf.nn.relu(tf.cond(training, by_the_batch, by_the_past))
    x = flatten(tf.nn.max_pool2d(x, 2, 2, "VALID"))
    x = tf.compat.v1.nn.dropout(x, keep_prob=keep)
    return tf.add(
        tf.matmul(x, make("dense/kernel", weights(64, CLASSES, seed=5))), make("dense/bias", weights(CLASSES, seed=6)), name="logits"
    )


def expected(image: Any) -> Any:
    """What ``network`` gives in inference mode, in NumPy and float64."""
    kernel, x = weights(3, 3, 1, 4).astype(np.float64), np.pad(image.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    x = np.einsum("nhwcij,ijco->nhwo", windows, kernel)
    mean, variance = weights(4, seed=1).astype(np.float64), (1 + weights(4, seed=2) ** 2).astype(np.float64)
    x = (x - mean) / np.sqrt(variance + np.float32(1e-3)) * (1 + weights(4, seed=3)) + weights(4, seed=4)
    x = np.maximum(x, 0).reshape(len(x), 4, 2, 4, 2, 4).max((2, 4)).reshape(len(x), -1)
    return x @ weights(64, CLASSES, seed=5).astype(np.float64) + weights(CLASSES, seed=6)


def frozen_graph(
    path: Path, *, flatten: Any = flatten_of_contrib, ends: int = 1, variables: bool = False, device: str = "", old_branches: bool = False
) -> Path:
    """A frozen GraphDef with ``is_training`` and ``keep_prob`` placeholders; with two ``ends``, or with variables that are not frozen.

    ``old_branches`` writes ``tf.cond`` as TensorFlow 1 did, with Switch and Merge.
    """
    tf = _tf()
    graph = tf.Graph()
    modern = tf.compat.v1.control_flow_v2_enabled()
    if old_branches:
        tf.compat.v1.disable_control_flow_v2()
    try:
        with graph.as_default(), graph.device(device):
            image = tf.compat.v1.placeholder(tf.float32, [None, SIDE, SIDE, 1], "image")
            training, keep = tf.compat.v1.placeholder(tf.bool, name="is_training"), tf.compat.v1.placeholder(tf.float32, name="keep_prob")
            make = _variable if variables else lambda name, array: tf.constant(array, name=name)
            logits = network(image, training, keep, make=make, flatten=flatten)
            tf.nn.softmax(logits, name="probabilities")
            if ends > 1:
                tf.reduce_max(logits, 1, name="largest")
    finally:
        if modern:
            tf.compat.v1.enable_control_flow_v2()
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def checkpoint(folder: Path, *, resource: bool = False) -> Path:
    """The ``.meta`` of a training run's checkpoint: labels, loss, optimiser, moving averages, summaries, all of it in the graph."""
    tf = _tf()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        image, labels = v1.placeholder(tf.float32, [None, SIDE, SIDE, 1], "images"), v1.placeholder(tf.int64, [None], "labels")
        training, keep = v1.placeholder(tf.bool, name="phase_train"), v1.placeholder(tf.float32, name="keep_prob")
        logits = network(image, training, keep, make=lambda name, array: _variable(name, array, resource=resource))
        tf.identity(tf.nn.softmax(logits), name="predictions")
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        v1.summary.scalar("loss", loss)
        v1.summary.histogram("predictions", logits)
        right = tf.equal(tf.argmax(logits, 1), labels)
        tf.reduce_mean(tf.cast(right, tf.float32), name="accuracy")
        average = tf.train.ExponentialMovingAverage(0.9)
        step = v1.train.AdamOptimizer(1e-3).minimize(loss, global_step=v1.train.get_or_create_global_step())
        with tf.control_dependencies([step]):
            average.apply([loss])
        v1.summary.merge_all()
        session.run(v1.global_variables_initializer())
        session.run(step, {image: images(4), labels: [0, 1, 2, 0], training: False, keep: RATE})
        return Path(f"{v1.train.Saver().save(session, str(folder / 'model.ckpt'), global_step=1)}.meta")


def checkpoint_of_layers(folder: str) -> None:
    """``layers.ckpt.meta`` by ``tf.compat.v1.layers``, with what it answers in ``wanted.npy``; for a process that asked for Keras 2."""
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_eager_execution()
    v1.disable_control_flow_v2()
    with v1.Session() as session:
        x, training = v1.placeholder(tf.float32, [None, SIDE, SIDE, 1], "x"), v1.placeholder(tf.bool, [], "is_training")
        wanted = v1.placeholder(tf.float32, [None, CLASSES], "y")
        y = v1.layers.conv2d(x, 4, 3, activation=tf.nn.relu)
        y = v1.layers.batch_normalization(y, training=training)
        y = v1.layers.dropout(v1.layers.flatten(y), 0.5, training=training)
        y = v1.layers.dense(y, CLASSES)
        with tf.control_dependencies(v1.get_collection(v1.GraphKeys.UPDATE_OPS)):
            step = v1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(tf.square(y - wanted)))
        session.run(v1.global_variables_initializer())
        session.run(step, {x: images(8), wanted: np.zeros((8, CLASSES)), training: True})
        v1.train.Saver().save(session, f"{folder}/layers.ckpt")
        np.save(f"{folder}/wanted.npy", session.run(y, {x: images(3), training: False}))


KERAS_PARAMETERS = 40 + 16 + 64 * CLASSES + CLASSES


def keras_saved_model(path: Path, *, way: str) -> Path:
    """A Keras 3 model with batch normalisation and dropout, by ``model.export`` or by ``tf.saved_model.save``."""
    import keras

    layers = keras.layers
    model = keras.Sequential([
        keras.Input((SIDE, SIDE, 1), name="image"),
        layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(), layers.MaxPool2D(2),
        layers.Flatten(), layers.Dropout(RATE), layers.Dense(CLASSES),
    ])  # fmt: skip
    if way == "export":
        model.export(str(path), verbose=False)
    else:
        _tf().saved_model.save(model, str(path))
    return path


def keras_2_saved_model(path: Path) -> Path:
    """A directory by ``model.save`` of Keras 2, trained for a step by an optimizer with slots."""
    _tf()
    import tf_keras

    layers = tf_keras.layers
    model = tf_keras.Sequential([
        layers.InputLayer((SIDE, SIDE, 1), name="image"), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten(),
        layers.Dropout(RATE), layers.Dense(CLASSES),
    ])  # fmt: skip
    model.compile(tf_keras.optimizers.legacy.Adam(), "mse")
    model.train_on_batch(images(4), np.zeros((4, CLASSES), np.float32))
    model.save(str(path), save_format="tf")
    return path


def two_by_two(path: Path) -> Path:
    """A SavedModel of a ``tf.Module``: two inputs and two outputs, a batch each; a second signature ``only_sum``."""
    tf = _tf()

    class TwoByTwo(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(weights(4, 2))

        @tf.function(
            input_signature=[tf.TensorSpec([None, 4], tf.float32, "left"), tf.TensorSpec([None, 4], tf.float32, "a_right")],
            autograph=False,
        )
        def serve(self, left: Any, a_right: Any) -> dict[str, Any]:
            return {"sum": (left + a_right) @ self.weight, "difference": (left - a_right) @ self.weight}

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")], autograph=False)
        def only_sum(self, x: Any) -> Any:
            return tf.reduce_sum(x @ self.weight, 1)

    model = TwoByTwo()
    tf.saved_model.save(model, str(path), signatures={"serving_default": model.serve, "only_sum": model.only_sum})
    return path


def bare(path: Path, *, ways: int = 1) -> Path:
    """A SavedModel without a signature, which can be called itself in so many ways."""
    tf = _tf()

    class Bare(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(weights(4, 2))

        @tf.function(autograph=False)
        def __call__(self, x: Any, training: bool = False) -> Any:
            return tf.nn.dropout(x, 0.5) @ self.weight if training else x @ self.weight

    model = Bare()
    for number in range(ways):
        model(tf.zeros([number + 1, 4]))
    model.__call__.get_concrete_function(tf.TensorSpec([None, 4], tf.float32, "x"), training=True)
    tf.saved_model.save(model, str(path), signatures={})
    return path


def simple_save(path: Path) -> Path:
    """A TensorFlow 1 SavedModel: reference variables, a table that an operation fills, ``is_training`` and a string in its signature."""
    tf = _tf()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        image, training = v1.placeholder(tf.float32, [None, SIDE, SIDE, 1], "image"), v1.placeholder(tf.bool, [], "is_training")
        logits = network(image, training, tf.constant(1.0), make=_variable)
        names = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.range(CLASSES, dtype=tf.int64), tf.constant(["cat", "dog", "owl"])), "none"
        )
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        v1.saved_model.simple_save(
            session,
            str(path),
            inputs={"image": image, "is_training": training},
            outputs={"logits": logits, "name": names.lookup(tf.argmax(logits, 1))},
            legacy_init_op=v1.tables_initializer(),
        )
    return path


def estimator(path: Path) -> Path:
    """As an Estimator exports: serialised examples by default (classify, regress), the raw features under ``predict``."""
    tf = _tf()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], "input_example_tensor")
        features = v1.io.parse_example(examples, {"x": v1.io.FixedLenFeature([4], tf.float32)})["x"]
        scores = tf.nn.softmax(features @ _variable("kernel", weights(4, CLASSES)), name="probabilities")
        classes = tf.tile(tf.constant([["cat", "dog", "owl"]]), [tf.shape(scores)[0], 1])
        session.run(v1.global_variables_initializer())
        definition = v1.saved_model.signature_def_utils
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "serving_default": definition.classification_signature_def(examples, classes, scores),
                "regression": definition.regression_signature_def(examples, scores[:, 0]),
                "predict": definition.predict_signature_def({"x": features}, {"probabilities": scores}),
            },
        )
        builder.save()
    return path


def serialised(rows: Any) -> list[bytes]:
    """Each row of floats as the tf.train.Example that ``estimator`` takes."""
    train = _tf().train
    floats = [train.Feature(float_list=train.FloatList(value=row)) for row in rows]
    return [train.Example(features=train.Features(feature={"x": one})).SerializeToString() for one in floats]


def _variable(name: str, array: Any, *, resource: bool = False) -> Any:
    return _tf().compat.v1.Variable(array, name=name, use_resource=resource)


def _tf() -> Any:
    from roadworthy.frameworks.tensorflow import framework

    return framework.framework()
