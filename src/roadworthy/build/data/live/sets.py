"""The data sets of the frameworks, each known by the name of its class: no framework is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any

import numpy as np

from roadworthy.build.data.live.wanted import Items, Wanted
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note

Adaptor = Callable[[Any, Wanted], Items]
ENDLESS = 10_000
"""Samples that are taken of what does not say where it ends."""


def loader(data: Any, wanted: Wanted) -> Items:
    """A PyTorch ``DataLoader``; without a batch size its items are single samples."""
    notes: tuple[Note, ...] = ()
    if type(getattr(data, "sampler", None)).__name__ in ("RandomSampler", "WeightedRandomSampler", "SubsetRandomSampler"):
        notes = (Note("the DataLoader draws in random order: what it gave once was kept, and every figure is of these samples"),)
    batched = getattr(data, "batch_size", None) is not None or getattr(data, "batch_sampler", None) is not None
    return Items("the DataLoader", data, batched, ends=has_length(data), classes=classes_of(getattr(data, "dataset", None)), notes=notes)


def stream(data: Any, wanted: Wanted) -> Items:
    """A set that can only be gone through, sample by sample: an ``IterableDataset``."""
    return Items(f"the {type(data).__name__}", data, ends=has_length(data))


def indexed(data: Any, wanted: Wanted) -> Items:
    """A set with a length and samples by number: a ``Dataset`` of PyTorch or Hugging Face, or a class that has the two methods.

    Of more samples than are wanted, evenly random ones are read: such a set is often sorted by class.
    """
    what, count = f"the {type(data).__name__}", len(data)
    if wanted.limit is None or wanted.limit >= count:
        return Items(what, (data[index] for index in range(count)), classes=classes_of(data), picked=True)
    order = np.sort(np.random.default_rng(0).choice(count, wanted.limit, replace=False)).tolist()
    note = Note(f"{wanted.limit:,} of the {count:,} samples of {what} were taken, evenly random")
    return Items(what, (data[index] for index in order), classes=classes_of(data), notes=(note,), picked=True)


def tensorflow_set(data: Any, wanted: Wanted) -> Items:
    """A ``tf.data.Dataset``, batched or not."""
    ends = int(data.cardinality()) >= 0
    return Items("the tf.data.Dataset", data, _batched_set(data), weighted=True, ends=ends)


def keras_sequence(data: Any, wanted: Wanted) -> Items:
    """A ``PyDataset`` or ``Sequence`` of Keras: its items are batches."""
    if not has_length(data):
        return Items(f"the {type(data).__name__}", _numbered(data), True, weighted=True, ends=False)
    return Items(f"the {type(data).__name__}", (data[index] for index in range(len(data))), True, weighted=True)


def several_splits(data: Any, wanted: Wanted) -> Items:
    """A ``DatasetDict`` is refused: which of its splits is meant cannot be known."""
    raise DataError(f"the data is a {type(data).__name__} with the splits {', '.join(map(str, data))}; give one of them, data[...]")


KNOWN: dict[tuple[str, str], Adaptor] = {
    ("torch", "DataLoader"): loader,
    ("torch", "IterableDataset"): stream,
    ("torch", "Dataset"): indexed,
    ("tensorflow", "DatasetV2"): tensorflow_set,
    ("keras", "PyDataset"): keras_sequence,
    ("keras", "Sequence"): keras_sequence,
    ("tf_keras", "Sequence"): keras_sequence,
    ("datasets", "Dataset"): indexed,
    ("datasets", "IterableDataset"): stream,
    ("datasets", "DatasetDict"): several_splits,
    ("datasets", "IterableDatasetDict"): several_splits,
}
"""Each adaptor by the package and the name of a class; what derives from the class is read in the same way."""


def adaptor_of(data: Any) -> Adaptor | None:
    """The adaptor of the nearest class that is known; ``None`` where there is none."""
    names = ((base.__module__.partition(".")[0], base.__name__) for base in type(data).__mro__)
    return next((KNOWN[name] for name in names if name in KNOWN), None)


def has_length(data: Any) -> bool:
    """Whether ``data`` says how many items it has; an iterable that does not know raises TypeError."""
    try:
        return isinstance(data, Sized) and len(data) >= 0
    except TypeError:
        return False


def classes_of(data: Any) -> tuple[str, ...]:
    """The names of the classes of a data set: ``classes`` as torchvision has it, or the ``ClassLabel`` among its features."""
    features = getattr(data, "features", None)
    labels = features.values() if isinstance(features, dict) else ()
    named = next((label.names for label in labels if type(label).__name__ == "ClassLabel"), getattr(data, "classes", None))
    if isinstance(named, list | tuple) and named and all(isinstance(name, str) for name in named):
        return tuple(named)
    return ()


def _batched_set(data: Any) -> bool | None:
    """Whether the last step of a ``tf.data.Dataset`` that says so made batches; ``None`` where no step says it."""
    while data is not None:
        name = type(data).__name__
        if "Unbatch" in name or "TensorSlice" in name:
            return False
        if "Batch" in name:
            return True
        data = getattr(data, "_input_dataset", None)
    return None


def _numbered(data: Any) -> Iterator[Any]:
    number = 0
    while True:
        yield data[number]
        number += 1
