"""The page of an export as a visitor sees it: shown in Chromium, given an image, photographed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

from roadworthy.core.errors import StepFailed
from roadworthy.runtimes.exported._browser.chromium import ChromiumPage
from roadworthy.runtimes.exported._browser.pipe import PageTimeout
from roadworthy.runtimes.exported._browser.site import LoopbackSite

LIMIT_S = 180.0
STATE = "document.documentElement.dataset.state"


class ShownPage:
    """``index.html`` of the export in ``folder``, served without headers of its own and shown in ``page``, which stays open.

    Raises StepFailed with the page's own words where it cannot open the model.
    """

    def __init__(self, page: ChromiumPage, folder: Path) -> None:
        self.page, self.site = page, LoopbackSite(folder, {})
        try:
            self.page.show(f"{self.site.address}/", LIMIT_S)
            if self._until("ready", "failed") == "failed":
                raise StepFailed(f"the page cannot open the model: {self.text('verdict')}", detail=self.page.said())
        except BaseException:
            self.close()
            raise

    def give(self, image: Path) -> str:
        """Choose the file ``image``, and what the page says of it when it has answered."""
        # An earlier image was answered.
        self.page.evaluate(f"{STATE} = 'ready'", LIMIT_S)
        root = self.page.call("DOM.getDocument", LIMIT_S)["root"]["nodeId"]
        field = self.page.call("DOM.querySelector", LIMIT_S, nodeId=root, selector="#file")["nodeId"]
        self.page.call("DOM.setFileInputFiles", LIMIT_S, nodeId=field, files=[str(image.absolute())])
        self._until("answered")
        return self.text("said")

    def text(self, identifier: str) -> str:
        """What an element of the page shows."""
        return str(self.page.evaluate(f"document.getElementById({identifier!r}).innerText", LIMIT_S))

    def data(self, name: str) -> Any:
        """What the page keeps as JSON for scripts: ``errors`` of its self-check, the ``outputs`` for the last image."""
        return self.page.evaluate(f"JSON.parse(document.documentElement.dataset[{name!r}] ?? 'null')", LIMIT_S)

    def photograph(self, file: Path) -> None:
        """Write what the page shows as a PNG."""
        self.page.screenshot(file, LIMIT_S)

    def close(self) -> None:
        """End the site."""
        self.site.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _until(self, *states: str) -> str:
        until = time.monotonic() + LIMIT_S
        while (state := str(self.page.evaluate(STATE, LIMIT_S))) not in states:
            if time.monotonic() > until:
                raise PageTimeout(f"the page was not {' or '.join(states)} within {LIMIT_S:g} s: {self.text('verdict')}")
            time.sleep(0.05)
        return state
