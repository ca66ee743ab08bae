"""Encoded images to a model's input, in a pool of threads, so that no image holds up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from roadworthy.core.errors import DataError, InvalidRequest
from roadworthy.core.host import usable_cores
from roadworthy.core.types import Arrays
from roadworthy.serve.limits import Limits
from roadworthy.serve.model import Model


class Decoder:
    """The pool of one worker; its threads start with the first image."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(min(4, usable_cores()), thread_name_prefix="decoder")

    async def images(self, model: Model, images: Sequence[bytes]) -> Arrays:
        """``images`` as the feeds of ``model``, samples first.

        Raises InvalidRequest for one that cannot be read, TooLarge for one above the limit.
        """
        loop = asyncio.get_running_loop()
        try:
            each = await asyncio.gather(*(loop.run_in_executor(self._pool, model.images, [image]) for image in images))
        except DataError as problem:
            raise InvalidRequest(problem.message) from problem
        if len(each) == 1:
            return each[0]
        return {name: np.concatenate([feeds[name] for feeds in each]) for name in each[0]}

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)
