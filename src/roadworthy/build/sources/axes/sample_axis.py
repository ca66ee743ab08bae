"""The axis of each input that counts the samples, where nothing states it: each possibility is tried, and what the model does decides.

An axis counts the samples where outputs follow its size, and where no sample changes the answer for another one. Along the time
of a sequence, or the channels of an image, at least one of the two is not so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build.sources import inputs, same_answers
from roadworthy.build.sources.axes.sized_calls import SizedCalls
from roadworthy.build.sources.input_syntax import option
from roadworthy.build.sources.samples import sampling
from roadworthy.core.errors import DataError, SourceError
from roadworthy.core.text import identifier
from roadworthy.core.types import BATCH, Array, Arrays, TensorSpec

Specs = tuple[TensorSpec, ...]

MOST = 24
"""Possibilities that are tried at most."""
SIZES = (2, 3)


@dataclass(frozen=True)
class Possible:
    """The inputs to try, the likeliest first, and ``otherwise`` those to take where none of them shows that it is right.

    With ``fixed`` all sizes were stated, and the number of samples in a call is one of them.
    """

    specs: tuple[Specs, ...]
    otherwise: Specs
    fixed: bool = False

    def stated(self, chosen: Specs) -> Specs:
        """``chosen`` with the number of samples that was stated."""
        if not self.fixed:
            return chosen
        pairs = zip(chosen, self.otherwise, strict=True)
        return tuple(replace(spec, shape=own.shape) for spec, own in pairs)


def possible(specs: Specs, said: frozenset[str], *, free: bool, data: bool, examples: Sequence[tuple[int, ...]]) -> Possible:
    """What may count the samples in ``specs``, of which the user stated those in ``said``.

    With ``free`` they were read from the samples; with ``data`` there are some; ``examples`` are the shapes of one call.
    """
    if examples and len(examples) == len(specs):
        tried = tuple(of_call(specs, examples))
        return Possible(tried, tried[0] if tried else specs)
    if free:
        return Possible(tuple(of_rows(specs)), specs)
    shapes = [tuple(size for size in spec.shape if isinstance(size, int)) for spec in specs]
    if not data and all(spec.sample_axis is None and len(spec.shape) == len(shape) for spec, shape in zip(specs, shapes, strict=True)):
        return Possible(tuple(of_call(specs, shapes)), _usual(specs), fixed=True)
    if any(inputs.symbols_of((spec,)) for spec in specs if spec.name not in said):
        return Possible(tuple(of_symbols(specs)), specs)
    return Possible((), specs)


def of_fixed_size(specs: Specs) -> bool:
    """Whether a call of ``specs`` has one size, of several samples if its first axis counts them."""
    return inputs.stated_samples(specs) not in (None, 1) and not any(spec.symbols for spec in specs)


def without_samples(specs: Specs) -> Specs:
    """``specs`` of which no axis counts samples: a call is one sample."""
    return tuple(replace(spec, sample_axis=None) for spec in specs)


def is_one_sample(calls: SizedCalls, said: frozenset[str]) -> bool:
    """Whether a call of fixed sizes (``of_fixed_size``) is one sample: an image without a batch, for example.

    No output has as many rows as the samples would be; or, where the user stated the inputs in ``said``, and no batch among them, these
    depend on each other.
    """
    count = inputs.stated_samples(calls.specs) or 1
    try:
        answer = calls.answer(count)
    except SourceError:
        return False
    outputs = tuple(
        TensorSpec(name, str(array.dtype), array.shape, sample_axis=inputs.axis_of(array.shape, count)) for name, array in answer.items()
    )
    if all(spec.sample_axis is None for spec in outputs):
        return True
    return {spec.name for spec in calls.specs} <= said and not all(_keeps(calls, answer, outputs, kept, count) for kept in (0, count - 1))


def advice(calls: SizedCalls) -> str | None:
    """A sentence that says which other axis counts the samples, where one does, or how to say that none does."""
    if of_fixed_size(calls.specs):
        return f"If a call is one sample, state its sizes without a batch: {' '.join(map(option, calls.specs))}"
    shapes = [calls.feeds(SIZES[1])[spec.name].shape for spec in calls.specs]
    own = [spec.sample_axis for spec in calls.specs]
    for specs in of_call(calls.specs, shapes):
        if [spec.sample_axis for spec in specs] != own and counts_samples(SizedCalls(calls.model, specs, None)):
            break
    else:
        return None
    moved = [(spec, old.sample_axis) for spec, old in zip(specs, calls.specs, strict=True) if spec.sample_axis != old.sample_axis]
    spelled = [replace(spec, shape=tuple("length" if axis == old else size for axis, size in enumerate(spec.shape))) for spec, old in moved]
    which = " and ".join(f"axis {spec.sample_axis} of {spec.name!r}" for spec in spelled)
    return f"By its answers {which} counts the samples: " + " ".join(map(option, spelled))


def of_rows(specs: Specs) -> Iterator[Specs]:
    """Where the samples' axis may be in a call, for inputs of which only the samples are known: first throughout, then elsewhere."""
    places = itertools.product(*(range(len(spec.shape)) for spec in specs))
    ordered = sorted(places, key=lambda axes: (len(set(axes)) > 1, sum(axes)))
    for axes in ordered[:MOST]:
        yield tuple(_moved(spec, axis) for spec, axis in zip(specs, axes, strict=True))


