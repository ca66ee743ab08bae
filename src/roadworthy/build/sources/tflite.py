"""A TFLite file as a source: run by the runtime that reads such files, and kept byte for byte."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.build.sources import inference_mode, inputs
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import tflite
from roadworthy.build.sources.parsers.tflite import TfliteFile
from roadworthy.build.sources.samples import sampling
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, RoadworthyError, SourceError
from roadworthy.core.interfaces import Session
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan, Precision, Source
from roadworthy.core.types import Arrays, Signature, TensorSpec

FORMAT = "tflite"
FILE = "model.tflite"
RESIZED = "the file was made for one sample a call; resized for several, each gave the answer that it gives alone"
PROOF = "a TFLite graph has no modes: what it does was tested"
TRIED = 3
"""Samples in the call that shows whether a file of one sample a call takes more."""


def read(source: Source) -> Model:
    """The model of ``source``, live in its runtime; SourceError where that does not take it, SourceUnreadable where it is damaged.

    A file made for one sample a call may be resized for several. Where each of them then gives the answer that it gives alone, the
    number of samples is free.
    """
    found = tflite.read(source.path)
    for spec in (*found.signature.inputs, *found.signature.outputs):
        inputs.refuse_type(spec, source.path)
    precision: Precision = "int8" if found.quantised else "fp32"
    specs = found.signature.inputs

    def calling(inputs: tuple[TensorSpec, ...]) -> Callable[[Arrays], dict[str, Any]]:
        session = _open(source.path, Signature(inputs, found.signature.outputs), precision)
        return lambda feeds: dict(session.run(feeds))

    def settle(model: Model, specs: tuple[TensorSpec, ...], samples: SampleSet) -> tuple[Model, tuple[TensorSpec, ...]]:
        free = _freed(specs)
        if not free or not _takes_several(source.path, found, free, precision, samples):
            return model, specs
        return replace(model, call=calling(free), notes=(*model.notes, RESIZED)), free

    def keep(signature: Signature, out: Path) -> Graph:
        path = Path(shutil.copyfile(source.path, out / FILE))
        return Graph(FORMAT, path, signature, route="the original", precision=precision)

    parameters = sum(math.prod(size for size in spec.shape if isinstance(size, int)) for spec in found.tensors)
    return Model(calling(specs), specs, keep, parameters, proofs=(PROOF,), outputs=found.signature.outputs, settle=settle)


def _open(path: Path, signature: Signature, precision: Precision) -> Session:
    name = registry.runtime_for(FORMAT)
    try:
        return registry.runtime(name).load(path, signature, Plan(name, precision))
    except BackendMissing:
        raise
    except RoadworthyError as problem:
        raise SourceError(f"{path} cannot be opened: {problem.message}", detail=problem.detail) from problem


def _freed(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """The inputs with a free batch where each of them has one sample; nothing where one has more."""
    one = all(len(spec.shape) > 1 and spec.samples == 1 and "?" not in spec.shape for spec in specs)
    return tuple(spec.with_batch() for spec in specs) if one else ()


def _takes_several(path: Path, found: TfliteFile, specs: tuple[TensorSpec, ...], precision: Precision, samples: SampleSet) -> bool:
    try:
        session = _open(path, Signature(specs, found.signature.outputs), precision)
        feeds = sampling.draw(specs, TRIED, samples)
        batch = session.run(feeds)
        singles = [session.run({spec.name: spec.take(feeds[spec.name], slice(row, row + 1)) for spec in specs}) for row in range(TRIED)]
    except RoadworthyError:
        return False
    return inference_mode.same_rows(batch, singles, found.signature.outputs)
