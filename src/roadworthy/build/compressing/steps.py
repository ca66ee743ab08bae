"""One smaller model: cut, timed, taught by the original, and judged on the validation samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from roadworthy.build import compress, imports
from roadworthy.build.benchmark import Beside
from roadworthy.build.compress import Cut, CutRequest, Taught, TeachingRecipe, TeachRequest
from roadworthy.build.compressing.attempt import Attempt
from roadworthy.build.compressing.baseline import captured
from roadworthy.build.compressing.widths import WidthChoice
from roadworthy.bundle.compression import CompressionStep, CutLayer, Lessons
from roadworthy.core.errors import StepFailed
from roadworthy.core.evidence import Score
from roadworthy.core.stages import Candidate, Graph

NOT_MADE = "no plan could be made for it"
SLOWER = "it is not faster than the uncompressed model beyond the noise"
NO_FASTER = "a lighter cut is as fast"
KEPT = "it is faster beyond the noise and within the budget on the validation samples"


@dataclass(frozen=True)
class TimedCut:
    """A cut that was not taught yet, and its fastest plan beside that of the uncompressed model."""

    choice: WidthChoice
    cut: Cut
    best: Beside


@dataclass(frozen=True)
class JudgedStep:
    """The evidence of one step, and its model with the model's graphs; ``None`` and empty where it was not kept."""

    evidence: CompressionStep
    model: Graph | None = None
    graphs: tuple[Graph, ...] = ()


def timed_cuts(attempt: Attempt, choices: Sequence[WidthChoice]) -> tuple[TimedCut, ...]:
    """Every choice of widths cut from the model as it is and timed, before anything is taught: only the widths count.

    A choice that cannot be made, or runs nowhere, is left out.
    """
    cuts: list[tuple[WidthChoice, Cut, tuple[Candidate, ...]]] = []
    for number, choice in enumerate(choices):
        name = f"widths-{number}"
        attempt.tell(f"cut {number + 1} of {len(choices)}, about {choice.share:.0%} of the channels, is made to be timed")
        try:
            made = cut_to(attempt.model, choice, attempt, name)
        except StepFailed as problem:
            attempt.tell(f"cut {number + 1} is left out: {problem.message}")
            continue
        graphs = captured(made.graph, attempt.baseline, attempt.workspace.below(f"{name}/graphs"), attempt.baseline.runtimes)
        cuts.append((choice, made, attempt.baseline.made(graphs, name)))
    timed = attempt.baseline.beside([one for _, _, candidates in cuts for one in candidates], "widths")
    found = []
    for choice, made, candidates in cuts:
        paths = {one.path for one in candidates}
        if ran := [one for one in timed if one.candidate.path in paths]:
            found.append(TimedCut(choice, made, min(ran, key=lambda one: one.ms)))
    return tuple(found)


def worth_teaching(cuts: Sequence[TimedCut]) -> tuple[TimedCut, ...]:
    """Those that are faster beyond the noise, the lightest first; of two, the one that leaves less and is no faster is left out."""
    kept: list[TimedCut] = []
    for one in sorted(cuts, key=lambda one: -one.cut.multiplications):
        if one.best.speedup.low > 1 and all(one.best.ms < other.best.ms for other in kept):
            kept.append(one)
    return tuple(kept)


def cut_to(model: Graph, choice: WidthChoice, attempt: Attempt, name: str) -> Cut:
    """``model`` with the widths of ``choice``."""
    request = CutRequest(model, choice.widths, "gradient", attempt.lessons.training, attempt.workspace.folder(f"{name}/model"))
    return attempt.workspace.reusable(compress.cut, request, f"cut-{name}", imports.of_framework(compress.framework(model)))


