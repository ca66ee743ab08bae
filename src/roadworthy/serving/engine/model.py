"""A bundle opened on this host: intact, in a variant that runs here and still gives its golden answers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from statistics import median
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from roadworthy.bundle import golden as goldens
from roadworthy.bundle import store
from roadworthy.bundle.golden import Golden
from roadworthy.bundle.manifest import Manifest, Variant
from roadworthy.core.errors import BackendMissing, BundleError, InvalidRequest, RoadworthyError, StepFailed
from roadworthy.core.host import Host, this_host
from roadworthy.core.numerics import sample_errors, scale_of
from roadworthy.core.types import BYTES, Array, Arrays, Signature
from roadworthy.preprocess.answer import Ranked, ranks, read_out
from roadworthy.runtimes import Checked, CheckedSession, open_session
from roadworthy.serving.engine.inputs import as_input, images_of

if TYPE_CHECKING:
    from roadworthy.preprocess.image import Preprocessor


@dataclass(frozen=True)
class GoldenCheck:
    """What the golden samples showed on this host. ``error`` and ``gate`` are relative to the output's scale."""

    variant: str
    samples: int
    error: float
    gate: float


@dataclass(frozen=True)
class Prediction:
    """``outputs`` by name, samples first, and for each sample its top classes, best first (empty where the first output has none)."""

    outputs: Arrays
    ranked: tuple[tuple[Ranked, ...], ...]


