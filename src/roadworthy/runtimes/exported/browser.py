"""An export for browsers in a real one: the folder on loopback, a Chromium without a window, arrays in and out to the bit."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Arrays, Signature
from roadworthy.runtimes.exported._browser import held, wire
from roadworthy.runtimes.exported._browser.chromium import ChromiumPage
from roadworthy.runtimes.exported._browser.held import PageModel
from roadworthy.runtimes.exported._browser.site import ISOLATED, PAGE, PREFIX, LoopbackSite

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("numpy",)
FRAMEWORK = False
NATIVE = False
ON_TARGET = True

OPEN_S = 180.0
CALL_S = 180.0
"""Seconds for a page to open a model, and for a call. A worker that does not start leaves a page waiting without an exception."""

LOOK_S = 1.0
"""Seconds after which a session looks whether the page that it waits for still lives."""


def load(path: Path, signature: Signature, plan: Plan) -> BrowserSession:
    """The session of the model in the folder ``path``, on ``plan.threads`` threads in an isolated page.

    Raises UsageError for a plan with spinning threads, ProgramMissing without a browser, StepFailed for a folder that is damaged or of
    another model, and for what goes wrong in the page.
    """
    if plan.spin:
        raise UsageError("a page has no choice of spinning threads; leave spin out of the plan")
    stated = held.read(path)
    for found, wanted in ((stated.inputs, signature.inputs), (stated.outputs, signature.outputs)):
        have, want = ([(spec.name, spec.dtype) for spec in specs] for specs in (found, wanted))
        if have != want:
            raise StepFailed(f"{path} is not the model of this signature: it has {have} where {want} is expected")
    return BrowserSession(path, stated, signature, plan.threads)


@dataclass(frozen=True)
class PageLoad:
    """What a page takes before it can answer: bytes of its files, as they are and gzipped, and the ``ms`` to open the model."""

    bytes: int
    gzipped: int
    ms: float


class BrowserSession:
    """The driven page. A call that takes longer than ``CALL_S`` ends the browser and raises PageTimeout."""

    def __init__(self, path: Path, stated: PageModel, signature: Signature, threads: int) -> None:
        self._path = path
        self._outputs = tuple(spec.name for spec in signature.outputs)
        self._site = LoopbackSite(path, ISOLATED | {"Content-Security-Policy": stated.policy}, stated.import_map)
        self._page: ChromiumPage | None = None
        try:
            self._page = ChromiumPage()
            self._page.show(f"{self._site.address}{PAGE}", OPEN_S)
            self._opened = self._page.evaluate(f"roadworthy.open({threads})", OPEN_S)
            if note := self._opened["note"]:
                raise StepFailed(str(note))
            self._page.evaluate("void roadworthy.serve()", OPEN_S)
            self._answer(OPEN_S)
        except BaseException as problem:
            self.close()
            if isinstance(problem, StepFailed):
                problem.message = f"{stated.flavour} in the browser cannot open the model: {problem.message}"
                problem.args = (problem.message,)
            raise

    @property
    def threads(self) -> int:
        """How many threads the runtime really uses."""
        return int(self._opened["threads"])

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name, in memory of their own; raises StepFailed where the page fails or does not answer in time."""
        self._site.feeds.put(wire.packed(feeds))
        answers = dict(wire.unpacked(self._answer(CALL_S)))
        return {name: answers[name] for name in self._outputs}

    def time_calls(self, feeds: Arrays, calls: int) -> tuple[int, ...]:
        """The nanoseconds of each of ``calls`` calls with ``feeds``, timed inside the page."""
        self.run(feeds)
        page = self._living()
        with self._ended_where_late():
            return tuple(int(ns) for ns in page.evaluate(f"roadworthy.time({calls})", CALL_S))

    def loaded(self) -> PageLoad:
        """What this page asked for until it could answer, without the driving page itself."""
        files = [self._path / name.lstrip("/") for name in self._site.served if not name.startswith(PREFIX)]
        contents = [file.read_bytes() for file in files]
        return PageLoad(sum(map(len, contents)), sum(len(gzip.compress(content)) for content in contents), float(self._opened["ms"]))

    def close(self) -> None:
        """End the browser and the site."""
        if self._page is not None:
            self._page.close()
            self._page = None
        self._site.close()

    def _answer(self, limit_s: float) -> bytes:
        """What the page sends next."""
        page, until = self._living(), time.monotonic() + limit_s
        with self._ended_where_late():
            while True:
                try:
                    return self._site.answers.get(timeout=max(0.0, min(LOOK_S, until - time.monotonic())))
                except Empty:
                    page.check()
                    if time.monotonic() >= until:
                        raise page.late(limit_s) from None

    def _living(self) -> ChromiumPage:
        if self._page is None:
            raise StepFailed("the browser was closed after an earlier call failed; open the session again")
        return self._page

    @contextmanager
    def _ended_where_late(self) -> Iterator[None]:
        """The browser is ended after an error: a late answer would be taken for that of a later call."""
        try:
            yield
        except BaseException:
            page, self._page = self._page, None
            if page is not None:
                page.close()
            raise
