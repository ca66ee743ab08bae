"""What the parts of compression give each other: where a model can be cut, the cut, and the model that was taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph

Importance: TypeAlias = Literal["l1", "batchnorm", "gradient"]
"""How the channels to keep are chosen: by the sum of their weights' magnitudes (Li 2017), by the scale of their batch normalisation
(Liu 2017), or by how much the answers would change to first order without them (Molchanov 2019)."""
Widths: TypeAlias = Mapping[str, int]
"""How many channels each block keeps, by the block's name."""


@dataclass(frozen=True)
class Block:
    """Layers between which channels can be cut so that no shape outside changes.

    ``name`` is that of the layer that makes the ``channels``; ``layers`` are all whose weights a cut changes, that one first. ``multiple``
    divides every width that the block can have: 1, or the number of its groups. ``work`` is the part of the model's multiplications that
    is proportional to the block's channels, between 0 and 1.
    """

    name: str
    channels: int
    layers: tuple[str, ...]
    work: float
    multiple: int = 1


@dataclass(frozen=True)
class Cuttable:
    """The blocks of a model, in its own order; ``left`` says, by the name of a layer, why it is in none of them.

    ``streams`` are blocks whose channels are a sum of several layers' (a residual network's between its blocks): ``cut`` takes their
    names as well, and much more is lost with each channel.
    """

    blocks: tuple[Block, ...]
    left: Mapping[str, str] = field(default_factory=dict)
    parameters: int = 0
    multiplications: int = 0
    streams: tuple[Block, ...] = ()


@dataclass(frozen=True)
class BlocksRequest:
    """The arguments of ``blocks``: the original, and samples of which a few are run to see the shapes."""

    graph: Graph
    samples: SampleSet


@dataclass(frozen=True)
class CutRequest:
    """The arguments of ``cut``. ``samples`` prove the cut and, for the importance ``gradient``, choose the channels; ``out`` is new."""

    graph: Graph
    widths: Widths
    importance: Importance
    samples: SampleSet
    out: Path


@dataclass(frozen=True)
class Cut:
    """The smaller model as a graph of the original's own format.

    ``error`` is the largest difference, relative to the output's scale, between its answers and those of the original with the same
    channels set to zero: only rounding may be left of it.
    """

    graph: Graph
    widths: Widths
    parameters: int
    multiplications: int
    error: float


STUDENT = "student"
"""What plans of a user's own smaller network have in their names."""


@dataclass(frozen=True)
class StudentRequest:
    """The arguments of ``student``: ``spec`` is ``FILE.py:CALLABLE`` or ``package.module:callable`` of the user's own smaller network.

    ``samples`` are a few that it has to take, ``teacher`` the model whose answers it learns; ``out`` is new.
    """

    spec: str
    teacher: Graph
    samples: SampleSet
    out: Path


@dataclass(frozen=True)
class WriteRequest:
    """The arguments of ``write``: a smaller ``model``, the ``arch`` that the user named for the original, if any, and the new ``out``.

    A few of ``samples`` are answered by the model and by the files that were written.
    """

    model: Graph
    arch: str | None
    samples: SampleSet
    out: Path


@dataclass(frozen=True)
class WrittenModel:
    """The files in ``out``, and in Python how a user loads the model from them."""

    files: tuple[Path, ...]
    usage: str


@dataclass(frozen=True)
class TeachingRecipe:
    """How a model is taught. With ``epochs`` and no ``seconds`` the same recipe gives the same model, but for the rounding of threads.

    ``seconds`` limit all of it, the range test for the learning rate included, and so do ``epochs``; 0 leaves out that limit.
    ``soft`` is the part of the loss that the original's answers take, the rest is the labels'; 1 needs no labels.
    ``temperature`` softens both sides (Hinton 2015). ``features`` adds the distance of the layers of equal name and shape. ``flip``
    mirrors images left to right, ``crop`` shifts them by up to so many pixels. ``quantised`` puts fake quantisers of int8 into the model.
    """

    seconds: float
    epochs: int = 0
    soft: float = 1.0
    temperature: float = 4.0
    features: bool = False
    flip: bool = False
    crop: int = 0
    batch: int = 128
    quantised: bool = False
    seed: int = 0


@dataclass(frozen=True)
class TeachRequest:
    """The arguments of ``teach``: the ``student`` learns from ``teacher`` on ``training``; ``validation`` decides which weights are best.

    ``checkpoint`` is a directory that outlives the step: what lies there continues where it was stopped. ``out`` is new.
    """

    student: Graph
    teacher: Graph
    training: SampleSet
    validation: SampleSet
    recipe: TeachingRecipe
    checkpoint: Path
    out: Path


@dataclass(frozen=True)
class Lesson:
    """One look at the validation samples: after how many seconds and training samples, the mean loss since the last one, and the metric.

    ``metric`` is the part of the validation samples whose most probable class is the label, or the original's where there are no labels;
    minus the loss where the answers are not classes.
    """

    seconds: float
    samples: int
    loss: float
    metric: float


@dataclass(frozen=True)
class Taught:
    """The taught model with its best weights, the way there (``lessons``, the first before any teaching), and why it ended, in words."""

    graph: Graph
    lessons: tuple[Lesson, ...]
    best: int
    rate: float
    ended: str
