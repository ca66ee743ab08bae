"""The three ways to a smaller model: cut channels, a student of the user's own, and training with int8 in mind."""

from __future__ import annotations

from dataclasses import replace

from roadworthy.build import compress, imports
from roadworthy.build.compress import Cuttable, StudentRequest
from roadworthy.build.compressing import steps, widths
from roadworthy.build.compressing.attempt import Attempt, below
from roadworthy.build.compressing.baseline import captured
from roadworthy.build.compressing.steps import JudgedStep, TimedCut

QUANTISED = "qat"
"""What plans of a model that was trained with int8 in mind have in their names."""


def pruned(attempt: Attempt, seconds: float) -> tuple[list[JudgedStep], str]:
    """Cut step by step, each from the step before, as long as the runtime gets faster and the budget holds; and why none was kept."""
    blocks = attempt.cuttable.blocks
    if not blocks:
        return [], f"no channels can be cut without changing a shape outside: {_few(attempt.cuttable)}"
    choices = widths.choices(attempt.cuttable, attempt.workspace.host)
    if not choices:
        return [], f"the {len(blocks)} blocks that could be cut are as narrow as the kernels like already"
    cuts = steps.timed_cuts(attempt, choices)
    worth = steps.worth_teaching(cuts)
    if not worth:
        return [], f"fewer channels do not make it faster: {_figures(cuts)}, beside {attempt.baseline.fastest[0].plan.name}"
    done: list[JudgedStep] = []
    student = attempt.model
    for number, one in enumerate(worth):
        name = f"step-{number}"
        made = steps.cut_to(student, one.choice, attempt, name)
        done.append(steps.taught(made.graph, made, attempt.recipe(seconds / len(worth)), done, attempt, name))
        if done[-1].model is None:
            break
        student = done[-1].model
    return done, _left_out(done)


def of_student(attempt: Attempt, seconds: float) -> tuple[list[JudgedStep], str]:
    """The user's own smaller network, taught from its first weights on; and why it was not kept."""
    assert attempt.asked.student, "no student was named"
    request = StudentRequest(attempt.asked.student, attempt.model, attempt.lessons.training, attempt.workspace.folder("student/model"))
    made = attempt.workspace.step(compress.student, request, "student", imports.of_framework(compress.framework(attempt.model)))
    done = [steps.taught(made.graph, made, attempt.recipe(seconds), [], attempt, "student")]
    return done, _left_out(done)


def quantised(attempt: Attempt, seconds: float) -> tuple[list[JudgedStep], str]:
    """Training with int8 in mind, where int8 after training is not within the budget on the validation samples."""
    graphs = captured(attempt.model, attempt.baseline, below(attempt.workspace, "int8"), attempt.baseline.runtimes)
    if passed := attempt.baseline.judged(graphs, "int8").verified:
        return [], f"int8 after training is within the budget ({passed[0].candidate.plan.name}), so no training for it was needed"
    student = replace(attempt.model, derived_from=attempt.model.format, compression=QUANTISED)
    recipe = replace(attempt.recipe(seconds), quantised=True)
    done = [steps.taught(student, None, recipe, [], attempt, QUANTISED)]
    return done, _left_out(done)


def _left_out(done: list[JudgedStep]) -> str:
    return "" if any(step.model for step in done) else f"{done[-1].evidence.name}: {done[-1].evidence.reason}"


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
