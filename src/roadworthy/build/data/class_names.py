"""Class names in the order of the model's outputs, and whether they fit the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from roadworthy.core.errors import DataError

BACKGROUND = re.compile(r"[_\W]*(background([ _-]?(class|noise))?|bg|dummy|unlabell?ed|\?\?\?|n/a)[_\W]*", re.IGNORECASE)


@dataclass(frozen=True)
class ClassNames:
    """Class names by index; ``ids`` are the classes' other names (WordNet's), as many or none."""

    labels: tuple[str, ...]
    ids: tuple[str, ...] = ()


def check_count(labels: Sequence[str], outputs: int, output: str, where: str = "", hint: str = "") -> None:
    """Raises DataError where ``labels`` are not as many as the output ``output`` tells classes apart: ``outputs``, or 2 by a single one.

    ``where`` names their file in the sentence, and ``hint`` is what to do about it, where more is known.
    """
    wanted = max(outputs, 2)
    if len(labels) == wanted:
        return
    many = f"are {len(labels)} class names" if len(labels) != 1 else "is 1 class name"
    named = f"there {many}{where and f' in {where}'} (first {labels[0]!r}, last {labels[-1]!r})"
    if outputs == 1:
        raise DataError(
            f"{named}; the model's output {output!r} is one number a sample, which tells two classes apart: name both, first the one that "
            "low values stand for, or leave the names out"
        )
    raise DataError(f"{named}; the model's output {output!r} has {outputs}: {hint or 'give one name for each output, in its order'}")


def is_background(name: str) -> bool:
    """Whether the class is what a detector or an older ImageNet model calls everything else."""
    return BACKGROUND.fullmatch(name.strip()) is not None


def spelling_key(name: str) -> str:
    """The same text for every spelling of one name: case and the way in which its words are joined do not count."""
    return " ".join(re.split(r"[\s_-]+", name.casefold())).strip()


def repeated(labels: Iterable[str]) -> tuple[str, ...]:
    """The names that several classes have."""
    return tuple(name for name, count in Counter(labels).items() if count > 1)
