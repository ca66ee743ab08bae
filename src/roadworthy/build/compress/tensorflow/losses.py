"""The losses of ``OutputLoss`` on TensorFlow tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roadworthy.build.compress.outputs import LEAST, NO_CLASS, OutputLoss
from roadworthy.frameworks.tensorflow.framework import framework


def soft(loss: OutputLoss, given: Any, wanted: Any, temperature: float) -> Any:
    """How far the answers ``given`` are from the original's, ``wanted``; both are in the output's own shape.

    The divergence of the softened probabilities, times the squared temperature, so that its slope does not depend on the temperature
    (Hinton, Vinyals and Dean 2015); the squared error of values, in units of their mean square.
    """
    tf = framework()
    if loss.form == "values":
        return tf.reduce_mean(tf.square(given - wanted)) / loss.scale
    squared = temperature * temperature
    ours, theirs = _logits(loss, given) / temperature, _logits(loss, wanted) / temperature
    if loss.form == "shares":
        target = tf.sigmoid(theirs)
        crossed = tf.nn.sigmoid_cross_entropy_with_logits(target, ours) - tf.nn.sigmoid_cross_entropy_with_logits(target, theirs)
        return squared * tf.reduce_mean(crossed)
    ours, theirs = tf.nn.log_softmax(ours, axis=loss.axis), tf.nn.log_softmax(theirs, axis=loss.axis)
    return squared * tf.reduce_mean(tf.reduce_sum(tf.exp(theirs) * (theirs - ours), axis=loss.axis))


def hard(loss: OutputLoss, given: Any, labels: Any) -> Any:
    """How far the answers ``given`` are from prepared ``labels``: cross-entropy, or the squared error of values as above."""
    tf = framework()
    if loss.form == "values":
        return tf.reduce_mean(tf.square(given - tf.reshape(labels, tf.shape(given)))) / loss.scale
    if loss.form == "shares":
        logits = _logits(loss, given)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.reshape(labels, tf.shape(given)), logits))
    logs = tf.nn.log_softmax(_logits(loss, given), axis=loss.axis)
    # Pixels that do not count have no entry, because NO_CLASS is not an index: their part of the sum is zero.
    picked = tf.reduce_sum(logs * tf.one_hot(labels, logs.shape[loss.axis], axis=loss.axis, dtype=logs.dtype))
    counted = tf.reduce_sum(tf.cast(tf.not_equal(labels, NO_CLASS), logs.dtype))
    return -picked / tf.maximum(counted, 1.0)


def features(given: Sequence[Any], wanted: Sequence[Any]) -> Any:
    """The mean over layers of the squared error of their answers, each in units of the original's mean square."""
    tf = framework()
    pairs = zip(given, wanted, strict=True)
    errors = [tf.reduce_mean(tf.square(ours - theirs)) / tf.maximum(tf.reduce_mean(tf.square(theirs)), LEAST) for ours, theirs in pairs]
    return tf.add_n(errors) / len(errors)


def _logits(loss: OutputLoss, given: Any) -> Any:
    """Scores whose softmax or sigmoid the answers are."""
    tf = framework()
    if not loss.applied:
        return given
    if loss.form == "classes":
        return tf.math.log(tf.maximum(given, LEAST))
    safe = tf.clip_by_value(given, LEAST, 1.0 - LEAST)
    return tf.math.log(safe) - tf.math.log1p(-safe)
