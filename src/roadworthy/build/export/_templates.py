"""Files of an export that are mostly the same text: a template beside the module, with ``@WORD@`` where something goes in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files


def filled(package: str, name: str, words: Mapping[str, str]) -> str:
    """The template ``name`` of ``package``, a path below it, with each ``@WORD@`` replaced by that of ``words``, which has all of them."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    # In one pass: a text that goes in may hold such a word itself, a label "@HOME@" say.
    return re.sub(r"@([A-Z_]+)@", lambda found: words[found[1]], text)
