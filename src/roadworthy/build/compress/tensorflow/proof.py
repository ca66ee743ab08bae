"""The proof of a cut: the original whose layers ignore the channels that were cut must answer as the model without them does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roadworthy.build.compress.tensorflow import finding, wiring
from roadworthy.build.compress.tensorflow.walk import LiveBlock
from roadworthy.build.compress.tensorflow.watching import calls, watched
from roadworthy.core.numerics import output_error
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Signature
from roadworthy.frameworks.tensorflow import framework, keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasModel

MOST, AT_ONCE = 16, 4
"""Samples that both models answer, in all and in one call: the answers of every layer that was cut are held in memory."""


@dataclass
class CutProof:
    """The largest difference relative to the scale of the original's numbers: of the model's answers, and of each layer's in order."""

    answers: float = 0.0
    layers: dict[str, float] = field(default_factory=dict)

    def first(self, tolerance: float) -> str:
        """The path of the first layer beyond ``tolerance``; empty where there is none."""
        return next((path for path, error in self.layers.items() if not error <= tolerance), "")


def differences(
    original: KerasModel,
    smaller: KerasModel,
    chosen: Sequence[LiveBlock],
    keep: Mapping[str, Array],
    signature: Signature,
    samples: SampleSet,
) -> CutProof:
    """``original`` against ``smaller`` on a few samples, layer by layer; ``original`` then ignores what was cut."""
    _ignore(chosen, keep)
    made = {maker.call.path: (maker.made.axis, keep[block.name]) for block in chosen for maker in block.makers if maker.made}
    paths = {*made, *(taker.call.path for block in chosen for taker in block.takers)}
    one, other = (_probe(model, paths) for model in (original, smaller))
    found = CutProof()
    for feeds in calls(signature, samples, MOST, AT_ONCE):
        (wanted, inner), (answers, parts) = one(feeds), other(feeds)
        found.answers = max(found.answers, *(output_error(answers[name], wanted[name]) for name in wanted))
        for path, array in inner.items():
            if path in made:
                array = np.take(array, made[path][1], axis=made[path][0])
            found.layers[path] = max(found.layers.get(path, 0.0), output_error(parts[path], array))
    return found


def _ignore(chosen: Sequence[LiveBlock], keep: Mapping[str, Array]) -> None:
    """Set to zero, in the layers that take the channels, every weight that a channel is multiplied by which is cut."""
    for block in chosen:
        for place in block.takers:
            for touch in place.touches:
                weight = getattr(place.call.layer, touch.weight)
                array = np.moveaxis(np.array(weight.numpy()), touch.axis, 0)
                array[~finding.stays(touch.origin, keep[block.name])] = 0
                weight.assign(np.moveaxis(array, 0, touch.axis))


def _probe(model: KerasModel, paths: set[str]) -> Callable[[Mapping[str, Array]], tuple[dict[str, Array], dict[str, Array]]]:
    """A function from inputs to the answers of ``model`` and of its layers at ``paths``."""
    tf = framework.framework()
    layers = {path: layer for path, layer in wiring.layers(model.model) if path in paths}

    @tf.function(jit_compile=keras_model.channels_first(model.model), autograph=False)  # type: ignore[untyped-decorator]
    def run(feeds: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        seen: dict[str, Any] = {}

        def around(path: str, call: Callable[[Any], Any], taken: Any) -> Any:
            seen[path] = call(taken)
            return seen[path]

        with watched(layers, around):
            return model(feeds), seen

    def arrays(feeds: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        answers, seen = run({name: tf.convert_to_tensor(array) for name, array in feeds.items()})
        return {name: each.numpy() for name, each in answers.items()}, {path: each.numpy() for path, each in seen.items()}

    return arrays
