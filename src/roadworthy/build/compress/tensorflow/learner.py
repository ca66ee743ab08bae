"""A Keras student that learns from its teacher, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from roadworthy.build.compress import checkpoint
from roadworthy.build.compress.batches import Batch
from roadworthy.build.compress.outputs import OutputLoss
from roadworthy.build.compress.rates import RateRange
from roadworthy.build.compress.stages import TeachingRecipe
from roadworthy.build.compress.tensorflow import losses as tensorflow_losses
from roadworthy.build.compress.tensorflow.features import ListenedLayers
from roadworthy.core.errors import SourceError
from roadworthy.core.types import Array, Arrays, Signature
from roadworthy.frameworks.tensorflow import keras_model
from roadworthy.frameworks.tensorflow.framework import framework
from roadworthy.frameworks.tensorflow.keras_model import KerasModel

MOMENTUM = 0.9
FOLLOWING = 0.9
"""What batch normalisation keeps of its running statistics in each batch while it learns.

Keras's own 0.99 follows after hundreds of batches, which a training of minutes may not have.
"""
STEEPEST = 10.0
"""The largest norm of the slope of all weights together: one batch that is unlike the rest does not destroy what was learned."""


class KerasLearner:
    """A student and its teacher, both as ``frameworks.tensorflow.keras_model`` loads them, of Keras 3 or tf-keras.

    All weights learn that a layer does not keep to itself (running statistics, say), those too that the user had frozen: what froze them
    was another training, before the cut. ``close`` gives the layers their own settings back.
    """

    rates = RateRange(1e-4, 3.0)

    def __init__(
        self, student: KerasModel, teacher: KerasModel, signature: Signature, losses: Sequence[OutputLoss], recipe: TeachingRecipe
    ) -> None:
        self._student, self._teacher, self._signature, self._recipe, self._losses = student, teacher, signature, recipe, losses
        layers = list(student.model._flatten_layers())
        self._trainable = [(layer, layer.trainable) for layer in layers]
        for layer in layers:
            layer.trainable = True
        self._momenta = [(layer, layer.momentum) for layer in layers if type(layer).__name__.endswith("BatchNormalization")]
        for layer, _ in self._momenta:
            layer.momentum = FOLLOWING
        self._weights = list(student.model.trainable_variables)
        if not self._weights:
            raise SourceError("the student has no weights that can learn")
        self._optimiser = keras_model.package(student.reader).optimizers.SGD(
            0.0, momentum=MOMENTUM, nesterov=True, global_clipnorm=STEEPEST
        )
        self._optimiser.build(self._weights)
        self._shared = ListenedLayers(student.model, teacher.model) if recipe.features else None
        self._step = self._compiled()

    def learn(self, batch: Batch, rate: float) -> float:
        """One step on ``batch``; the loss before it."""
        tf = framework()
        self._optimiser.learning_rate = rate
        feeds = self._signature.to_call(batch.feeds)
        return float(
            self._step({name: tf.constant(array) for name, array in feeds.items()}, {n: tf.constant(a) for n, a in batch.targets.items()})
        )

    def answers(self, feeds: Arrays) -> dict[str, Array]:
        """The student's answers in inference mode, in the layout of the signature."""
        return self._student.answer(feeds)

    def state(self) -> bytes:
        """Weights, running statistics, the seeds of dropout and the optimiser's momentum."""
        return checkpoint.packed({str(number): np.asarray(variable.numpy()) for number, variable in enumerate(self._kept())})

    def restore(self, state: bytes) -> None:
        """Continue from ``state``."""
        arrays = checkpoint.unpacked(state)
        for number, variable in enumerate(self._kept()):
            variable.assign(arrays[str(number)])

    def close(self) -> None:
        """Give the layers their own settings back."""
        for layer, momentum in self._momenta:
            layer.momentum = momentum
        # An inner layer comes after those that hold it, which hand their own setting on to it.
        for layer, trainable in self._trainable:
            layer.trainable = trainable

    def _kept(self) -> list[Any]:
        held = self._optimiser.variables
        return [*self._student.model.variables, *(held() if callable(held) else held)]

    def _compiled(self) -> Any:
        tf = framework()

        def step(feeds: Mapping[str, Any], targets: Mapping[str, Any]) -> Any:
            with self._shared or contextlib.nullcontext(), tf.GradientTape() as tape:
                wanted = self._teacher(feeds)
                given = self._student(feeds, training=True)
                loss = self._loss(given, wanted, targets)
                if self._shared is not None:
                    loss += tensorflow_losses.features(*self._shared.taken())
            slopes = tape.gradient(loss, self._weights)
            # Weights that no output depends on have no slope.
            self._optimiser.apply_gradients(
                [(slope, weight) for slope, weight in zip(slopes, self._weights, strict=True) if slope is not None]
            )
            return loss

        # TensorFlow has no kernels on a CPU for convolutions with the channels first; XLA has.
        return tf.function(step, jit_compile=keras_model.channels_first(self._student.model), autograph=False, reduce_retracing=True)

    def _loss(self, given: Mapping[str, Any], wanted: Mapping[str, Any], targets: Mapping[str, Any]) -> Any:
        ours, theirs = self._rows(given), self._rows(wanted)
        total: Any = 0.0
        for loss in self._losses:
            labels = targets.get(loss.output)
            part = 1.0 if labels is None else self._recipe.soft
            if part:
                total += part * tensorflow_losses.soft(loss, ours[loss.output], theirs[loss.output], self._recipe.temperature)
            if labels is not None and part < 1.0:
                total += (1.0 - part) * tensorflow_losses.hard(loss, ours[loss.output], labels)
        return total

    def _rows(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        tf = framework()
        axes = {spec.name: spec.sample_axis or 0 for spec in self._signature.outputs}

        def first(tensor: Any, axis: int) -> Any:
            rest = [number for number in range(len(tensor.shape)) if number != axis]
            return tf.transpose(tensor, [axis, *rest]) if axis else tensor

        return {name: first(tensor, axes[name]) for name, tensor in answer.items()}
