"""The samples of a deployment: real ones, or generated where none were given; what they can prove, and the notes on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from roadworthy.build import sources
from roadworthy.build.certificate import Data
from roadworthy.build.data import dataset
from roadworthy.build.data.raw_data import ExpectedInputs
from roadworthy.build.job import Job
from roadworthy.build.lower import PRECISIONS
from roadworthy.build.workspace import Workspace
from roadworthy.core.errors import DataError, UsageError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import SampleSet, renamed
from roadworthy.core.stages import Precision, Source
from roadworthy.core.types import Array, Distribution, Fixed, Signature, Stated, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.front import Front, put_in_front
from roadworthy.preprocess.pixels import SampleShape

GENERATED = "generated"
"""The kind of samples that Roadworthy makes."""
FEWEST_TO_KEEP = 2000
"""With so many samples to evaluate, half of them choose among the candidates, and the others are kept for the figures of what is chosen."""
NO_DATA = "they need --data to be proven on"
MADE_UP = Note(
    "no data was given: the answers were compared on generated values, so nothing here was proven on real ones; give some with --data",
    warning=True,
)


def refuse_unproven(job: Job, source: Source, data: Data | None = None, own: Precision = "fp32") -> None:
    """Raise UsageError where ``job`` names a precision that its samples cannot prove.

    Without ``data`` this is decided by the job and the kind of the source, before it is loaded; with it, by the samples and the
    original's ``own`` precision.
    """
    if data is None and (job.data is not None or sources.may_be_quantised(source)):
        return
    unproven = NO_DATA if data is None else data.unproven
    if unproven and (asked := [name for name in job.precisions if name in PRECISIONS and name != own]):
        raise UsageError(f"--precisions {','.join(asked)}: {unproven}; give some, or ask for --precisions {own}")


def pictures(contract: Contract, specs: tuple[TensorSpec, ...], job: Job, workspace: Workspace) -> SampleSet | None:
    """Random pictures through the preprocessing of ``contract``: they have the range of real ones.

    None where it takes no images, or where neither it nor the one input in ``specs`` states their size.
    """
    if not contract.takes_images or len(specs) > 1 or any(one.name == spec.name for one in job.stated for spec in specs):
        return None
    shape = contract.whole().sample_shape()
    size = _size(shape, specs)
    if size is None:
        return None
    count = job.samples or sources.MADE
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, *size, shape.channels), np.uint8)
    pixels[1::2] = (256 * sources.made_pictures(pixels[1::2].shape, generator)).astype(np.uint8)
    names = tuple(spec.name for spec in specs)
    return dataset.gather(pixels, ExpectedInputs(names, contract), workspace.folder("data/pictures")).samples


def _size(shape: SampleShape, specs: tuple[TensorSpec, ...]) -> tuple[int, int] | None:
    """Height and width of a sample."""
    known = specs[0].sample_shape if specs and len(specs[0].sample_shape) == len(shape.axes) else shape.axes
    sizes = [size if size is not None else other for size, other in zip(shape.axes, known, strict=True)]
    height, width = sizes[1:] if shape.channels_first else sizes[:2]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def for_model(contract: Contract, samples: SampleSet | None, workspace: Workspace) -> SampleSet | None:
    """``samples`` as the model itself takes them: where ``contract`` has steps inside the model, what these make of the pixels.

    Raises DataError where the samples are not pixels then.
    """
    if samples is None or contract.front is None:
        return samples
    for name, array in samples.open().items():
        channels = contract.sample_shape().channels
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != channels or len(samples.inputs) > 1:
            raise DataError(
                f"--pixels needs images, or uint8 pixels [samples, height, width, {channels}]; the data holds {name!r} as {array.dtype} "
                f"{list(array.shape)}: give the images themselves, or leave --pixels out"
            )
    return contract.front.applied(samples, workspace.folder("data/for-model"))


def with_front(front: Front, loaded: sources.Loaded, pixels: SampleSet | None, workspace: Workspace) -> tuple[sources.Loaded, SampleSet]:
    """The original with ``front`` in front of it, and ``pixels`` as its samples.

    Raises UsageError for a model of several inputs, DataError where there are no pixels and none could be made.
    """
    graph, inputs = loaded.graph, loaded.signature.inputs
    if len(inputs) != 1 or inputs[0].sample_axis != 0 or len(inputs[0].shape) != 4:
        raise UsageError(f"--pixels is for a model of one input, a batch of images; this one takes {', '.join(map(str, inputs))}")
    if pixels is None:
        raise DataError("--pixels has no images to prove anything with: give some with --data, or state the size of the input with --input")
    signature = replace(loaded.signature, inputs=(front.outer(inputs[0]),))
    path = put_in_front(front, graph.path, workspace.folder("original-with-front"))
    samples = renamed(pixels, (inputs[0].name,))
    dataset.check_inputs(samples, signature)
    front_graph = replace(graph, path=path, signature=signature, unfolded=True)
    return replace(loaded, graph=front_graph, samples=samples, trained=graph), samples


def required(samples: SampleSet | None) -> SampleSet:
    """``samples``; DataError where there are none, neither given nor generated."""
    if samples is None:
        raise DataError("there are no samples to verify with: give some with --data")
    return samples


def remedy(data: Data, signature: Signature) -> str:
    """What to do about samples that the original has no answer to."""
    if data.kind != GENERATED:
        return "check the preprocessing and the weights"
    asked = " ".join(_asked(spec) for spec in data.guessed or signature.inputs)
    return f"they were made up, so give real ones with --data, or state what the inputs hold, for example {asked}"


def _asked(spec: TensorSpec) -> str:
    """How the user could state what an input holds: a mask of ones, or floats of another range than was tried."""
    return sources.input_option(spec, "= ones" if np.dtype(spec.dtype).kind in "iub" else "in 0..1")


def check_stated(samples: SampleSet, stated: tuple[Stated, ...]) -> None:
    """Raises DataError where a value is not one that --input states, UsageError where it states some for no input of the model."""
    arrays = samples.open()
    for one in stated:
        if one.name not in arrays:
            raise UsageError(f"--input states values for {one.name!r}, and the model takes {', '.join(samples.inputs)}")
        array = arrays[one.name]
        for start in range(0, len(array), 256):
            others = _others(np.asarray(array[start : start + 256]), one)
            if others.size:
                raise DataError(f"the data for {one.name!r} holds {others.flat[0]}, and --input states {str(one)!r}")


def _others(values: Array, stated: Stated) -> Array:
    """Those of ``values`` that are not as ``stated``; a distribution excludes none."""
    if isinstance(stated, Distribution):
        return values[:0]
    if isinstance(stated, Fixed):
        return np.asarray(values[values != stated.value])
    return np.asarray(values[(values < stated.low) | (values > stated.high)])


def data(samples: SampleSet, gathered: dataset.Dataset | None, loaded: sources.Loaded, calibrate: int, workspace: Workspace) -> Data:
    """``samples`` split into those to calibrate, those that choose, and those that are kept for the figures of what is chosen.

    ``gathered`` is the data set they come from, if they are real.
    """
    if gathered is None:
        if not _made(samples, loaded):
            return Data(GENERATED, samples, None, (), (MADE_UP,), NO_DATA)
        notes = (MADE_UP, *sources.made_notes(loaded.signature.inputs, loaded.fills))
        return Data(GENERATED, samples, None, (), notes, NO_DATA, sources.guessed(loaded.signature.inputs, loaded.fills))
    evaluation, calibration = dataset.split(samples, calibrate, workspace.folder("data/split"))
    if samples.count > 1 and _all_equal(samples):
        said = f"all {samples.count:,} samples of the data are the same: every figure is of one sample"
        unproven = "they need samples that differ to be proven on"
        return Data(gathered.kind, evaluation, None, gathered.classes, (Note(said, warning=True),), unproven)
    enough = calibration is not None and evaluation.count >= FEWEST_TO_KEEP
    return Data(gathered.kind, evaluation, calibration, gathered.classes, choosing=evaluation.count // 2 if enough else None)


def _made(samples: SampleSet, loaded: sources.Loaded) -> bool:
    return bool(loaded.fills) and loaded.samples is not None and samples.path == loaded.samples.path


def _all_equal(samples: SampleSet) -> bool:
    return all(_constant(array) for array in samples.open().values())


def _constant(array: Array) -> bool:
    first = np.asarray(array[:1])
    chunks = (np.asarray(array[start : start + 256]) for start in range(0, len(array), 256))
    if array.dtype.kind == "f":
        return all(np.array_equal(chunk, np.broadcast_to(first, chunk.shape), equal_nan=True) for chunk in chunks)
    return all(np.array_equal(chunk, np.broadcast_to(first, chunk.shape)) for chunk in chunks)
