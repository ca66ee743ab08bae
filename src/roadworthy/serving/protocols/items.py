"""Images, texts and sounds in the protocols' JSON and media types: the one place that tells them apart."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from roadworthy.core.errors import InvalidRequest
from roadworthy.preprocess.contract import ItemKind
from roadworthy.preprocess.items import WORDS
from roadworthy.serving.engine.local import LocalEngine

MEDIA: dict[ItemKind, str] = {"image": "image/", "text": "text/", "audio": "audio/"}
"""What the media type of a body that is one item begins with."""


def of_json(model: LocalEngine, value: Any, what: str) -> bytes:
    """One item of a JSON document: text where the model takes texts, else base64 text. InvalidRequest names ``what``."""
    if model.kind == "text":
        return of_text(value, what)
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise InvalidRequest(f"{what} should be {WORDS[model.kind or 'image'][0]} as base64 text") from None


def of_text(value: Any, what: str) -> bytes:
    """``value`` in UTF-8; InvalidRequest where it is not text."""
    try:
        if isinstance(value, str):
            return value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} holds text that is not Unicode") from None
    raise InvalidRequest(f"{what} should be text")


def is_whole(model: LocalEngine, media: str) -> bool:
    """Whether a body of the media type ``media`` is one item, or is meant to be one that the model does not take."""
    if model.kind is not None and media.startswith(MEDIA[model.kind]):
        return True
    return media.startswith(MEDIA["image"])


def several(model: LocalEngine) -> str:
    """The word for items of the model."""
    return WORDS[model.kind or "image"][1]
