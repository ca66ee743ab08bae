"""Decodes images to a model's input, in thread pools: images do not block the event loop, and large images do not delay small ones."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from roadworthy.core.errors import DataError, DeadlineExceeded, InvalidRequest, TooLarge, Unavailable
from roadworthy.core.host import usable_cores
from roadworthy.core.types import Array, Arrays, TensorSpec
from roadworthy.preprocess.decode import TooManyPixels
from roadworthy.preprocess.image import Preprocessor
from roadworthy.serving.engine import image_guards
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.limits import MIB, ServerLimits

T = TypeVar("T")

LARGE_PIXELS = 4_000_000
"""Larger images are decoded one at a time, in a separate pool: decoded side by side they would fill the memory."""

MAX_SAMPLES_BYTES = 256 * MIB
"""The most bytes that the items of one request may become: a body of tiny images could grow a thousandfold."""

TINY_PIXELS, TINY_BYTES = 10_000, 4096
"""A single image up to this size is decoded on the event loop's thread: a switch to another thread would take as long again."""

OVERHEAD_PIXELS = 20_000
"""The fixed cost of decoding any image, expressed in pixels."""

LAST_IMAGE_WEIGHT = 0.1
"""The weight of the last image in the running estimate of the seconds a pixel takes."""


class Decoder:
    """The thread pools of one worker; threads start with the first image. All methods belong to the event loop's thread.

    With ``draft``, a JPEG is decoded at a fraction of its size where the model's resize allows it: faster, with slightly other answers.
    """

    def __init__(self, limits: ServerLimits, *, draft: bool = False) -> None:
        self._limits, self._draft = limits, draft
        self._preprocessors: WeakKeyDictionary[LocalEngine, Preprocessor] = WeakKeyDictionary()
        self._small = DecoderPool(min(4, usable_cores()))
        self._large = DecoderPool(1)

    async def images(self, model: LocalEngine, images: Sequence[bytes], deadline: float | None = None) -> Arrays:
        """``images`` as the feeds of ``model``; ``deadline`` is a reading of ``time.monotonic()``.

        Raises InvalidRequest for an image that cannot be read, TooLarge for one above the pixel limit and for more than
        ``MAX_SAMPLES_BYTES``, Unavailable where it would wait too long for a thread, and DeadlineExceeded. If cancelled, it stops.
        """
        preprocessor, spec = self._preprocessor(model), model.signature.inputs[0]
        sizes = [image_guards.pixels(image) for image in images]
        self._admit(spec, preprocessor.pixel_limit, sizes)

        async def one(index: int, out: Array | None = None) -> Array:
            if deadline is not None and time.monotonic() >= deadline:
                raise DeadlineExceeded("the time for this request ran out before its images were decoded")
            image, name = images[index], f"image {index}"
            if len(images) == 1 and sizes[0] <= TINY_PIXELS and len(image) <= TINY_BYTES:
                return _decode(preprocessor, image, name, out)[0]
            pool = self._large if sizes[index] > LARGE_PIXELS else self._small
            return await pool.run(lambda: _decode(preprocessor, image, name, out), sizes[index])

        try:
            first = await one(0)
            if len(images) == 1:
                return model.signature.to_call({spec.name: first[None]})
            samples = np.empty((len(images), *first.shape), first.dtype)
            samples[0] = first
            # At most as many at a time as there are threads: a request of many images must not block the images of other requests.
            indices = iter(range(1, len(images)))
            streams = [asyncio.ensure_future(_each(one, indices, samples)) for _ in range(self._small.threads)]
            try:
                await asyncio.gather(*streams)
            finally:
                for stream in streams:
                    stream.cancel()
            return model.signature.to_call({spec.name: samples})
        except TooManyPixels as problem:
            raise TooLarge(problem.message) from problem
        except DataError as problem:
            raise InvalidRequest(problem.message) from problem

    async def places(self, model: LocalEngine, images: Sequence[bytes]) -> Array:
        """Where each sample lies in its image, as ``Placement.matrix``: float64 [samples, 2, 3]. The images are ones that were decoded."""
        preprocessor = self._preprocessor(model)

        def read() -> tuple[Array, float]:
            begun = time.perf_counter()
            return np.stack([preprocessor.placement(image).matrix for image in images]), time.perf_counter() - begun

        return await self._small.run(read, OVERHEAD_PIXELS * (len(images) - 1))

    def close(self) -> None:
        """End the threads."""
        self._small.close()
        self._large.close()

    def _preprocessor(self, model: LocalEngine) -> Preprocessor:
        found = self._preprocessors.get(model)
        if found is None:
            if model.kind != "image":
                raise InvalidRequest(f"{model.name} does not say how an image becomes its input")
            steps = model.contract.with_pixel_limit(self._limits.pixels).image
            try:
                found = self._preprocessors[model] = Preprocessor(steps, draft=self._draft)
            except DataError as problem:
                raise TooLarge(f"{model.name} takes larger images than this server's limit allows: {problem.message}") from problem
        return found

    def _admit(self, spec: TensorSpec, limit: int, sizes: Sequence[int]) -> None:
        if not sizes:
            raise InvalidRequest("there are no images")
        if (most := max(sizes)) > limit:
            raise TooLarge(f"image {sizes.index(most)} has {most} pixels, more than the limit of {limit}")
        if len(sizes) > 1 and (whole := sum(_bytes(spec, size) for size in sizes)) > MAX_SAMPLES_BYTES:
            raise TooLarge(
                f"{len(sizes)} images become {whole // MIB} MiB, more than the limit of {MAX_SAMPLES_BYTES // MIB}; send fewer at a time"
            )
        wait = max(pool.wait for pool in (self._small, self._large) if pool is self._small or most > LARGE_PIXELS)
        if wait > self._limits.wait_seconds:
            raise Unavailable(f"images wait for about {wait:.2f} s to be decoded; try again later", after=wait)


