"""The golden samples of a bundle, answered again on this host: how far the answers are from the original's, and whether that is allowed.

A runtime chooses its kernels by the number of threads and by the size of a call. The check therefore runs on the very session that will
serve, in every size of call that it will see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.bundle import golden as goldens
from roadworthy.bundle.golden import Golden
from roadworthy.bundle.manifest import Manifest, Variant
from roadworthy.core.errors import BundleError
from roadworthy.core.numerics import output_error, sample_errors, scale_of
from roadworthy.core.types import Array, Arrays, Signature
from roadworthy.preprocess.texts import Part, TextSteps, allowed, next_size
from roadworthy.runtimes import CheckedSession

FEW = 4
"""Golden samples that are tried; each is two calls."""
MORE = 8
"""Tokens of padding that a sample without any gets."""


@dataclass(frozen=True)
class GoldenCheck:
    """What the golden samples showed on this host. ``error`` and ``gate`` are relative to the output's scale."""

    variant: str
    samples: int
    error: float
    gate: float


def read_golden(root: Path, manifest: Manifest) -> Golden:
    """The golden samples of the bundle at ``root``; raises BundleError where they are not as many as the manifest says."""
    path = manifest.golden.path
    golden = goldens.read(root / path, manifest.signature)
    arrays = (*golden.inputs.values(), *golden.outputs.values())
    counts = {array.shape[0] if array.ndim else 0 for array in arrays}
    if counts != {manifest.golden.samples} or not manifest.golden.samples:
        raise BundleError(f"{root}: {path} should hold {manifest.golden.samples} golden samples of every input and output")
    return golden


def check_golden(session: CheckedSession, signature: Signature, variant: Variant, golden: Golden, size: int | None = None) -> float:
    """The largest error of all outputs, in calls of ``size`` samples; raises BundleError where it is above the variant's gate."""
    errors = {name: float(rows.max()) for name, rows in golden_errors(session, signature, golden, size).items()}
    if different := next((name for name, error in errors.items() if not math.isfinite(error)), None):
        what = "another byte string than" if golden.outputs[different].dtype.hasobject else "NaN or an infinity at another place than"
        raise BundleError(f"its output {different!r} has {what} the original's on a golden sample")
    error = max(errors.values(), default=0.0)
    if error > variant.gate:
        raise BundleError(f"its golden answers are off by {error:.3g} of the output's scale here, and {variant.gate:.3g} is allowed")
    return error


def check_batches(session: CheckedSession, signature: Signature, variant: Variant, golden: Golden, batch: int) -> float:
    """The largest error in calls of three samples, of ``batch`` and of every power of two up to ``batch``; 0 where there are none.

    Samples are repeated until a call is full. Raises BundleError that names the size of the call.
    """
    worst = 0.0
    for size in sorted({3, batch, *(2**power for power in range(1, batch.bit_length()))}):
        if not 1 < size <= batch or signature.call_size(size) != size:
            continue
        try:
            worst = max(worst, check_golden(session, signature, variant, _repeated(golden, size), size))
        except BundleError as problem:
            raise BundleError(f"{problem.message}, in calls of {size} samples") from None
    return worst


def golden_errors(session: CheckedSession, signature: Signature, golden: Golden, size: int | None = None) -> dict[str, Array]:
    """By output, the error of each golden sample: float64 [samples], relative to the output's largest magnitude.

    In calls of ``size`` samples; without it the larger error of one sample alone and of the largest calls that there may be.
    Raises BundleError for an output that is missing or has another shape.
    """
    count = len(next(iter(golden.inputs.values())))
    worst = {name: np.zeros(count) for name in golden.outputs}
    specs = {spec.name: spec for spec in signature.outputs}
    scales = {name: scale_of(array, specs[name].quantization) for name, array in golden.outputs.items()}
    calls = ((start, start + size) for start in range(0, count, size)) if size else golden_calls(signature, count)
    for start, stop in calls:
        outputs = session.run(signature.to_call({name: array[start:stop] for name, array in golden.inputs.items()}))
        for name, whole in golden.outputs.items():
            want, got = whole[start:stop], outputs.get(name)
            got = None if got is None else specs[name].to_rows(got, len(want))
            if got is None or got.shape != want.shape:
                raise BundleError(f"output {name!r} has shape {None if got is None else list(got.shape)}, not {list(want.shape)}")
            errors = sample_errors(got, want, scales[name], specs[name].quantization)
            worst[name][start:stop] = np.maximum(worst[name][start:stop], errors)
    return worst


