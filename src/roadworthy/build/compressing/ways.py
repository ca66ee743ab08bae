"""The three ways to a smaller model: cut channels, a student of the user's own, and training with int8 in mind."""

from __future__ import annotations

from dataclasses import dataclass, replace

from roadworthy.build import compress, imports
from roadworthy.build.compress import Cuttable, Recipe, StudentRequest
from roadworthy.build.compressing import steps, widths
from roadworthy.build.compressing.contest import Contest, captured
from roadworthy.build.compressing.steps import Step, TimedCut
from roadworthy.build.compressing.training import Lessons
from roadworthy.build.job import Compression
from roadworthy.build.workspace import Workspace
from roadworthy.core.errors import NoCandidate
from roadworthy.core.stages import Graph

HARD = 0.3
"""The part of the loss that labels take where there are some and the original teaches as well."""
QUANTISED = "qat"


@dataclass(frozen=True)
class Attempt:
    """What every way starts from: the ``model`` that teaches, where it can be cut, the lessons, and the contest that its copies enter."""

    asked: Compression
    model: Graph
    cuttable: Cuttable
    lessons: Lessons
    contest: Contest
    workspace: Workspace

    def recipe(self, seconds: float) -> Recipe:
        """How a copy is taught: by the original, by the labels, or by both, as far as there are some."""
        soft = 1.0 if not self.lessons.labelled else 1 - HARD if "distil" in self.asked.ways else 0.0
        return Recipe(seconds, soft=soft, flip=self.asked.flip, crop=self.asked.crop)


def pruned(attempt: Attempt, seconds: float) -> tuple[list[Step], list[str]]:
    """Cut step by step, each from the step before, as long as the runtime gets faster and the budget holds."""
    blocks = attempt.cuttable.blocks
    if not blocks:
        return [], ["no channels can be cut without changing a shape outside: " + _few(attempt.cuttable)]
    choices = widths.choices(attempt.cuttable, attempt.contest.workspace.host)
    if not choices:
        return [], [f"the {len(blocks)} blocks that could be cut are as narrow as the kernels like already"]
    cuts = steps.timed_cuts(attempt.model, choices, attempt.lessons, attempt.contest, attempt.workspace)
    worth = steps.worth_teaching(cuts)
    if not worth:
        return [], [f"fewer channels do not make it faster: {_figures(cuts)}, beside {attempt.contest.fastest[0].plan.name}"]
    done: list[Step] = []
    student = attempt.model
    for number, one in enumerate(worth):
        name = f"step-{number}"
        made = steps.cut_to(student, one.choice, attempt.lessons, attempt.workspace, name)
        step = _taught(attempt, made.graph, seconds / len(worth), name, made, done)
        done.append(step)
        if step.model is None:
            break
        student = step.model
    return done, [] if any(step.model for step in done) else [f"{done[-1].evidence.name}: {done[-1].evidence.reason}"]


def of_student(attempt: Attempt, seconds: float) -> tuple[list[Step], list[str]]:
    """The user's own smaller network, taught from its first weights on."""
    assert attempt.asked.student, "no student was named"
    request = StudentRequest(attempt.asked.student, attempt.model, attempt.lessons.training, attempt.workspace.folder("student/model"))
    slow = imports.of_framework(compress.framework(attempt.model))
    made = attempt.workspace.step(compress.student, request, "student", slow)
    step = _taught(attempt, made.graph, seconds, "student", made, [])
    return [step], [] if step.model else [f"{step.evidence.name}: {step.evidence.reason}"]


def quantised(attempt: Attempt, seconds: float) -> tuple[list[Step], list[str]]:
    """Training with int8 in mind, where int8 after training is not within the budget on the validation samples."""
    graphs = captured(attempt.model, attempt.contest.trial, attempt.contest.job, steps.below(attempt.workspace, "int8"))
    try:
        passed = attempt.contest.judged(graphs, "int8")
    except NoCandidate:
        recipe = replace(attempt.recipe(seconds), quantised=True)
        student = replace(attempt.model, derived_from=attempt.model.format, compression=QUANTISED)
        step = _taught(attempt, student, seconds, QUANTISED, None, [], recipe)
        return [step], [] if step.model else [f"{QUANTISED}: {step.evidence.reason}"]
    return [], [f"int8 after training is within the budget ({passed[0].candidate.plan.name}), so no training for it was needed"]


def _taught(
    attempt: Attempt, student: Graph, seconds: float, name: str, made: compress.Cut | None, before: list[Step], recipe: Recipe | None = None
) -> Step:
    recipe = recipe or attempt.recipe(seconds)
    result = steps.taught(student, attempt.model, attempt.lessons, recipe, attempt.workspace, name)
    return steps.judged(
        made, result, attempt.cuttable, before, attempt.contest, attempt.workspace, name, "int8" if recipe.quantised else "fp32"
    )


def _figures(cuts: tuple[TimedCut, ...]) -> str:
    """How much faster each cut was before it was taught."""
    return ", ".join(
        f"{one.speedup.value:.2f} times as fast [{one.speedup.low:.2f}, {one.speedup.high:.2f}] with {one.cut.multiplications:,} "
        "multiplications"
        for one in cuts
    )


def _few(cuttable: Cuttable) -> str:
    found = [f"{layer}: {reason}" for layer, reason in cuttable.left.items()]
    return "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