class DecoderPool:
    """A thread pool, and an estimate of how long an image would wait for one of its threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decoder")
        self._seconds_per_pixel = 0.0
        self._pixels_queued = 0

    @property
    def wait(self) -> float:
        """Seconds until an image that arrives now would start, by what images took so far."""
        return self._seconds_per_pixel * self._pixels_queued / self.threads

    async def run(self, decode: Callable[[], tuple[T, float]], pixels: int) -> T:
        """What ``decode`` returns together with the seconds that it took; ``pixels`` say how long that will be, or bytes do."""
        cost = pixels + OVERHEAD_PIXELS
        self._pixels_queued += cost
        try:
            sample, seconds = await asyncio.get_running_loop().run_in_executor(self._executor, decode)
        finally:
            self._pixels_queued -= cost
        seen = seconds / cost
        self._seconds_per_pixel += LAST_IMAGE_WEIGHT * (seen - self._seconds_per_pixel) if self._seconds_per_pixel else seen
        return sample

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


async def _each(one: Callable[[int, Array], Awaitable[Array]], indices: Iterator[int], samples: Array) -> None:
    for index in indices:
        await one(index, samples[index])


def _decode(preprocessor: Preprocessor, image: bytes, name: str, out: Array | None) -> tuple[Array, float]:
    begun = time.perf_counter()
    image_guards.refuse_many_pieces(image, name)
    return preprocessor.one(image, out=out, name=name), time.perf_counter() - begun


def _bytes(spec: TensorSpec, pixels: int) -> int:
    """The bytes that an image of that many pixels becomes; where the model takes any size, its pixels in three colours."""
    shape = spec.sample_shape
    count = math.prod(size for size in shape if isinstance(size, int)) if all(isinstance(size, int) for size in shape) else 3 * pixels
    return count * np.dtype(spec.dtype).itemsize
