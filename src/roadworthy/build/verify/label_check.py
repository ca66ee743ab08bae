"""Whether the original's own answers to labelled samples are better than chance, and which other order of the labels would be right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from roadworthy.build.verify import parity
from roadworthy.build.verify.intervals import binomial_upper
from roadworthy.build.verify.reference import Reference
from roadworthy.core.evidence import Note
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Activation

USEFUL = 0.2
"""An original is useless where it is less than this part of the way from chance to no error, at the confidence of ``DOUBT``."""
DOUBT, FAR = 0.005, 0.2
"""The one-sided error of each bound (several orders of the labels are tried), and the share of samples that another order must gain."""
ONE_ANSWER = 8
"""An original with one answer for all samples is warned of where this many samples have other labels (0.5 ** 8 is below ``DOUBT``)."""
ANOTHER = "check the order of the labels"
CHECK = "the order of the labels, the preprocessing or the weights are probably not what the model was trained with"


def label_warnings(
    reference: Reference, labels: Array, classes: Sequence[str], binary: Activation | None, output: str = ""
) -> tuple[Note, ...]:
    """A warning where the original is at or below chance on ``labels`` (int64 [n]), or where another order of them fits far better.

    Chance is the share of samples at which the answers would agree with labels in random order. A model that always answers the
    commonest class is therefore at chance, however common that is. The bounds are exact binomial ones, so few samples prove nothing.
    ``classes`` are the names by index, empty where there are none; for ``binary`` and ``output`` see ``parity.voter``.
    """
    outputs = reference.values()
    voting = parity.voter(outputs, binary, output)
    if voting is None:
        return ()
    scores = voting.scores({voting.output: np.asarray(outputs[voting.output])})
    found, count = np.argmax(scores, axis=1), scores.shape[1]
    hits, n = int(np.sum(found == labels)), len(labels)
    chance = float(np.bincount(found, minlength=count) / n @ (np.bincount(labels, minlength=count)[:count] / n))
    hint = _other_order(found, labels, count, classes, hits)
    one_answer = bool((found == found[0]).all()) and n - hits >= ONE_ANSWER
    useless = one_answer or (binomial_upper(hits, n, DOUBT) < chance + USEFUL * (1 - chance) and _lower(hits, n) <= chance)
    if not useless and not hint:
        return ()
    said = f"the original itself gets {hits / n:.2%} top-1 on your {n:,} labels, where chance is {chance:.1%}"
    only = f"; it answers {_name(classes, int(found[0]))} for every sample" if one_answer else ""
    return (Note(f"{said}{only}: {hint or CHECK}", warning=True),)


def _other_order(found: Array, labels: Array, count: int, classes: Sequence[str], hits: int) -> str:
    """Which other order of the labels fits far better beyond chance, in words; empty where none does."""
    n = len(labels)
    best, words = 0, ""
    for label_of, other in _orders(count, classes):
        fits = int(np.sum(label_of[found] == labels))
        if fits > best:
            best, words = fits, other
    sure = _lower(best, n) > binomial_upper(hits, n, DOUBT) and best - hits > FAR * n
    return f"{words} it would be {best / n:.2%}, so {ANOTHER}" if sure else ""


def _orders(count: int, classes: Sequence[str]) -> Iterator[tuple[Array, str]]:
    """For each other order: the label of each answer (int64 [count], -1 for none), and the order in words."""
    own = np.arange(count)
    if count == 2:
        yield own[::-1].copy(), "with the two classes exchanged"
        return
    yield own - 1, "with every label one higher, as behind a background class,"
    yield np.append(own[1:], -1), "with every label one lower, as when they are counted from 1,"
    if len(classes) == count:
        named = np.argsort(np.array(classes), kind="stable")
        yield named, "with the names in sorted order"
        if all(name.isascii() and name.isdecimal() for name in classes):
            yield np.argsort([int(name) for name in classes], kind="stable"), "with the names counted as numbers"


def above_chance(share: float, samples: int, classes: int) -> bool:
    """Whether a share of right answers among ``samples`` is more than one in ``classes``, beyond chance by an exact binomial bound."""
    return _lower(round(share * samples), samples) > 1 / classes


def _lower(hits: int, n: int) -> float:
    return 1 - binomial_upper(n - hits, n, DOUBT)


def _name(classes: Sequence[str], index: int) -> str:
    return repr(classes[index]) if index < len(classes) else f"class {index}"