def taught(
    student: Graph, made: Cut | None, recipe: TeachingRecipe, before: Sequence[JudgedStep], attempt: Attempt, name: str
) -> JudgedStep:
    """The ``student`` (``made`` by a cut, if it was) after its lessons, judged.

    Raises StepFailed where it cannot be taught, or runs in none of the runtimes.
    """
    lessons = _lessons(student, recipe, attempt, name)
    return _judged(made, lessons, before, attempt, name, "int8" if recipe.quantised else "fp32")


def _lessons(student: Graph, recipe: TeachingRecipe, attempt: Attempt, name: str) -> Taught:
    """Those of an earlier run that was interrupted go on where they ended."""
    workspace, lessons = attempt.workspace, attempt.lessons
    out, checkpoint = workspace.folder(f"{name}/taught"), workspace.folder(f"{name}/checkpoint")
    request = TeachRequest(student, attempt.model, lessons.training, lessons.validation, recipe, checkpoint, out)
    key = workspace.reuse.key(compress.teach, replace(request, checkpoint=out))
    if found := workspace.reuse.find(key, compress.teach, out):
        return found.result
    checkpoint.mkdir(parents=True)
    workspace.reuse.find_unfinished(key, checkpoint)
    here = replace(workspace, done=lambda words: attempt.tell(f"{student.compression}: {words}"))
    try:
        result = here.step(compress.teach, request, f"teach-{name}", imports.of_framework(compress.framework(student)))
    except BaseException:
        workspace.reuse.keep_unfinished(key, checkpoint)
        raise
    workspace.reuse.keep(key, compress.teach, result, out)
    return result


def _judged(
    made: Cut | None, result: Taught, before: Sequence[JudgedStep], attempt: Attempt, name: str, precision: Literal["fp32", "int8"]
) -> JudgedStep:
    """Kept where it is within the budget on the validation samples, and faster than the uncompressed model and all steps before."""
    here = attempt.workspace.below(f"{name}/judged")
    baseline = replace(attempt.baseline, workspace=here)
    graphs = captured(result.graph, baseline, here, baseline.job.runtimes)
    found = baseline.judged(graphs, precision)
    scores = {one.candidate.plan.name: one.score for one in found.verified} | {one.plan.name: one.score for one in found.rejected}
    reason = "" if found.verified else "; ".join(dict.fromkeys(one.reason for one in found.rejected)) or NOT_MADE
    timed = baseline.beside(tuple(one.candidate for one in found.verified) or baseline.made(graphs, name), name)
    if not timed:
        raise StepFailed(f"it ran in none of {', '.join(baseline.runtimes)}: {reason}")
    best = min(timed, key=lambda one: one.ms)
    if not reason and best.speedup.low <= 1:
        reason = SLOWER
    # Both are held against the same model; their times are of different minutes.
    if not reason and any(other.evidence.kept and other.evidence.speedup.value >= best.speedup.value for other in before):
        reason = NO_FASTER
    evidence = _evidence(made, result, attempt, best, scores.get(best.candidate.plan.name), reason)
    return JudgedStep(evidence) if reason else JudgedStep(evidence, result.graph, graphs)


def _evidence(made: Cut | None, result: Taught, attempt: Attempt, best: Beside, score: Score | None, reason: str) -> CompressionStep:
    cuttable, lessons, last = attempt.cuttable, result.lessons, result.lessons[-1]
    widths = made.widths if made else {}
    size = made or cuttable
    return CompressionStep(
        name=result.graph.compression,
        layers=tuple(
            CutLayer(block.name, block.channels, widths[block.name])
            for block in (*cuttable.blocks, *cuttable.streams)
            if block.name in widths
        ),
        parameters=size.parameters,
        multiplications=size.multiplications,
        plan=best.candidate.plan.name,
        ms=best.ms,
        beside=best.other,
        speedup=best.speedup,
        lessons=Lessons(last.samples, last.seconds, result.rate, lessons[0].metric, lessons[result.best].metric, result.ended),
        score=score,
        kept=not reason,
        reason=reason or KEPT,
    )
