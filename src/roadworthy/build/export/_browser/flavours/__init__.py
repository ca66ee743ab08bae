"""The flavours of the browser target, in the order in which they are tried."""

from __future__ import annotations

from roadworthy.build.export._browser.flavour import Flavour
from roadworthy.build.export._browser.flavours import onnxruntime_web

FLAVOURS: tuple[Flavour, ...] = (onnxruntime_web.FLAVOUR,)
