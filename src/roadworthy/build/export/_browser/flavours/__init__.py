"""The flavours of the browser target, in the order in which they are tried."""

from __future__ import annotations

from roadworthy.build.export._browser.flavour import Flavour
from roadworthy.build.export._browser.flavours import litertjs, onnxruntime_web, tfjs

FLAVOURS: tuple[Flavour, ...] = (onnxruntime_web.FLAVOUR, tfjs.FLAVOUR, litertjs.FLAVOUR)
