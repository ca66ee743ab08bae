"""Steps for one child that holds TensorFlow: exports to it are made, opened and asked there, and what came of each is returned in words."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from roadworthy.bundle.golden import Golden
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.host import this_host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, Arrays, Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.runtimes import open_session
from support.files import onnx_cases, onnx_networks

THREADS = this_host().cores


@dataclass(frozen=True)
class Folder:
    """An existing empty directory."""

    path: Path


@dataclass(frozen=True)
class CaseErrors:
    """For each case the largest error relative to the answer's scale, or what was raised, as ``name: words``."""

    lines: tuple[str, ...]

    @property
    def by_name(self) -> dict[str, str]:
        return dict(line.split(": ", 1) for line in self.lines)


@dataclass(frozen=True)
class ImageContracts:
    """Steps to compare, by name."""

    names: tuple[str, ...]
    contracts: tuple[Contract, ...]


@dataclass(frozen=True)
class ServedExport:
    """Export ``graph`` for the target in ``path``, with ``samples`` as golden ones where the original answers them."""

    graph: Graph
    samples: SampleSet
    path: Path
    flavour: str = "frozen"
    contract: Contract = field(default_factory=Contract)
    name: str = "model"
    version: str = "3"
    reference: Graph | None = None


@dataclass(frozen=True)
class Finished:
    """What came out: the Markdown, the files, and the largest error relative to the answers' scale before and after the end."""

    text: str
    files: tuple[str, ...]
    before: float
    after: float
    signatures: tuple[str, ...]


def operators(folder: Folder) -> CaseErrors:
    """Every ONNX graph of the tests as TensorFlow operations, for one sample and for three in one call."""
    from roadworthy.build import nhwc
    from roadworthy.build.export._tensorflow.operations import function_of
    from roadworthy.frameworks.tensorflow import framework

    framework.set_threads(THREADS)
    tf = framework.framework()

    def answered(case: onnx_cases.Case) -> float:
        model, graph = onnx_cases.written(case, folder.path)
        specs = [
            tf.TensorSpec([size if isinstance(size, int) else None for size in spec.shape], spec.dtype) for spec in graph.signature.inputs
        ]
        call = tf.function(function_of(nhwc.translate(graph.path, graph.signature)), input_signature=specs, autograph=False)
        errors = []
        for samples in (1, 3) if case.batch == "batch" else (int(case.batch),):
            feeds = case.feeds(samples)
            (wanted,) = onnx_cases.ReferenceEvaluator(model).run(None, feeds)
            found = call(tf.constant(feeds["x"]))[0].numpy()
            errors.append(_error(found, wanted))
        return max(errors)

    node, each = onnx_cases.node, onnx_cases.DEPTHWISE
    dilated = {
        f"a group a channel, dilated, by {stride}": onnx_cases.Case(
            [node("Conv", "x w b", group=8, dilations=[2, 3], strides=[stride] * 2, pads=[2, 3, 2, 3])], (8, 11, 13), each
        )
        for stride in (1, 2)
    }
    cases = onnx_cases.CASES | onnx_networks.NETWORKS | dilated
    return CaseErrors(tuple(_tried(name, partial(answered, case)) for name, case in cases.items()))


def refused(folder: Folder) -> CaseErrors:
    """What ``lower`` says to graphs that it cannot write."""
    from roadworthy.build.export import tensorflow_serving

    node, weights = onnx_cases.node, onnx_cases.weights
    lacking = {
        "an operator": onnx_cases.Case([node("Mod", "x n", fmod=1, name="remainder")], constants={"n": np.float32(2)}),
        "two strides": onnx_cases.Case(
            [node("Conv", "x w b", group=8, strides=[2, 1], name="uneven")], (8, 6, 6), {"w": weights(8, 1, 3, 3), "b": weights(8)}
        ),
    }

    def tried(name: str, case: onnx_cases.Case) -> str:
        model = case.model()
        path = folder.path / "refused.onnx"
        path.write_bytes(model.SerializeToString())
        signature = Signature((onnx_cases.spec(model.graph.input[0]),), (TensorSpec("y", "float32", (BATCH,)),))
        out = folder.path / name.replace(" ", "-")
        out.mkdir()
        tensorflow_serving.lower(
            Graph("onnx", path, signature, "test"), Plan("tensorflow_serving", threads=THREADS, flavour="frozen"), None, out
        )
        return "written"

    found = tuple(_tried(name, partial(tried, name, case)) for name, case in lacking.items())
    left = [path.name for path in folder.path.glob("*/*")]
    return CaseErrors((*found, f"left: {left}"))


