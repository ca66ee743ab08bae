"""What a metric is, and how answers are read to be held against targets: both as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Activation

Outputs: TypeAlias = dict[str, Array]
GivenTargets: TypeAlias = Array | dict[str, Array] | None
"""Some rows of the targets: one array, or arrays by name."""
Rows: TypeAlias = Callable[[Outputs, Outputs, GivenTargets, dict[str, float]], Array]
TargetForm: TypeAlias = Literal["none", "classes", "binary", "ids", "multilabel", "values", "masks", "boxes", "own"]
"""What one target is: nothing; the class among scores; which of two classes one number tells; the class where the output is an index too;
0 or 1 for each of several labels; numbers like the output's; the class of each pixel; boxes; what only the user's own metric knows.
"""
OWN = "a metric of your own gets the labels as they are: --metric FILE.py:callable"
"""The way out for labels that no built-in metric takes."""
WORDS: dict[TargetForm, str] = {
    "none": "no labels",
    "classes": "one class a sample",
    "binary": "one of two classes a sample",
    "ids": "one class a sample (of which the output gives the index alone)",
    "multilabel": "0 or 1 for each of several labels",
    "values": "numbers of the output's shape",
    "masks": "the class of each pixel",
    "boxes": "boxes and their classes",
    "own": "targets for a metric of your own",
}


@dataclass(frozen=True)
class Reading:
    """How the answers are read to be held against the targets.

    ``output`` is the output that is judged; empty: the one that gives the class of a sample. ``activation`` says what its numbers are:
    ``applied`` probabilities, ``softmax`` or ``sigmoid`` their logits. ``axis`` is the axis of the classes of masks, 0 where the output
    has none; ``classes`` is how many there are. ``peak`` is the largest value that a target can have.
    """

    form: TargetForm = "none"
    output: str = ""
    activation: Activation = "none"
    axis: int = 0
    classes: int = 0
    peak: float = 1.0

    @property
    def binary(self) -> Activation | None:
        """How the one number of a sample tells two classes apart; ``None`` where none does."""
        return self.activation if self.form == "binary" and self.activation in ("applied", "sigmoid") else None

    @property
    def voting(self) -> str:
        """The output that gives the class of a sample; empty where that is for the outputs to show."""
        return self.output if self.form in ("classes", "binary") else ""


@dataclass(frozen=True)
class Metric:
    """``rows(outputs, reference, targets, scales)`` gives one row a sample, [n, ...], for one batch of samples after another.

    ``reference`` holds the original's outputs for the same samples, ``scales`` their scale by name. Without ``combine`` a row is the
    sample's score, float64 [n], and the figure is their mean. With it the figure is ``combine(rows)``, a float: it belongs to the whole
    set, and its uncertainty comes from resampling the samples ``resamples`` times. NaN: not defined on these samples.

    ``span`` is the most that a changed sample can cost, in samples; ``None``: not bounded. ``share`` says that the figure lies in 0..1 and
    reads as a percentage. ``relative`` says that a score is itself a loss against the original (0 is best).
    """

    name: str
    rows: Rows
    combine: Callable[[Array], float] | None = None
    better: Literal["higher", "lower"] = "higher"
    forms: tuple[TargetForm, ...] = ()
    span: float | None = 1.0
    share: bool = True
    relative: bool = False
    resamples: int = 500
