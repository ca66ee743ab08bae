"""The engine: a bundle opened in this process, without any transport. Worker processes and ``roadworthy.load`` use it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from roadworthy.bundle import store
from roadworthy.bundle.golden import Golden
from roadworthy.core.errors import BundleError, DataError, InvalidRequest, StepFailed
from roadworthy.core.text import named_line
from roadworthy.core.types import BYTES, Array, Arrays
from roadworthy.preprocess import items as item_readers
from roadworthy.preprocess.answer import Ranked, ranks, read_out
from roadworthy.preprocess.contract import ItemKind
from roadworthy.preprocess.items import ItemReader
from roadworthy.preprocess.texts import TextSteps
from roadworthy.runtimes import Checked
from roadworthy.serving.engine.golden_check import check_batches, check_padding, golden_calls, read_golden
from roadworthy.serving.engine.inputs import as_input, items_of
from roadworthy.serving.engine.variant import RunOptions, open_first_variant, proven

if TYPE_CHECKING:
    from roadworthy.preprocess.placement import Placement


@dataclass(frozen=True)
class Prediction:
    """``outputs`` by name, samples first, and for each sample its top classes, best first (empty where the first output has none)."""

    outputs: Arrays
    ranked: tuple[tuple[Ranked, ...], ...]


class LocalEngine:
    """The bundle at ``bundle``, in its first variant that runs on this host and still gives its golden answers.

    ``options`` say how it runs, by default as its plan says, on no more threads than there are cores; ``threads`` overrides the number.
    The golden answers are checked as it runs here. ``name`` and ``version`` override what the bundle calls itself.

    ``plan`` is how it runs, and ``proven`` says that the build host has compared the answers of exactly that with the original's.
    ``check`` is the result of the golden check, ``notes`` say what differs from the certificate, one sentence each.
    ``seconds_per_element`` is the time of a call with one sample, divided by the elements of its inputs.
    Calls from several threads wait for each other.

    Raises BundleError for a bundle that is damaged or of which no variant passes (with each reason), BackendMissing where missing
    packages are the only reason.
    """

    def __init__(
        self,
        bundle: Path | str,
        *,
        threads: int | None = None,
        options: RunOptions = RunOptions(),  # noqa: B008 (it is frozen)
        name: str | None = None,
        version: str | None = None,
    ) -> None:
        root = Path(bundle)
        manifest = store.read(root)
        golden = read_golden(root, manifest)
        self.signature, self.contract = manifest.signature, manifest.contract
        self._root = root
        self._reader: ItemReader | None = self._opened_reader() if self.contract.files else None
        opened = open_first_variant(root, manifest, golden, replace(options, threads=threads or options.threads))
        self.name, self.version = name or manifest.name, version or manifest.version
        self.variant, self.plan, self.check, self.notes = opened.variant, opened.plan, opened.check, opened.notes
        self.proven = proven(opened.variant, opened.plan)
        self._session = opened.session
        self._lock = Lock()
        if self.contract.text is not None:
            self._check_padding(self.contract.text, golden)
        self.seconds_per_element = self._time_one_sample(golden)

    @cached_property
    def kind(self) -> ItemKind | None:
        """What one item is that the bundle turns into the model's inputs: an image, a text or a sound; ``None`` where it says nothing."""
        return self.contract.kind if self.contract.kind == "text" or len(self.signature.inputs) == 1 else None

    @property
    def takes_items(self) -> bool:
        """Whether the bundle says how an image, a text or a sound becomes the model's inputs."""
        return self.kind is not None

    @property
    def item_names(self) -> tuple[str, ...]:
        """The names under which protocols that name their inputs take an item: the first input's, and the word for its kind."""
        return tuple(dict.fromkeys((self.signature.inputs[0].name, self.kind))) if self.kind is not None else ()

    @property
    def takes_files(self) -> bool:
        """Whether a sample is one byte string, so that the bytes of any file are a sample."""
        (first, *rest) = self.signature.inputs
        return not rest and first.dtype == BYTES and len(first.shape) == 1 and first.samples is not None and not self.takes_items

    @cached_property
    def ranks(self) -> bool:
        """Whether the first output is read as scores of classes."""
        return ranks(self.contract.answer, self.signature.outputs[0])

    def infer(self, item: Any) -> Prediction:
        """The answer to ``item``.

        One image (encoded bytes, a path, a PIL image, a uint8 array [H,W,C] or [H,W]) or a list of them, where the bundle
        says how images become inputs; a text, or the path or the bytes of a text or wav file, where it says that of texts or
        sounds, or a list of them; an array or nested list for a model of one input; a mapping of arrays for any
        model. Where the model takes pixels (its normalisation is inside), a uint8 array [n,H,W,C] is its input as it is. For byte
        strings: bytes, a path (the file's bytes are the sample), text (as UTF-8), or a list of them. A single
        sample may come without its batch dimension. Raises InvalidRequest where it does not fit, DataError for an image or
        a file that cannot be used.
        """
        outputs = self.run(self.feeds(item))
        return Prediction(outputs, self.rank(outputs))

    def __call__(self, item: Any) -> Prediction:
        """The same as ``infer``: what ``roadworthy.load`` gives is called as the original model was."""
        return self.infer(item)

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name; raises InvalidRequest where ``feeds`` do not fit the signature exactly. See also ``answer``."""
        return self.answer(self.checked(feeds))

    def checked(self, feeds: Arrays) -> Checked:
        """``feeds`` for ``answer``; raises InvalidRequest where they do not fit the signature exactly."""
        return self._session.checked(feeds)

    def answer(self, given: Checked) -> Arrays:
        """The outputs by name for feeds that this engine, or another one of the same bundle, has checked.

        Only the model can tell whether the content of a byte string is valid: where it fails on one, InvalidRequest says so.
        """
        with self._lock:
            try:
                return self._session.answer(given)
            except StepFailed as problem:
                if any(array.dtype.hasobject for array in given.feeds.values()):
                    raise InvalidRequest(problem.message, detail=problem.detail) from problem
                raise

    def rank(self, outputs: Arrays) -> tuple[tuple[Ranked, ...], ...]:
        """For each sample its top classes, best first; empty where the first output has none."""
        first = self.signature.outputs[0]
        samples = first.count(outputs[first.name]) or 0
        if not self.ranks:
            return ((),) * samples
        return read_out(self.contract.answer, {first.name: first.to_rows(outputs[first.name], samples)}, first.quantization)

    def feeds(self, item: Any) -> dict[str, Array]:
        """``item`` as the model's inputs; see ``infer``."""
        specs = self.signature.inputs
        if isinstance(item, Mapping):
            known = {spec.name: spec for spec in specs}
            return {name: as_input(array, known[name]) if name in known else np.asarray(array) for name, array in item.items()}
        if self.contract.inside and isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim == len(specs[0].shape):
            return {specs[0].name: item}
        if self.kind is not None and (items := items_of(item, self.kind)) is not None:
            return self.from_items(items)
        if len(specs) != 1:
            raise InvalidRequest(f"the model has {len(specs)} inputs; give a mapping of {', '.join(spec.name for spec in specs)} to arrays")
        return {specs[0].name: as_input(item, specs[0])}

    def placement(self, item: Any) -> Placement:
        """Where the pixels of the model's input lie in the image ``item``: ``placement(image).to_image(boxes)`` turns the boxes of a
        detector, in the pixels of its input, into those of the image.

        ``item`` is one image as ``infer`` takes it. Raises InvalidRequest where it is not one image, or the bundle takes no images;
        DataError for an image that cannot be read.
        """
        if self.kind != "image":
            takes = ", ".join(map(str, self.signature.inputs))
            raise InvalidRequest(f"{self.name} does not say how an image becomes its input; it takes {takes}")
        images = items_of(item, "image")
        if images is None or len(images) != 1:
            raise InvalidRequest(f"placement is of one image; {type(item).__name__} is not one")
        # Imported late: Pillow is loaded only where an image comes.
        from roadworthy.preprocess.image import Preprocessor

        return Preprocessor(self.contract.image).placement(images[0])

    def from_items(self, items: Sequence[Any], *, most: int | None = None) -> dict[str, Array]:
        """Images, texts or sounds as the model's inputs, by the steps of the bundle.

        ``most`` are the bytes that texts and sounds may become, else ItemTooLarge is raised.
        """
        if not self.takes_items:
            takes = ", ".join(map(str, self.signature.inputs))
            raise InvalidRequest(f"{self.name} does not say how an image becomes its input; it takes {takes}")
        if self._reader is None:
            self._reader = self._opened_reader()
        return self.signature.to_call(self._reader.many(items, most=most))

    def _check_padding(self, steps: TextSteps, golden: Golden) -> None:
        try:
            check_padding(self._session, self.signature, steps, golden, self.variant.gate)
        except BundleError:
            self.close()
            raise
        except Exception as problem:
            self.close()
            raise BundleError(f"it fails on a golden text with other padding ({named_line(problem, longest=200)})") from problem

    def _opened_reader(self) -> ItemReader:
        """What carries out the steps; raises BundleError where a file that they need is damaged."""
        try:
            return item_readers.reader(self.contract, self.signature.inputs, root=self._root, sizes=self.signature.sizes)
        except DataError as problem:
            raise BundleError(problem.message) from problem

    def check_batches(self, golden: Golden, batch: int) -> None:
        """Check ``golden`` in calls of up to ``batch`` samples too; raises BundleError with the size of the call that is wrong."""
        error = check_batches(self._session, self.signature, self.variant, golden, batch)
        self.check = replace(self.check, error=max(self.check.error, error))

    def close(self) -> None:
        """Release the runtime's resources."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _time_one_sample(self, golden: Golden) -> float:
        """Seconds for each element of the inputs: the median of up to ten calls with one sample, of one call if that is long."""
        start, stop = next(golden_calls(self.signature, self.check.samples))
        feeds = self.signature.to_call({name: array[start:stop] for name, array in golden.inputs.items()})
        times: list[float] = []
        while len(times) < 10 and sum(times) < 0.02:
            begun = time.perf_counter()
            self.run(feeds)
            times.append(time.perf_counter() - begun)
        return median(times) / sum(array.size for array in feeds.values())