def pixels(wanted: ImageContracts) -> CaseErrors:
    """How far TensorFlow's pixels are from Roadworthy's, in levels of 255."""
    from roadworthy.build.export._tensorflow import images
    from roadworthy.build.export._tensorflow.images import check
    from roadworthy.frameworks.tensorflow import framework

    tf = framework.framework()

    def compared(contract: Contract) -> float:
        steps = images.function_of(contract)
        call = tf.function(steps, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        return check.compare(contract, lambda files: call(tf.constant(files)).numpy()).largest

    pairs = zip(wanted.names, wanted.contracts, strict=True)
    return CaseErrors(tuple(_tried(name, partial(compared, contract)) for name, contract in pairs))


def decoding(folder: Folder) -> CaseErrors:
    """Image files of every kind that TensorFlow reads: largest difference to Roadworthy's pixels, or what was raised."""
    from roadworthy.build.export._tensorflow import images
    from roadworthy.frameworks.tensorflow import framework
    from roadworthy.preprocess.image import Preprocessor
    from roadworthy.preprocess.steps import Crop, Decode

    tf = framework.framework()
    random = np.random.default_rng(0)
    colour = Image.fromarray(random.integers(0, 256, (21, 33, 3), np.uint8)).resize((66, 42))
    deep = Image.fromarray(random.integers(0, 600, (42, 66)).astype(np.uint16))
    files = {
        **{mode: _encoded(colour.convert(mode), "PNG") for mode in ("RGB", "RGBA", "L", "LA", "P", "1")},
        "deep": _encoded(deep, "PNG"),
        **{f"JPEG {kind}": _encoded(colour, "JPEG", subsampling=kind) for kind in (0, 1, 2)},
        "progressive": _encoded(colour, "JPEG", progressive=True),
        "CMYK": _encoded(colour.convert("CMYK"), "JPEG"),
    }

    def compared(contract: Contract, content: bytes) -> str:
        wanted = Preprocessor(contract.image).many([content])
        found = images.function_of(contract)(tf.constant([content])).numpy()
        return str(np.abs(found.astype(int) - wanted.astype(int)).max())

    lines = []
    for color, how in itertools.product(("RGB", "L"), ("upper", "clip")):
        contract = Contract((Decode(color, deep=how), Crop((42, 66))))  # type: ignore[arg-type, unused-ignore]
        for name, content in files.items():
            lines.append(_tried(f"{name}, {color}, {how}", partial(compared, contract, content)))
    small = images.function_of(Contract((Decode(pixel_limit=1000), Crop(8))))
    lines.append(_tried("too large", lambda: str(small(tf.constant([files["RGB"]])))))
    return CaseErrors(tuple(lines))


def export(request: ServedExport) -> Finished:
    """Lower and finish, with what the candidate answers before and after the end."""
    from roadworthy.build.export import tensorflow_serving
    from roadworthy.build.exported import Export
    from roadworthy.core import registry
    from roadworthy.frameworks.tensorflow import framework, saved_model

    plan = Plan("tensorflow_serving", threads=THREADS, flavour=request.flavour)
    signature, out = request.graph.signature, request.path
    inputs = {name: np.asarray(array[:6]) for name, array in request.samples.open().items()}
    original = request.reference or request.graph
    framework.set_threads(THREADS)
    with open_session(original.path, signature, Plan(registry.runtime_for(original.format), threads=THREADS)) as session:
        outputs = {name: np.asarray(array) for name, array in session.run(inputs).items()}
    out.mkdir(parents=True)
    tensorflow_serving.lower(request.graph, plan, None, out)
    before = _answers(out, signature, plan, inputs)
    described = Export(
        request.name, request.version, plan, signature, request.contract, Golden(inputs, outputs), 1e-5, out, (request.graph,)
    )
    text = tensorflow_serving.finish(described, out)
    after = _answers(out, signature, plan, inputs)
    loaded = saved_model.load_saved(next(out.glob("*/*/saved_model.pb")).parent)
    files = tuple(sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()))
    errors = [max(_error(found[name], outputs[name]) for name in outputs) for found in (before, after)]
    return Finished(text, files, *errors, tuple(sorted(loaded.signatures)))


