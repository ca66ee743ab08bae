"""Which channels of a block matter: by their weights, by the scale of their normalisation, or by the model's own answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from roadworthy.build.compress.stages import Importance
from roadworthy.build.compress.tensorflow.walk import LiveBlock, Place
from roadworthy.build.compress.tensorflow.watching import calls, watched
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Signature
from roadworthy.frameworks.tensorflow import framework, keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasModel

MOST, AT_ONCE = 256, 32
"""Samples that the gradient is taken of, in all and in one call."""


def scores(
    importance: Importance, blocks: Sequence[LiveBlock], model: KerasModel, signature: Signature, samples: SampleSet
) -> Mapping[str, Array]:
    """How much each channel matters, float64 [channels], by the block's name; the least is cut first.

    A block without the scale of a batch normalisation has its weights' magnitudes for ``batchnorm`` too.
    """
    if importance == "gradient":
        return _gradients(blocks, model, signature, samples)
    return {block.name: _scale(block) if importance == "batchnorm" else _magnitude(block) for block in blocks}


def kept(block: LiveBlock, score: Array, width: int) -> Array:
    """The ``width`` channels that matter most, in rising order, int64 [width]; the same number from each group."""
    grouped = score.reshape(block.groups, -1)
    # A stable order: of equal channels the first are kept.
    best = np.argsort(-grouped, axis=1, kind="stable")[:, : width // block.groups]
    return np.sort((best + np.arange(block.groups)[:, None] * grouped.shape[1]).reshape(-1))


def _magnitude(block: LiveBlock) -> Array:
    return _together([_sums(getattr(maker.call.layer, maker.touches[0].weight), maker.touches[0].axis) for maker in block.makers])


def _scale(block: LiveBlock) -> Array:
    scales = [(touch, place.call.layer) for place in block.places for touch in place.touches if touch.weight == "gamma"]
    if not scales:
        return _magnitude(block)
    return _together([_by_channel(block, touch.origin, _sums(layer.gamma, 0)) for touch, layer in scales])


def _sums(weight: Any, axis: int) -> Array:
    """The sum of the magnitudes at each position along ``axis``, float64."""
    magnitudes = np.moveaxis(np.abs(weight.numpy().astype(np.float64)), axis, 0)
    return np.asarray(magnitudes.reshape(len(magnitudes), -1).sum(axis=1))


def _together(parts: list[Array]) -> Array:
    """The sum of ``parts``, each relative to its mean: layers whose channels are joined count alike, whatever their number of weights."""
    return np.asarray(sum(part / max(float(part.mean()), 1e-30) for part in parts))


def _by_channel(block: LiveBlock, origin: Array, values: Array) -> Array:
    """The sum of the ``values`` of each channel's positions."""
    held = origin >= 0
    return np.bincount(origin[held], values[held], minlength=block.channels)


def _gradients(blocks: Sequence[LiveBlock], model: KerasModel, signature: Signature, samples: SampleSet) -> Mapping[str, Array]:
    """How far the answers would move to first order without a channel, squared, by block (Molchanov 2019, with gates).

    A channel's gate is at the layers that take it. The answers are seen through random signs, of which the square of the sum is, on
    average, the sum of the squares; answers that are probabilities are seen as logarithms. No labels are used.
    """
    tf = framework.framework()
    generator = np.random.default_rng(0)
    takers = {place.call.path: place.call.layer for block in blocks for place in block.takers}

    @tf.function(jit_compile=keras_model.channels_first(model.model), autograph=False)  # type: ignore[untyped-decorator]
    def moved(feeds: Mapping[str, Any], signs: Mapping[str, Any]) -> dict[str, Any]:
        gates: dict[str, Any] = {}

        def around(path: str, call: Callable[[Any], Any], taken: Any) -> Any:
            # An identity each: layers that take the same tensor have gradients of their own.
            gates[path] = tf.identity(taken)
            tape.watch(gates[path])
            return call(gates[path])

        with tf.GradientTape() as tape, watched(takers, around):
            answers = model(feeds)
            seen = tf.add_n([tf.reduce_sum(_seen(answers[name]) * signs[name]) for name in signs])
        gradients = tape.gradient(seen, gates)
        return {path: gates[path] * gradients[path] for path in gates if gradients[path] is not None}

    total = {block.name: np.zeros(block.channels) for block in blocks}
    for feeds in calls(signature, samples, MOST, AT_ONCE):
        answers = model.answer(feeds)
        signs = {name: _signs(generator, answer) for name, answer in answers.items() if answer.dtype.kind == "f"}
        found = {path: tensor.numpy() for path, tensor in moved(feeds, signs).items()}
        for block in blocks:
            parts = [_gates(block, place, found[place.call.path]) for place in block.takers if place.call.path in found]
            total[block.name] += np.square(sum(parts, np.zeros(block.channels))).sum(axis=0)
    return total


def _gates(block: LiveBlock, place: Place, effect: Array) -> Array:
    """What the channels do in one place, float64 [samples, channels]."""
    assert place.taken is not None
    moved = np.moveaxis(effect.astype(np.float64), place.taken.axis, 1)
    each = moved.reshape(*moved.shape[:2], -1).sum(axis=2)
    return np.stack([_by_channel(block, place.taken.origin, row) for row in each])


def _signs(generator: np.random.Generator, answer: Array) -> Array:
    return generator.choice(np.array([-1, 1], answer.dtype), answer.shape)


def _seen(answer: Any) -> Any:
    """``answer``, or its logarithm where its rows are probabilities."""
    tf = framework.framework()
    if answer.shape.rank is None or answer.shape.rank < 2:
        return answer
    probable = tf.reduce_all(tf.abs(tf.reduce_sum(answer, -1) - 1) < 1e-3) & tf.reduce_all(answer >= 0)
    return tf.where(probable, tf.math.log(tf.maximum(answer, 1e-7)), answer)
