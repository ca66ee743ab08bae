"""Calls that have more samples than what answers takes at once."""

from __future__ import annotations

from collections.abc import Callable

from roadworthy.core.types import Arrays, Signature


def in_parts(call: Callable[[Arrays], Arrays], signature: Signature, feeds: Arrays, most: int) -> Arrays:
    """The outputs of ``call`` for ``feeds``, asked with at most ``most`` samples at a time."""
    count = signature.count(feeds)
    if count <= most:
        return call(feeds)
    parts = [
        call({spec.name: spec.take(feeds[spec.name], slice(start, start + most)) for spec in signature.inputs})
        for start in range(0, count, most)
    ]
    return {spec.name: spec.joined([part[spec.name] for part in parts]) for spec in signature.outputs}