@dataclass(frozen=True)
class AheadExport:
    """Compile ``graph`` for ``plan`` into the new directory ``out``, and finish it with the golden samples ``inputs``."""

    graph: Graph
    plan: Plan
    samples: SampleSet
    out: Path


def compiled_ahead(request: AheadExport) -> CaseErrors:
    """The text beside the program of XLA's code."""
    from roadworthy.build.export import xla_aot
    from roadworthy.build.exported import Export

    graph, plan, out = request.graph, request.plan, request.out
    out.mkdir()
    xla_aot.lower(graph, plan, None, out)
    inputs = {name: np.asarray(array) for name, array in request.samples.open().items()}
    return CaseErrors((xla_aot.finish(Export("digits", "1", plan, graph.signature, Contract(), Golden(inputs, {}), 1e-5, out), out),))


def bare_names(folder: Folder) -> CaseErrors:
    """Without Roadworthy: the input that TensorFlow's way of saving makes of the name ``input.1``."""
    import tensorflow as tf

    class Holder(tf.Module):  # type: ignore[misc, name-defined, unused-ignore]
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "input.1")], autograph=False)
        def serve(self, x: Any) -> dict[str, Any]:
            return {"y": 2 * x}

    holder = Holder()
    tf.saved_model.save(holder, str(folder.path / "model"), signatures=holder.serve)
    taken = tf.saved_model.load(str(folder.path / "model")).signatures["serving_default"].structured_input_signature[1]
    return CaseErrors(tuple(taken))


def bare_decoding(folder: Folder) -> CaseErrors:
    """Without Roadworthy: how far ``tf.io.decode_image`` is from Pillow on a JPEG, in levels."""
    import tensorflow as tf

    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (21, 33, 3), np.uint8)).resize((66, 42))
    content = _encoded(smooth, "JPEG", quality=90)
    wanted = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    return CaseErrors((f"largest: {np.abs(tf.io.decode_image(content, channels=3).numpy().astype(int) - wanted).max()}",))


def shown(directory: Folder) -> CaseErrors:
    """What ``saved_model_cli show`` prints, line by line."""
    program = Path(sys.executable).with_name("saved_model_cli")
    run = subprocess.run([program, "show", "--dir", directory.path, "--all"], capture_output=True, text=True, check=True)
    return CaseErrors(tuple(line.strip() for line in run.stdout.splitlines() if line.strip()))


def _answers(out: Path, signature: Signature, plan: Plan, inputs: Arrays) -> Arrays:
    with open_session(out, signature, plan) as session:
        return {name: np.asarray(array) for name, array in session.run(inputs).items()}


def _error(found: Array, wanted: Array) -> float:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return float("inf")
    difference = np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max(initial=0.0)
    return float(difference / max(float(np.abs(wanted.astype(np.float64)).max(initial=0.0)), 1e-6))


def _encoded(picture: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def _tried(name: str, call: Callable[[], object]) -> str:
    """``name: `` with what ``call`` gives or raises, in one line."""
    try:
        return f"{name}: {call()}"
    except RoadworthyError as problem:
        return f"{name}: {problem.message}"
    except Exception as problem:
        return f"{name}: {type(problem).__name__} {' '.join(str(problem).split())}"


def with_names(graph: Graph, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
    """``graph`` under other names of its signature."""
    signature = graph.signature
    given = tuple(replace(spec, name=name) for spec, name in zip(signature.inputs, inputs, strict=True))
    made = tuple(replace(spec, name=name) for spec, name in zip(signature.outputs, outputs, strict=True))
    return replace(graph, signature=replace(signature, inputs=given, outputs=made))