class Model:
    """A bundle ready to answer. ``notes`` says what differs from what was certified, one sentence each.

    ``pace`` is seconds for each element of the inputs, seen while opening on one sample. Calls from several threads wait for each other.
    """

    def __init__(self, manifest: Manifest, variant: Variant, session: CheckedSession, check: GoldenCheck, notes: tuple[str, ...]) -> None:
        self.name, self.version = manifest.name, manifest.version
        self.signature, self.contract = manifest.signature, manifest.contract
        self.variant, self.check, self.notes = variant, check, notes
        self.pace = float("inf")
        self._session = session
        self._lock = Lock()
        self._preprocessor: Preprocessor | None = None

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        threads: int | None = None,
        spin: bool = True,
        batch: int = 1,
        name: str | None = None,
        version: str | None = None,
    ) -> Model:
        """The first variant of the bundle at ``path`` that this host can run and that gives its golden answers here.

        ``threads`` overrides what the plan says; without it a plan made for more cores than there are is cut to these. Without
        ``spin`` no thread spins while it waits, whatever the plan says. The golden answers are checked on exactly these threads, and
        in calls of up to ``batch`` samples, see ``prove``. ``name`` and ``version`` override what the bundle calls itself.
        Raises BundleError for a bundle that is damaged or of which no variant passes (each with its reason), and
        BackendMissing when packages are all that is lacking.
        """
        root = Path(path)
        manifest = store.read(root)
        host = this_host()
        golden = read_golden(root, manifest)
        notes = _notes_on_host(root, host)
        failures: list[RoadworthyError] = []
        for variant in manifest.variants:
            try:
                session, check = open_variant(root, manifest, variant, host, golden, threads, spin, batch)
            except RoadworthyError as problem:
                failures.append(problem)
                notes.append(f"{variant.name} is not used: {problem.message}")
                continue
            model = cls(manifest, variant, session, check, (*notes, *_notes_on_packages(variant)))
            model.name, model.version = name or model.name, version or model.version
            model.pace = _pace(model, golden)
            return model
        if all(isinstance(problem, BackendMissing) for problem in failures):
            raise failures[0]
        reasons = "; ".join(f"{variant.name}: {problem.message}" for variant, problem in zip(manifest.variants, failures, strict=True))
        raise BundleError(f"{root}: no variant gives its certified answers on this host ({reasons})")

    @property
    def takes_images(self) -> bool:
        """Whether an image has a defined way into the model."""
        return self.contract.takes_images and len(self.signature.inputs) == 1

    @property
    def takes_files(self) -> bool:
        """Whether a sample is one byte string, so that any file is a sample as it is."""
        (first, *rest) = self.signature.inputs
        return not rest and first.dtype == BYTES and len(first.shape) == 1 and not self.takes_images

    @property
    def ranks(self) -> bool:
        """Whether the first output is read as scores of classes."""
        return ranks(self.contract.answer, self.signature.outputs[0])

    def __call__(self, item: Any) -> Prediction:
        """The answer to ``item``.

        One image (encoded bytes, a path, a PIL image, a uint8 array [H,W,C] or [H,W]) or a list of them, where the bundle
        says how images become inputs; an array or nested list for a model of one input; a mapping of arrays for any
        model. For byte strings: bytes, a path (the file's bytes are the sample), text (as UTF-8), or a list of them. A single
        sample may come without its batch dimension. Raises InvalidRequest where it does not fit, DataError for an image or
        a file that cannot be used.
        """
        outputs = self.run(self.feeds(item))
        return Prediction(outputs, self.rank(outputs))

    def rank(self, outputs: Arrays) -> tuple[tuple[Ranked, ...], ...]:
        """For each sample its top classes, best first; empty where the first output has none."""
        first = self.signature.outputs[0]
        if not self.ranks:
            return ((),) * (len(outputs[first.name]) if outputs[first.name].ndim else 0)
        return read_out(self.contract.answer, {first.name: outputs[first.name]}, first.quantization)

    def prove(self, golden: Golden, batch: int) -> None:
        """Check the golden answers in calls of every power of two up to ``batch`` samples, of three and of ``batch``, samples repeated.

        Kernels are chosen by the size of a call, and one may be wrong where another is right. Raises BundleError with the size.
        """
        error = max(self.check.error, _prove_batches(self._session, self.signature, self.variant, golden, batch))
        self.check = replace(self.check, error=error)

    def checked(self, feeds: Arrays) -> Checked:
        """``feeds`` for ``answer``; raises InvalidRequest where they do not fit the signature exactly."""
        return self._session.checked(feeds)

    def answer(self, given: Checked) -> Arrays:
        """The outputs by name for what this model, or another of the same bundle, has checked.

        What a byte string holds the model alone can tell: where it fails on one, InvalidRequest says so.
        """
        with self._lock:
            try:
                return self._session.answer(given)
            except StepFailed as problem:
                if any(array.dtype.hasobject for array in given.feeds.values()):
                    raise InvalidRequest(problem.message, detail=problem.detail) from problem
                raise

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name; ``feeds`` fit the signature exactly, or InvalidRequest is raised. See also ``answer``."""
        return self.answer(self.checked(feeds))

    def feeds(self, item: Any) -> dict[str, Array]:
        """``item`` as the model's inputs; see ``__call__``."""
        specs = self.signature.inputs
        if isinstance(item, Mapping):
            known = {spec.name: spec for spec in specs}
            return {name: as_input(array, known[name]) if name in known else np.asarray(array) for name, array in item.items()}
        if self.takes_images and (images := images_of(item)) is not None:
            return self.images(images)
        if len(specs) != 1:
            raise InvalidRequest(f"the model has {len(specs)} inputs; give a mapping of {', '.join(spec.name for spec in specs)} to arrays")
        return {specs[0].name: as_input(item, specs[0])}

    def images(self, items: Sequence[Any]) -> dict[str, Array]:
        """Images as the model's only input, through the bundle's contract."""
        if self._preprocessor is None:
            # Pillow is loaded for models that see images, and when the first one comes.
            from roadworthy.preprocess.image import Preprocessor

            if not self.takes_images:
                raise InvalidRequest(f"{self.name} does not say how an image becomes its input; it takes {_takes(self.signature)}")
            self._preprocessor = Preprocessor(self.contract.image)
        return {self.signature.inputs[0].name: self._preprocessor.many(items)}

    def close(self) -> None:
        """Release the runtime's resources."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_variant(
    root: Path, manifest: Manifest, variant: Variant, host: Host, golden: Golden, threads: int | None, spin: bool, batch: int = 1
) -> tuple[CheckedSession, GoldenCheck]:
    """One variant of the bundle at ``root``, proven by the answers in ``golden``; see ``Model.open`` for the numbers.

    Raises BundleError for whatever keeps it from answering here as it was certified, BackendMissing where a package is missing.
    """
    if not host.has(*variant.features):
        lacking = ", ".join(feature for feature in variant.features if not host.has(feature))
        raise BundleError(f"this CPU ({host.cpu}) lacks {lacking}")
    plan = replace(variant.plan, threads=threads or min(variant.plan.threads, host.cores), spin=variant.plan.spin and spin)
    try:
        session = open_session(root / variant.path, manifest.signature, plan)
    except RoadworthyError:
        raise
    except Exception as problem:
        # Whatever a runtime says about a file that it cannot load is a reason to try the next variant.
        raise BundleError(f"it cannot be loaded here ({_one_line(problem)})") from problem
    try:
        error = _prove(session, manifest.signature, variant, golden)
        error = max(error, _prove_batches(session, manifest.signature, variant, golden, batch))
    except RoadworthyError:
        session.close()
        raise
    except Exception as problem:
        session.close()
        raise BundleError(f"it fails on its golden samples here ({_one_line(problem)})") from problem
    return session, GoldenCheck(variant.name, manifest.golden.samples, error, variant.gate)


def _prove(session: CheckedSession, signature: Signature, variant: Variant, golden: Golden, size: int | None = None) -> float:
    """The largest golden error, in calls of ``size`` samples; BundleError where it is above the variant's gate."""
    errors = {name: float(rows.max()) for name, rows in golden_errors(session, signature, golden, size).items()}
    if endless := next((name for name, error in errors.items() if not math.isfinite(error)), None):
        words = "another byte string than" if golden.outputs[endless].dtype.hasobject else "NaN or an infinity at another place than"
        raise BundleError(f"its output {endless!r} has {words} the original's on a golden sample")
    error = max(errors.values(), default=0.0)
    if error > variant.gate:
        raise BundleError(f"its golden answers are off by {error:.3g} of the output's scale here, and {variant.gate:.3g} is allowed")
    return error


