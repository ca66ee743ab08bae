"""What every way to a smaller model starts from."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.build.compress import Cuttable, TeachingRecipe
from roadworthy.build.compressing.baseline import BaselinePlans
from roadworthy.build.compressing.training import TrainingData
from roadworthy.build.job import Compression
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core.stages import Graph

PRUNE, DISTIL, QUANTISE = "prune", "distil", "quantise"
HARD = 0.3
"""The part of the loss that labels take where there are some and the original teaches as well."""


@dataclass(frozen=True)
class Attempt:
    """The ``model`` that teaches, where it can be cut, the training data, and the plans of the model that its copies are held against."""

    asked: Compression
    model: Graph
    cuttable: Cuttable
    lessons: TrainingData
    baseline: BaselinePlans
    workspace: Workspace

    def recipe(self, seconds: float) -> TeachingRecipe:
        """How a copy is taught: by the original, by the labels, or by both, as far as there are some."""
        hard = HARD if DISTIL in self.asked.ways else 1.0
        soft = 1.0 - hard if self.lessons.labelled else 1.0
        return TeachingRecipe(seconds, soft=soft, flip=self.asked.flip, crop=self.asked.crop)

    def tell(self, words: str) -> None:
        """Say what is done now."""
        self.workspace.notify(Progress("compress", 0, 1, words))