def of_call(specs: Specs, shapes: Sequence[tuple[int, ...]]) -> Iterator[Specs]:
    """The same for inputs of which one call is known, as arrays of ``shapes``: axes of one size, the first of each input at first.

    An input that has no axis of that size holds for the whole call.
    """
    first = next((shape for shape in shapes if shape), ())
    found: dict[Specs, None] = {}
    for size in dict.fromkeys(first):
        axes: list[list[int | None]] = [[axis for axis, one in enumerate(shape) if one == size] or [None] for shape in shapes]
        for chosen in itertools.islice(itertools.product(*axes), MOST):
            pairs = zip(specs, shapes, chosen, strict=True)
            found[tuple(_counting(replace(spec, shape=shape), axis) for spec, shape, axis in pairs)] = None
    yield from itertools.islice(found, MOST)


def of_symbols(specs: Specs) -> Iterator[Specs]:
    """The same for inputs with symbols: as they are stated, then with another symbol as the batch.

    Beside an input with the batch, one without it may have it under another name: [layers, n, hidden].
    """
    own = [spec for spec in specs if not spec.batched and len(spec.symbols) == 1]
    if own and any(spec.batched for spec in specs):
        yield tuple(_counting(spec, next(iter(spec.symbols))) if spec in own else spec for spec in specs)
    yield specs
    for symbol in inputs.symbols_of(specs):
        yield tuple(_renamed(spec, symbol) for spec in specs)


def counts_samples(calls: SizedCalls) -> bool:
    """Whether outputs follow the size of the samples' axis, and no sample changes the answer for another one."""
    try:
        answers = {size: calls.answer(size) for size in SIZES}
    except (SourceError, DataError):
        return False
    small, large = SIZES
    if answers[small].keys() != answers[large].keys():
        return False
    axes = {name: _followed(answers[small][name].shape, array.shape, SIZES) for name, array in answers[large].items()}
    if not any(found for found in axes.values()) or any(found is None for found in axes.values()):
        return False
    specs = tuple(
        TensorSpec(name, str(array.dtype), array.shape, sample_axis=axes[name][0] if axes[name] else None)  # type: ignore[index]
        for name, array in answers[large].items()
    )
    return all(_keeps(calls, answers[large], specs, kept, large) for kept in (0, large - 1))


def _keeps(calls: SizedCalls, answer: Arrays, outputs: Specs, kept: int, count: int) -> bool:
    """Whether the answer for sample ``kept`` stays when the others are replaced."""
    feeds, others = calls.feeds(count), calls.feeds(count, seed=2)
    mixed = {spec.name: _mixed(spec, feeds[spec.name], others[spec.name], kept) for spec in calls.specs}
    try:
        again = sampling.answer(calls.model, mixed)
    except SourceError:
        return False
    which = slice(kept, kept + 1)
    before, after = ({spec.name: spec.take(one[spec.name], which) for spec in outputs if spec.name in one} for one in (answer, again))
    shapes = all(name in after and after[name].shape == array.shape for name, array in before.items())
    return shapes and same_answers.difference(before, after) <= same_answers.SAME


def _mixed(spec: TensorSpec, own: Array, other: Array, kept: int) -> Array:
    if spec.sample_axis is None:
        return own
    mixed = np.array(other)
    where = (slice(None),) * spec.sample_axis + (slice(kept, kept + 1),)
    mixed[where] = own[where]
    return mixed


def _followed(small: tuple[int, ...], large: tuple[int, ...], sizes: tuple[int, int]) -> tuple[int, ...] | None:
    """The axes whose sizes are the two ``sizes``; ``None`` where another axis changes too."""
    if len(small) != len(large):
        return None
    changed = {axis: pair for axis, pair in enumerate(zip(small, large, strict=True)) if pair[0] != pair[1]}
    return tuple(changed) if all(pair == sizes for pair in changed.values()) else None


def _usual(specs: Specs) -> Specs:
    """``specs`` of numbers alone: the first axis of size 1 counts the samples of the first input; without one a call is a sample."""
    first, *others = specs
    if 1 not in first.shape:
        return specs
    counting = replace(first, sample_axis=first.shape.index(1))
    return (counting, *(replace(spec, sample_axis=inputs.axis_of(spec.shape, 1)) for spec in others))


def _moved(spec: TensorSpec, axis: int) -> TensorSpec:
    """``spec``, whose samples are first, with them at ``axis``."""
    sizes = list(spec.sample_shape)
    return replace(spec, shape=(*sizes[:axis], spec.shape[0], *sizes[axis:]), sample_axis=axis)


def _counting(spec: TensorSpec, axis: int | None) -> TensorSpec:
    shape = tuple(BATCH if number == axis else size for number, size in enumerate(spec.shape))
    return replace(spec, shape=shape, sample_axis=axis)


def _renamed(spec: TensorSpec, batch: str) -> TensorSpec:
    """``spec`` with the symbol ``batch`` as the batch, and what was the batch under a name of its own."""
    shape = tuple(
        BATCH if size == batch else identifier(f"{spec.name}_{axis}") if size == BATCH else size for axis, size in enumerate(spec.shape)
    )
    return replace(spec, shape=shape, sample_axis=shape.index(BATCH) if BATCH in shape else None)
