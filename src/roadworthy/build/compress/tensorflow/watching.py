"""The layers of a Keras model while it runs. Keras has no hooks: the ``call`` of a layer is replaced for the length of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from roadworthy.core.errors import DataError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Signature
from roadworthy.frameworks.tensorflow import framework

Around: TypeAlias = Callable[[str, Callable[[Any], Any], Any], Any]
"""From a layer's path, its call and the tensor that it takes, to its answer."""


@contextmanager
def watched(layers: Mapping[str, Any], around: Around) -> Iterator[None]:
    """Inside the block each call of these layers, by path, is that of ``around``."""
    # A layer may stand in two models, and so have two paths.
    unique = {id(layer): (path, layer) for path, layer in layers.items()}

    def replaced(path: str, layer: Any) -> Any:
        call = layer.call

        def run(taken: Any, *arguments: Any, **options: Any) -> Any:
            return around(path, lambda value: call(value, *arguments, **options), taken)

        return framework.framework().autograph.experimental.do_not_convert(run)

    # Past the layers' own __setattr__, which would keep track of what is set.
    for path, layer in unique.values():
        object.__setattr__(layer, "call", replaced(path, layer))
    try:
        yield
    finally:
        for _, layer in unique.values():
            object.__delattr__(layer, "call")


def calls(signature: Signature, samples: SampleSet, most: int, at_once: int) -> Iterator[dict[str, Array]]:
    """The inputs of whole calls of at most ``at_once`` samples each, the first ``most`` samples in all, in the model's layout.

    DataError where there are fewer samples than one call of the model takes.
    """
    size = signature.call_size(min(at_once, samples.count))
    if not 0 < size <= samples.count:
        raise DataError(f"the model takes {size} samples in one call, and there are {samples.count}")
    for start in range(0, max(size, min(most, samples.count)) - size + 1, size):
        rows = samples.feeds(start, start + size)
        yield {spec.name: spec.to_call(rows[spec.name]) for spec in signature.inputs}
