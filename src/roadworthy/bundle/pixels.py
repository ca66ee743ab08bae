"""What was proven of the preprocessing: where it was read from, training's own transform beside it, and the usual conventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roadworthy.core.evidence import shown

Verdict = Literal["equal to the bit", "equal within float32 rounding", "within 1 level", "different"]


@dataclass(frozen=True)
class WorstImage:
    """The image on which two preprocessings differ most. ``name`` is the user's path, or which image of the data it is.

    ``size`` is (height, width) in its file, ``place`` the (row, column, channel) of the largest difference in the sample. ``ours`` and
    ``theirs`` are the values of that row and channel from the column ``first`` on, in levels. The three pictures are PNG files in base64,
    cut out around the place: ours, training's and their difference; each is empty where the samples have another form than a picture.
    """

    name: str
    size: tuple[int, int]
    place: tuple[int, int, int]
    first: int
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    ours_png: str = ""
    theirs_png: str = ""
    difference_png: str = ""


@dataclass(frozen=True)
class EitherScore:
    """The original's ``metric`` on the same ``samples``, prepared by the deployment (``ours``) and by training's transform (``theirs``).

    Without labels ``metric`` is empty. ``agreement`` is the share of samples whose top class is the same, ``None`` where there is none.
    """

    samples: int
    metric: str = ""
    ours: float = 0.0
    theirs: float = 0.0
    percent: bool = False
    agreement: float | None = None

    def shown(self, value: float) -> str:
        """A value of the metric as text."""
        return shown(value, percent=self.percent)


@dataclass(frozen=True)
class TransformProof:
    """Training's own transform beside the steps of the deployment, both run on ``images`` of the user's.

    A level is one step of the 256 of a pixel: values are led back through the last step of the deployment. ``within`` is the share of
    values that differ by at most one level, ``largest`` and ``mean`` are differences in levels, and ``ulp`` the largest one in units of
    float32's last place, counted where the values are subtracted. ``takes`` says what the transform was given ("a PIL image"), ``beside``
    how its samples differ in type or layout, or in shape: then ``comparable`` is false, and there are no figures.

    ``differs`` says in which steps the two differ, ``remedy`` what to write so that they do not, and ``after`` what is left then.
    """

    transform: str
    takes: str
    images: int
    verdict: Verdict
    within: float
    largest: float
    mean: float
    ulp: float
    comparable: bool = True
    beside: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    remedy: str = ""
    after: str = ""
    worst: WorstImage | None = None
    either: EitherScore | None = None

    @property
    def equal(self) -> bool:
        """Whether nothing but rounding is between the two."""
        return self.verdict in ("equal to the bit", "equal within float32 rounding")

    @property
    def words(self) -> str:
        """The verdict with its figures."""
        if not self.comparable:
            return f"different: {'; '.join(self.beside)}"
        return words_of(self.verdict, self.within, self.largest, self.mean, self.ulp)


def words_of(verdict: Verdict, within: float, largest: float, mean: float, ulp: float) -> str:
    """A verdict with its figures; for these see ``TransformProof``."""
    if verdict == "equal within float32 rounding":
        return f"{verdict} (at most {ulp:.3g} ulp)"
    if verdict == "within 1 level":
        return f"within 1 level on {within:.4%} of the values (at most {largest:.3g} levels, {mean:.3g} in the mean)"
    if verdict == "different":
        return f"different by up to {largest:.4g} levels, {mean:.3g} in the mean; within 1 level on {within:.1%} of the values"
    return verdict


@dataclass(frozen=True)
class TriedConvention:
    """One usual way to prepare images: the original's ``value`` of the metric with it, and how to ask for it.

    ``preset`` is what ``--preprocess`` takes, where there is a preset; ``toml`` is the file. ``gain`` is by how many of the samples
    the original is right more often than with the ``given`` one, as a share, and ``sure`` the least that it is beyond chance.
    """

    name: str
    value: float
    toml: str
    preset: str = ""
    given: bool = False
    gain: float = 0.0
    sure: float = 0.0


@dataclass(frozen=True)
class ConventionTrial:
    """The original's ``metric`` on ``samples`` that were prepared by each of the usual conventions, the best first.

    ``better`` is the place in ``tried`` of one that scores far better than the given one, beyond chance. ``left_out`` says what there
    was no time for, or why none was tried.
    """

    metric: str
    samples: int
    percent: bool
    tried: tuple[TriedConvention, ...] = ()
    better: int | None = None
    left_out: str = ""

    def shown(self, value: float) -> str:
        """A value of the metric as text."""
        return shown(value, percent=self.percent)


@dataclass(frozen=True)
class PreprocessingProof:
    """``origin`` says where the steps were read from, empty where nothing was read; for the other two see their classes."""

    origin: str = ""
    transform: TransformProof | None = None
    conventions: ConventionTrial | None = None
