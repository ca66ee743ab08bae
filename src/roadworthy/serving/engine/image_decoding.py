"""Encoded images to a model's input, in pools of threads, so that no image holds up the event loop, nor a large one the small."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

import numpy as np

from roadworthy.core.errors import DataError, DeadlineExceeded, InvalidRequest, TooLarge, Unavailable
from roadworthy.core.host import usable_cores
from roadworthy.core.types import Array, Arrays, TensorSpec
from roadworthy.preprocess.decode import TooManyPixels
from roadworthy.preprocess.image import Preprocessor
from roadworthy.serving.engine import image_guards
from roadworthy.serving.engine.model import Model
from roadworthy.serving.limits import MIB, Limits

LARGE = 4_000_000
"""Pixels above which images are decoded one at a time, in a thread of their own: together they would fill the memory."""

SAMPLES = 256 * MIB
"""Bytes that the images of one request may become: a body of tiny ones could become a thousand times its size."""

TINY_PIXELS, TINY_BYTES = 10_000, 4096
"""Images up to this are decoded on the event loop's own thread: going to another one would cost as much again."""

OVERHEAD = 20_000
"""What an image costs beside its pixels, as a number of them."""

MEMORY = 0.1
"""Weight of the last image in the running estimate of what a pixel costs."""


class Decoder:
    """The pools of one worker; their threads start with the first image. All methods belong to the event loop's thread.

    ``draft`` reads JPEGs at a part of their size where the model's resize allows it: faster, and not the very same answers.
    """

    def __init__(self, limits: Limits, *, draft: bool = False) -> None:
        self._limits, self._draft = limits, draft
        self._preprocessors: WeakKeyDictionary[Model, Preprocessor] = WeakKeyDictionary()
        self._small = _Pool(min(4, usable_cores()))
        self._large = _Pool(1)

    async def images(self, model: Model, images: Sequence[bytes], deadline: float | None = None) -> Arrays:
        """``images`` as the feeds of ``model``, samples first; ``deadline`` is a reading of ``time.monotonic()``.

        Raises InvalidRequest for one that cannot be read, TooLarge for one above the pixel limit and for more than
        ``SAMPLES``, Unavailable where it would wait too long for a thread, and DeadlineExceeded. Cancelled, it decodes no more.
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
            pool = self._large if sizes[index] > LARGE else self._small
            return await pool.run(lambda: _decode(preprocessor, image, name, out), sizes[index])

        try:
            first = await one(0)
            if len(images) == 1:
                return {spec.name: first[None]}
            samples = np.empty((len(images), *first.shape), first.dtype)
            samples[0] = first
            # As many at a time as there are threads, so that a request of many images leaves the others their turn.
            indices = iter(range(1, len(images)))
            streams = [asyncio.ensure_future(_each(one, indices, samples)) for _ in range(self._small.threads)]
            try:
                await asyncio.gather(*streams)
            finally:
                for stream in streams:
                    stream.cancel()
            return {spec.name: samples}
        except TooManyPixels as problem:
            raise TooLarge(problem.message) from problem
        except DataError as problem:
            raise InvalidRequest(problem.message) from problem

    def close(self) -> None:
        """End the threads."""
        self._small.close()
        self._large.close()

    def _preprocessor(self, model: Model) -> Preprocessor:
        found = self._preprocessors.get(model)
        if found is None:
            if not model.takes_images:
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
        if len(sizes) > 1 and (whole := sum(_bytes(spec, size) for size in sizes)) > SAMPLES:
            raise TooLarge(f"{len(sizes)} images become {whole // MIB} MiB, more than the limit of {SAMPLES // MIB}; send fewer at a time")
        wait = max(pool.wait for pool in (self._small, self._large) if pool is self._small or most > LARGE)
        if wait > self._limits.wait_seconds:
            raise Unavailable(f"images wait for about {wait:.2f} s to be decoded; try again later", after=wait)


class _Pool:
    """Threads, and how long an image would wait for one of them by what others took."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decoder")
        self._pace = 0.0
        self._in_hand = 0

    @property
    def wait(self) -> float:
        """Seconds, about."""
        return self._pace * self._in_hand / self.threads

    async def run(self, decode: Callable[[], tuple[Array, float]], pixels: int) -> Array:
        """What ``decode`` gives, which says how long it took itself."""
        cost = pixels + OVERHEAD
        self._in_hand += cost
        try:
            sample, seconds = await asyncio.get_running_loop().run_in_executor(self._executor, decode)
        finally:
            self._in_hand -= cost
        pace = seconds / cost
        self._pace += MEMORY * (pace - self._pace) if self._pace else pace
        return sample

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


async def _each(one: Callable[[int, Array], Awaitable[Array]], indices: Iterator[int], samples: Array) -> None:
    for index in indices:
        await one(index, samples[index])


def _decode(preprocessor: Preprocessor, image: bytes, name: str, out: Array | None) -> tuple[Array, float]:
    begun = time.perf_counter()
    image_guards.refuse_endless(image, name)
    return preprocessor.one(image, out=out, name=name), time.perf_counter() - begun


def _bytes(spec: TensorSpec, pixels: int) -> int:
    """What an image of so many pixels becomes; where its size is free, as many as it has itself in three colours."""
    shape = spec.shape[1:]
    count = math.prod(size for size in shape if isinstance(size, int)) if all(isinstance(size, int) for size in shape) else 3 * pixels
    return count * np.dtype(spec.dtype).itemsize