def _prove_batches(session: CheckedSession, signature: Signature, variant: Variant, golden: Golden, batch: int) -> float:
    """The largest golden error in calls of several samples, as ``Model.prove`` says; 0 where there are none."""
    worst = 0.0
    for size in sorted({3, batch, *(2**power for power in range(1, batch.bit_length()))}):
        if not 1 < size <= batch or signature.call_size(size) != size:
            continue
        try:
            worst = max(worst, _prove(session, signature, variant, _filled(golden, size), size))
        except BundleError as problem:
            raise BundleError(f"{problem.message}, in calls of {size} samples") from None
    return worst


def _filled(golden: Golden, size: int) -> Golden:
    """All golden samples, the first ones again until calls of ``size`` are full."""

    def filled(arrays: Arrays) -> dict[str, Array]:
        return {name: np.resize(array, (-(-len(array) // size) * size, *array.shape[1:])) for name, array in arrays.items()}

    return Golden(filled(golden.inputs), filled(golden.outputs))


def read_golden(root: Path, manifest: Manifest) -> Golden:
    """The golden samples of the bundle at ``root``, as many as the manifest says, or BundleError; their file is among the hashed."""
    path = manifest.golden.path
    golden = goldens.read(root / path, manifest.signature)
    arrays = (*golden.inputs.values(), *golden.outputs.values())
    counts = {array.shape[0] if array.ndim else 0 for array in arrays}
    if counts != {manifest.golden.samples} or not manifest.golden.samples:
        raise BundleError(f"{root}: {path} should hold {manifest.golden.samples} golden samples of every input and output")
    return golden


def golden_errors(session: CheckedSession, signature: Signature, golden: Golden, size: int | None = None) -> dict[str, Array]:
    """For each output of ``golden`` each sample's difference from the original's answer, relative to that output's largest magnitude:
    float64 [samples], the largest of all batch sizes, or in calls of ``size`` samples alone.

    Raises BundleError for an output that is missing or has another shape.
    """
    count = len(next(iter(golden.inputs.values())))
    worst = {name: np.zeros(count) for name in golden.outputs}
    quantizations = {spec.name: spec.quantization for spec in signature.outputs}
    scales = {name: scale_of(array, quantizations[name]) for name, array in golden.outputs.items()}
    pieces = ((start, start + size) for start in range(0, count, size)) if size else _pieces(signature, count)
    for start, stop in pieces:
        outputs = session.run({name: array[start:stop] for name, array in golden.inputs.items()})
        for name, whole in golden.outputs.items():
            want, got = whole[start:stop], outputs.get(name)
            if got is None or got.shape != want.shape:
                raise BundleError(f"output {name!r} has shape {None if got is None else list(got.shape)}, not {list(want.shape)}")
            errors = sample_errors(got, want, scales[name], quantizations[name])
            worst[name][start:stop] = np.maximum(worst[name][start:stop], errors)
    return worst


def _pieces(signature: Signature, count: int) -> Iterator[tuple[int, int]]:
    """One sample alone, then all in the largest calls there may be."""
    one, many = signature.call_size(1), signature.call_size(count)
    if one > count:
        raise BundleError(f"{count} golden samples are fewer than the {one} of one call")
    yield 0, one
    yield from ((start, start + many) for start in range(0, count - many + 1, many))


def _pace(model: Model, golden: Golden) -> float:
    """Seconds for each element of the inputs: the median of up to ten calls with one sample, of one if that is long."""
    start, stop = next(_pieces(model.signature, model.check.samples))
    feeds = {name: array[start:stop] for name, array in golden.inputs.items()}
    times: list[float] = []
    while len(times) < 10 and sum(times) < 0.02:
        begun = time.perf_counter()
        model.run(feeds)
        times.append(time.perf_counter() - begun)
    return median(times) / sum(array.size for array in feeds.values())


def _notes_on_host(root: Path, host: Host) -> list[str]:
    certified = store.read_certificate(root).host
    if certified.cpu == host.cpu and certified.features == host.features:
        return []
    return [f"certified on {certified.cpu}; the golden samples are checked again here ({host.cpu}), speed is not promised"]


def _notes_on_packages(variant: Variant) -> Iterator[str]:
    for requirement in variant.requires:
        name, _, pinned = requirement.partition("==")
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        # A local suffix such as +cpu says which build it is, not which version; the pin leaves it out.
        if here.partition("+")[0] != pinned:
            yield f"certified with {requirement}; here it is {here}, and the golden samples pass"


def _takes(signature: Signature) -> str:
    return ", ".join(map(str, signature.inputs))


def _one_line(problem: BaseException) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return f"{type(problem).__name__}: {lines[0][:200]}" if lines else type(problem).__name__
