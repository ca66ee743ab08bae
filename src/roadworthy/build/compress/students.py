"""The user's own smaller network, found by its name and held against the model that is to teach it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roadworthy.build import user_object
from roadworthy.core.errors import DataError, SourceError, UsageError
from roadworthy.core.types import Array, Signature

SEED = 0
"""Seeds the framework before the user's code draws the first weights."""


def built(spec: str, kind: type, called: str) -> Any:
    """What the callable that ``spec`` names returns, or the object itself; an instance of ``kind``, which is ``called`` so in messages.

    Raises UsageError for another form of name, SourceError where it cannot be built or is something else.
    """
    named = user_object.named_in(spec)
    if named is None:
        raise UsageError(f"--student {spec!r}: write FILE.py:CALLABLE or package.module:callable")
    try:
        found = user_object.find(named)
        found = found if isinstance(found, kind) else user_object.call(named)
    except DataError as problem:
        raise SourceError(f"--student: {problem.message}", detail=problem.detail) from problem
    if not isinstance(found, kind):
        raise SourceError(f"--student {spec} gives a {type(found).__name__}, where a {called} is needed")
    return found


def refuse_others(spec: str, answers: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Raise SourceError where the ``answers`` of the student that ``spec`` names have other shapes than the teacher's."""
    for name, array in expected.items():
        if name not in answers or answers[name].shape != array.shape:
            given = f"{list(answers[name].shape)}" if name in answers else "nothing"
            raise SourceError(
                f"--student {spec} gives {given} for {name!r}, where the original gives {list(array.shape)}: to learn from it, it has to "
                "answer as it does"
            )


def named(arrays: list[Array], signature: Signature) -> dict[str, Array]:
    """Outputs in the signature's order by name."""
    return dict(zip((spec.name for spec in signature.outputs), arrays, strict=False))
