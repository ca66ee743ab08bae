"""The three ways to a smaller model: cut channels, a student of the user's own, and training with int8 in mind."""

from __future__ import annotations

from dataclasses import replace
from string import ascii_lowercase

from roadworthy.build import compress, imports
from roadworthy.build.compress import Cut, Cuttable, StudentRequest, TeachingRecipe, Widths
from roadworthy.build.compressing import steps, widths
from roadworthy.build.compressing.attempt import Attempt
from roadworthy.build.compressing.baseline import captured
from roadworthy.build.compressing.steps import JudgedStep, TimedCut
from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph

QUANTISED = "qat"
"""What plans of a model that was trained with int8 in mind have in their names."""


def pruned(attempt: Attempt, seconds: float) -> tuple[list[JudgedStep], str]:
    """Cut step by step as long as the runtime gets faster and the budget holds; and why none was kept.

    A cut starts from the deepest model so far that it goes on from. What goes on from a cut that was left out is not tried.
    """
    blocks = (*attempt.cuttable.blocks, *attempt.cuttable.streams)
    if not blocks:
        return [], f"no channels can be cut without changing a shape outside: {_few(attempt.cuttable)}"
    choices = widths.choices(attempt.cuttable, attempt.workspace.host)
    if not choices:
        return [], f"the {len(blocks)} blocks that could be cut have too few channels for that"
    cuts = steps.timed_cuts(attempt, choices)
    worth = steps.worth_teaching(cuts)
    if not worth:
        return [], f"fewer channels do not make it faster: {_figures(cuts)}"
    done: list[JudgedStep] = []
    said: list[str] = []
    models: dict[Graph, Widths] = {attempt.model: {}}
    left_out: list[TimedCut] = []
    for number, one in enumerate(worth):
        name, wanted = f"step-{number}", one.choice.widths
        if any(widths.deeper(wanted, other.choice.widths) for other in left_out):
            continue
        *_, student = (model for model, kept in models.items() if widths.deeper(wanted, kept))
        try:
            made = steps.cut_to(student, one.choice, attempt, name)
            made = replace(made, graph=replace(made.graph, compression=_unused(made.graph.compression, done)))
            done.append(steps.taught(made.graph, made, attempt.recipe(seconds / len(worth)), done, attempt, name))
        except StepFailed as problem:
            said.append(f"{one.cut.graph.compression}: {problem.message}")
            left_out.append(one)
            continue
        if done[-1].model is None:
            left_out.append(one)
        else:
            models[done[-1].model] = wanted
    return done, "; ".join((*said, *_left_out(done)))


def of_student(attempt: Attempt, seconds: float) -> tuple[list[JudgedStep], str]:
    """The user's own smaller network, taught from its first weights on; and why it was not kept."""
    assert attempt.asked.student, "no student was named"
    request = StudentRequest(attempt.asked.student, attempt.model, attempt.lessons.training, attempt.workspace.folder("student/model"))
    made = attempt.workspace.step(compress.student, request, "student", imports.of_framework(compress.framework(attempt.model)))
    return _alone(attempt, made.graph, made, attempt.recipe(seconds))


def quantised(attempt: Attempt, seconds: float) -> tuple[list[JudgedStep], str]:
    """Training with int8 in mind, where int8 after training is not within the budget on the validation samples."""
    graphs = captured(attempt.model, attempt.baseline, attempt.workspace.below("int8"), attempt.baseline.runtimes)
    if passed := attempt.baseline.judged(graphs, "int8").verified:
        return [], f"int8 after training is within the budget ({passed[0].candidate.plan.name}), so no training for it was needed"
    student = replace(attempt.model, derived_from=attempt.model.format, compression=QUANTISED)
    return _alone(attempt, student, None, replace(attempt.recipe(seconds), quantised=True))


def _alone(attempt: Attempt, student: Graph, made: Cut | None, recipe: TeachingRecipe) -> tuple[list[JudgedStep], str]:
    """One step that no other follows."""
    try:
        done = [steps.taught(student, made, recipe, [], attempt, student.compression)]
    except StepFailed as problem:
        return [], f"{student.compression}: {problem.message}"
    return done, "; ".join(_left_out(done))


def _unused(name: str, done: list[JudgedStep]) -> str:
    """``name``, with a letter behind it where another step has it: plans are told apart by it."""
    taken = {step.evidence.name for step in done}
    return next(found for found in (name, *(f"{name}{letter}" for letter in ascii_lowercase)) if found not in taken)


def _left_out(done: list[JudgedStep]) -> list[str]:
    """Why, where no step was kept."""
    return [] if any(step.model for step in done) else [f"{step.evidence.name}: {step.evidence.reason}" for step in done]


def _figures(cuts: tuple[TimedCut, ...]) -> str:
    """How much faster each cut was before it was taught."""
    if not cuts:
        return "none of the cuts could be made and run"
    return ", ".join(
        f"{one.best.speedup.value:.2f} times as fast as {one.best.other} [{one.best.speedup.low:.2f}, {one.best.speedup.high:.2f}] "
        f"with {one.cut.multiplications:,} multiplications"
        for one in cuts
    )


def _few(cuttable: Cuttable) -> str:
    found = [f"{layer}: {reason}" for layer, reason in cuttable.left.items()]
    return "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