def golden_calls(signature: Signature, count: int) -> Iterator[tuple[int, int]]:
    """The first and one past the last sample of each call: one sample alone, then all ``count`` in the largest calls there may be.

    Samples do not share a call where an input holds for the whole of it: they may have different values of that.
    """
    one, many = signature.call_size(1), signature.call_size(1 if signature.whole_call else count)
    if one > count:
        raise BundleError(f"{count} golden samples are fewer than the {one} of one call")
    yield 0, one
    yield from ((start, start + many) for start in range(0, count - many + 1, many))


def _repeated(golden: Golden, size: int) -> Golden:
    """All golden samples, then the first ones again until the last call of ``size`` is full."""

    def repeated(arrays: Arrays) -> dict[str, Array]:
        return {name: np.resize(array, (-(-len(array) // size) * size, *array.shape[1:])) for name, array in arrays.items()}

    return Golden(repeated(golden.inputs), repeated(golden.outputs))


def check_padding(session: CheckedSession, signature: Signature, steps: TextSteps, golden: Golden, gate: float) -> None:
    """Raise BundleError where the answer to a text depends on how far it is padded by more than ``gate`` of the output's scale.

    Texts of one call are padded to the longest, so that the answer to one would depend on the others. Outputs that have a row for each
    token are compared where the tokens are. A golden sample is skipped where the model takes no other number of tokens.
    """
    if steps.padding == "fixed":
        return
    for row in range(min(FEW, len(next(iter(golden.inputs.values()))))):
        whole = {name: array[row] for name, array in golden.inputs.items()}
        size = len(next(iter(whole.values())))
        short = next_size(signature.sizes, _tokens(whole, steps))
        long = size if size > short else min(next_size(signature.sizes, size + MORE), steps.length)
        if not all(allowed(signature.sizes, one) for one in (short, long)) or short == long:
            continue
        alone, padded = (session.run(_call(signature, _resized(whole, steps, one))) for one in (short, long))
        for spec in signature.outputs:
            error = _error(spec.to_rows(alone[spec.name], 1), spec.to_rows(padded[spec.name], 1), steps, golden.outputs[spec.name])
            if error > gate:
                raise BundleError(
                    f"the answer to a text depends on its padding: with {long} tokens in place of {short} the output {spec.name!r} differs "
                    f'by {error:.3g} of its scale, and {gate:.3g} is allowed; state padding = "fixed" in [text], with the length that the '
                    "model was trained with"
                )


def _tokens(sample: Mapping[str, Array], steps: TextSteps) -> int:
    """How many tokens of a sample are not padding."""
    parts: dict[str, Part] = dict(steps.inputs) or steps.bound(list(sample))
    mask = next((sample[name] for name, part in parts.items() if part == "mask"), None)
    if mask is not None:
        return max(1, int(np.count_nonzero(mask)))
    (ids,) = (sample[name] for name, part in parts.items() if part == "ids")
    real = np.flatnonzero(ids != steps.pad_id)
    if not len(real):
        return 1
    return int(real[-1]) + 1 if steps.side == "right" else len(ids) - int(real[0])


def _resized(sample: Mapping[str, Array], steps: TextSteps, size: int) -> dict[str, Array]:
    """One sample with ``size`` tokens: without a part of its padding, or with more."""
    parts = dict(steps.inputs) or steps.bound(list(sample))
    fill = {"ids": steps.pad_id, "mask": 0, "types": steps.pad_type_id}
    found = {}
    for name, array in sample.items():
        more = max(0, size - len(array))
        widths = (0, more) if steps.side == "right" else (more, 0)
        padded = np.pad(array, widths, constant_values=fill[parts[name]])
        found[name] = padded[:size] if steps.side == "right" else padded[len(padded) - size :]
    return found


def _call(signature: Signature, sample: Mapping[str, Array]) -> Arrays:
    return signature.to_call({name: array[None] for name, array in sample.items()})


def _error(alone: Array, padded: Array, steps: TextSteps, golden: Array) -> float:
    if alone.shape != padded.shape and alone.ndim == padded.ndim and alone.ndim > 1:
        size = alone.shape[1]
        padded = padded[:, :size] if steps.side == "right" else padded[:, padded.shape[1] - size :]
    return output_error(alone, padded, scale_of(golden))
