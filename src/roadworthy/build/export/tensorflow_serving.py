"""A SavedModel for TensorFlow Serving, with the names of the model's signature, and a second signature that takes encoded images.

TensorFlow's own graphs are frozen, or kept with their variables and tables; an ONNX graph is translated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.export import _verify
from roadworthy.build.export._templates import filled
from roadworthy.build.export._tensorflow import frozen, saved, warmup
from roadworthy.build.exported import Export
from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BYTES, Arrays
from roadworthy.frameworks.tensorflow import framework
from roadworthy.runtimes._reasons import reason

ACCEPTS = ("saved_model", "graphdef", "onnx")
FROZEN, SAVED = "frozen", "saved"
FIRST = Path("model", "1")
"""Where the SavedModel lies until the export has a name and a version."""
IMAGE = "image"
"""The signature, and its only input, that Roadworthy's own server has for encoded images too."""
LEVELS = 2.0
"""How far a pixel of that signature may be from Roadworthy's own, of 255."""
CONFIG, BATCHING = "models.config", "batching.config"
_HERE = "roadworthy.build.export._tensorflow"
LARGEST_BATCH = 64


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """The graph without variables; a SavedModel that takes strings also as it was saved, with the tables that these are looked up in."""
    if frozen.unfit(graph):
        return
    plan = Plan("tensorflow_serving", threads=host.cores, flavour=FROZEN)
    yield plan
    if graph.format == "saved_model" and any(spec.dtype == BYTES for spec in graph.signature.inputs):
        yield Plan("tensorflow_serving", threads=host.cores, flavour=SAVED)


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the SavedModel into ``out/model/1``.

    Raises UsageError for a plan that is not offered, StepFailed where an operator, its node named, has no counterpart in TensorFlow, or
    where the model cannot be called by a signature.
    """
    if plan.precision != "fp32" or plan.flavour not in (FROZEN, SAVED):
        raise UsageError(f"{plan.name} is not a plan of tensorflow-serving: it is made in fp32, as {FROZEN} or {SAVED}")
    try:
        if plan.flavour == SAVED:
            saved.write_as_it_is(graph, out / FIRST)
            return
        with tempfile.TemporaryDirectory() as scratch:
            made = frozen.frozen(graph, plan, Path(scratch))
        saved.write(*made, out / FIRST)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(f"no SavedModel could be written of the {graph.format} graph: {reason(problem)}", detail=str(problem)) from problem


@dataclass(frozen=True)
class ImageSignature:
    """What came of the signature for images: ``words`` say it, and ``made`` whether there is one."""

    made: bool
    words: str


def finish(export: Export, out: Path) -> str:
    """Give the SavedModel its name and version, and add the image signature, the warm-up, both configurations and ``verify.py``."""
    version = export.version if export.version.isdecimal() and int(export.version) > 0 else "1"
    model, moving = out / export.name / version, out / ".moving"
    (out / FIRST).rename(moving)
    (out / FIRST.parent).rmdir()
    model.parent.mkdir()
    moving.rename(model)
    images = _with_images(export, model)
    sizes = _batch_sizes(export)
    records = warmup.write(model, export.name, _requests(export, sizes, images))
    (out / CONFIG).write_text(filled(_HERE, "files/models.config", {"NAME": export.name}))
    if export.signature.batched:
        allowed = "".join(f"allowed_batch_sizes: {size}\n" for size in sizes)
        batching = {"MOST": str(sizes[-1]), "THREADS": str(export.plan.threads), "ALLOWED": allowed}
        (out / BATCHING).write_text(filled(_HERE, "files/batching.config", batching))
    (out / _verify.NAME).write_text(_verify.script(export, filled(_HERE, "files/answers.template", {"NAME": export.name}), ()))
    words = {
        "NAME": export.name,
        "VERSION": version,
        "THREADS": str(export.plan.threads),
        "IMAGES": images.words,
        "RECORDS": str(records),
        "BATCHING": _batching_words(export, sizes),
        "RENAMED": "" if version == export.version else _renamed(export.version),
    }
    return filled(_HERE, "files/readme.md", words)


def _with_images(export: Export, model: Path) -> ImageSignature:
    """Add the signature, if the bundle says how images become samples and TensorFlow's operations do the same."""
    from roadworthy.build.export._tensorflow import images
    from roadworthy.build.export._tensorflow.images import check

    contract = export.contract
    if not contract.takes_items:
        return ImageSignature(False, "The bundle does not say how images become samples, so it has no signature for images.")
    if not contract.takes_images:
        return ImageSignature(False, f"The steps from a {contract.kind} to a sample are not TensorFlow operations: clients carry them out.")
    if export.plan.flavour == SAVED:
        return ImageSignature(False, "A SavedModel that is kept as it was saved gets no signature for images.")
    if (lacking := images.lacking(contract)) is not None:
        return ImageSignature(False, f"It has no signature for images, because TensorFlow cannot do {lacking}.")
    tf = framework.framework()
    steps = images.function_of(contract)
    call = tf.function(steps, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    compared = check.compare(contract, lambda contents: np.asarray(call(tf.constant(contents)).numpy()))
    figures = f"the largest difference was {compared.largest:.2g} of 255 levels, the mean {compared.mean:.2g}"
    if not compared.largest <= LEVELS:
        return ImageSignature(False, f"It has no signature for images: TensorFlow's pixels are not the same ({figures}).")
    saved.write_with_images(model, steps, IMAGE)
    return ImageSignature(
        True,
        f"The signature `{IMAGE}` takes the bytes of JPEG or PNG files in its input `{IMAGE}` and carries out: "
        f"{'; '.join(step.describe() for step in contract.image)}. Its pixels were compared with Roadworthy's for {compared.images} "
        f"images: {figures}. It reads no other format, and a large photograph takes memory for every pixel as a float. Ask it by REST:\n\n"
        + filled(_HERE, "files/ask.md", {"NAME": export.name, "IMAGE": IMAGE}).rstrip(),
    )


def _batch_sizes(export: Export) -> tuple[int, ...]:
    """The sizes of calls to prepare: 1, 2, 4, ... to the largest that is proven, or that the golden samples are compared in."""
    if not export.signature.batched:
        return (export.signature.call_size(1),)
    most = min(export.signature.max_batch or len(next(iter(export.golden.inputs.values()))), LARGEST_BATCH)
    return (*(size for size in (2**power for power in range(most.bit_length())) if size < most), most)


def _requests(export: Export, sizes: tuple[int, ...], images: ImageSignature) -> Iterable[tuple[str, Arrays]]:
    """Golden samples in calls of each size, from the beginning again where they run out; and images."""
    for size in sizes:
        rows = {name: array[np.arange(size) % len(array)] for name, array in export.golden.inputs.items()}
        yield saved.SERVING, export.signature.to_call(rows)
        if images.made:
            from roadworthy.build.export._tensorflow.images import check

            shape = export.contract.sample_shape()
            contents = check.images(shape.height or 1, shape.width or 1)
            yield IMAGE, {IMAGE: np.array([contents[number % len(contents)] for number in range(size)], BYTES)}


def _renamed(version: str) -> str:
    return f"\n- TensorFlow Serving has whole numbers as versions: {version} is 1 here."


def _batching_words(export: Export, sizes: tuple[int, ...]) -> str:
    if not export.signature.batched:
        return "The model takes one number of samples a call: nothing is joined."
    return (
        f"`--enable_batching --batching_parameters_file=/models/{BATCHING}` lets the server join requests, to calls of at most "
        f"{sizes[-1]} samples: {'the sizes that were' if len(sizes) > 1 else 'the size that was'} proven."
    )
