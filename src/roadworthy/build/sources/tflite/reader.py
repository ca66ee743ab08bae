"""A TFLite file as a source: run by the runtime that reads such files; one signature of several becomes a file of its own."""

from __future__ import annotations

import math
import shlex
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.build.sources import inference_mode, inputs
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import tflite
from roadworthy.build.sources.parsers.tflite import TfliteFile, TfliteSignature
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.build.sources.samples import sampling
from roadworthy.build.sources.tflite import one_signature
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, RoadworthyError, SourceError, UsageError
from roadworthy.core.interfaces import Session
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan, Precision, Source
from roadworthy.core.types import Arrays, Signature, TensorSpec

FORMAT = "tflite"
FILE = "model.tflite"
PROOF = "a TFLite graph has no modes: what it does was tested"
FREED = "the file was made for one sample a call; resized for several, each gave the answer that it gives alone"
TRIED = 3
"""Samples in the call that shows whether a file of one sample a call takes more."""


def read(source: Source) -> Model:
    """The model of ``source`` by the signature that the user named, or the one for serving, or the only one, live in its runtime.

    A file made for one sample a call may be resized for several. Where each of them then gives the answer that it gives alone, the
    number of samples is free. Raises UsageError, listing the signatures, where that leaves a choice, SourceError where the runtime does
    not take it, SourceUnreadable where it is damaged.
    """
    found = tflite.read(source.path)
    chosen = _chosen(found, source)
    given = chosen.signature
    precision: Precision = "int8" if chosen.quantised else "fp32"
    for spec in (*given.inputs, *given.outputs):
        inputs.refuse_type(spec, source.path)
    content = one_signature.extracted(source.path, chosen) if chosen.among_others else b""
    with tempfile.TemporaryDirectory() as folder:
        file = source.path
        if content:
            file = Path(folder) / FILE
            file.write_bytes(content)
        session = _open(source.path, file, given, precision)
        # A file that is one sample's is resized once samples are there to see whether it may be.
        freed = Signature(free, given.outputs) if (free := _freed(given.inputs)) else None
        larger = None if freed is None else _larger(source.path, file, freed, precision)

    def call(feeds: Arrays) -> dict[str, Any]:
        return dict(session.run(feeds))

    def refine(model: Model, specs: tuple[TensorSpec, ...], samples: SampleSet) -> tuple[Model, tuple[TensorSpec, ...]]:
        free = _freed(specs)
        if larger is None or not free or not _takes_several(larger, Signature(free, given.outputs), samples):
            return model, specs
        return replace(model, call=lambda feeds: dict(larger.run(feeds)), notes=(*model.notes, FREED)), free

    def keep(signature: Signature, out: Path) -> Graph:
        path = out / FILE
        if content:
            path.write_bytes(content)
        else:
            shutil.copyfile(source.path, path)
        return Graph(FORMAT, path, signature, route="the original", precision=precision)

    notes: tuple[str, ...] = ()
    if len(found.signatures) > 1:
        notes = (f"the signature {shown(chosen.key)!r} of {', '.join(shown(one.key) for one in found.signatures)} is deployed",)
    parameters = sum(math.prod(size for size in spec.shape if isinstance(size, int)) for spec in found.tensors)
    return Model(
        call, given.inputs, keep, parameters, proofs=(PROOF,), notes=notes, outputs=given.outputs, keeps=_kept(found), refine=refine
    )


def _kept(found: TfliteFile) -> tuple[str, ...]:
    return tuple(f"the variable tensor {name!r}" for name in found.states)


def _chosen(found: TfliteFile, source: Source) -> TfliteSignature:
    keys = [one.key for one in found.signatures]
    if source.signature and source.signature not in keys:
        raise UsageError(f"{source.path} has no signature {source.signature!r}; it has {', '.join(map(repr, keys)) or 'none'}")
    wanted = source.signature or found.usual
    if wanted is None:
        raise UsageError(f"{source.path} has the signatures {', '.join(map(shown, keys))}; name one: --signature {shlex.quote(keys[0])}")
    return next((one for one in found.signatures if one.key == wanted), found.bare)


def _open(path: Path, file: Path, signature: Signature, precision: Precision) -> Session:
    name = registry.runtime_for(FORMAT)
    try:
        return registry.runtime(name).load(file, signature, Plan(name, precision))
    except BackendMissing:
        raise
    except RoadworthyError as problem:
        raise SourceError(f"{path} cannot be opened: {problem.message}", detail=problem.detail) from problem


def _freed(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """The inputs with a free batch where each of them has one sample; nothing where one has more."""
    one = all(len(spec.shape) > 1 and spec.samples == 1 and not spec.open_sizes for spec in specs)
    return tuple(spec.with_batch() for spec in specs) if one else ()


def _larger(path: Path, file: Path, signature: Signature, precision: Precision) -> Session | None:
    """A session of ``file`` for any number of samples; ``None`` where the runtime does not open one."""
    try:
        return _open(path, file, signature, precision)
    except SourceError:
        return None


def _takes_several(session: Session, signature: Signature, samples: SampleSet) -> bool:
    specs = signature.inputs
    try:
        feeds = sampling.draw(specs, TRIED, samples)
        batch = session.run(feeds)
        singles = [session.run({spec.name: spec.take(feeds[spec.name], slice(row, row + 1)) for spec in specs}) for row in range(TRIED)]
    except RoadworthyError:
        return False
    return inference_mode.same_rows(batch, singles, signature.outputs)
