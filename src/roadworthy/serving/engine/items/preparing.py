"""Items of a request to a model's input: images in their own pools, sounds and long texts on a thread."""

from __future__ import annotations

import time
from collections.abc import Sequence

from roadworthy.core.errors import DataError, DeadlineExceeded, InvalidRequest, TooLarge, Unavailable
from roadworthy.core.host import usable_cores
from roadworthy.core.types import Array, Arrays
from roadworthy.preprocess.items import WORDS
from roadworthy.preprocess.too_large import ItemTooLarge
from roadworthy.serving.engine.image_decoding import MAX_SAMPLES_BYTES, Decoder, DecoderPool
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.limits import ServerLimits

SHORT_BYTES = 4096
"""Texts of so many bytes together are prepared on the event loop's thread: a switch to another would take as long again. A sound of few
bytes may become millions of samples."""


class Preparer:
    """The threads of one worker; they start with the first item. All methods belong to the event loop's thread; see also ``Decoder``."""

    def __init__(self, limits: ServerLimits, *, draft: bool = False) -> None:
        self._limits = limits
        self._decoder = Decoder(limits, draft=draft)
        self._pool = DecoderPool(min(4, usable_cores()))

    async def feeds(self, model: LocalEngine, items: Sequence[bytes], deadline: float | None = None) -> Arrays:
        """``items`` as the feeds of ``model``; ``deadline`` is a reading of ``time.monotonic()``.

        Raises InvalidRequest for an item that cannot be read, TooLarge for one above its limit and for more than ``MAX_SAMPLES_BYTES``,
        Unavailable where it would wait too long for a thread, and DeadlineExceeded.
        """
        if model.kind == "image":
            return await self._decoder.images(model, items, deadline)
        if model.kind is None:
            raise InvalidRequest(f"{model.name} does not say how an item becomes its input")
        several = WORDS[model.kind][1]
        if deadline is not None and time.monotonic() >= deadline:
            raise DeadlineExceeded(f"the time for this request ran out before its {several} were prepared")
        if (wait := self._pool.wait) > self._limits.wait_seconds:
            raise Unavailable(f"{several} wait for about {wait:.2f} s to be prepared; try again later", after=wait)
        size = sum(map(len, items))
        try:
            if model.kind == "text" and size <= SHORT_BYTES and len(items) <= 8:
                return _prepared(model, items)[0]
            return await self._pool.run(lambda: _prepared(model, items), size)
        except ItemTooLarge as problem:
            raise TooLarge(problem.message) from problem
        except DataError as problem:
            raise InvalidRequest(problem.message) from problem

    async def places(self, model: LocalEngine, images: Sequence[bytes]) -> Array:
        """Where each sample lies in its image; see ``Decoder.places``."""
        return await self._decoder.places(model, images)

    def close(self) -> None:
        """End the threads."""
        self._decoder.close()
        self._pool.close()


def _prepared(model: LocalEngine, items: Sequence[bytes]) -> tuple[Arrays, float]:
    begun = time.perf_counter()
    return model.from_items(items, most=MAX_SAMPLES_BYTES), time.perf_counter() - begun
