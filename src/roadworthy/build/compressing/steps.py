"""One smaller model after the other: cut deeper, taught by the original, timed and judged; each is kept only if it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from roadworthy.build import compress, imports
from roadworthy.build.benchmark import Beside
from roadworthy.build.compress import Cut, CutRequest, Cuttable, Recipe, Taught, TeachRequest
from roadworthy.build.compressing.contest import Contest, captured
from roadworthy.build.compressing.training import Lessons
from roadworthy.build.compressing.widths import WidthChoice
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.bundle import compression
from roadworthy.bundle.compression import CompressionStep, CutLayer
from roadworthy.core.errors import NoCandidate
from roadworthy.core.evidence import Interval
from roadworthy.core.stages import Graph, Verified


@dataclass(frozen=True)
class TimedCut:
    """A cut that was not taught yet: its plan and latency, and how many times as fast it is as the uncompressed model's fastest plan."""

    choice: WidthChoice
    cut: Cut
    plan: str
    ms: float
    speedup: Interval


@dataclass(frozen=True)
class Step:
    """The evidence of one step, and its model with the model's graphs: empty where it was not kept."""

    evidence: CompressionStep
    model: Graph | None = None
    graphs: tuple[Graph, ...] = ()


def fastest(timed: Sequence[Beside], uncompressed: int) -> Beside:
    """The fastest smaller candidate, those behind the first ``uncompressed`` ones. Raises NoCandidate where none ran."""
    smaller = timed[uncompressed:]
    if not smaller:
        raise NoCandidate("the smaller model ran in none of the runtimes")
    return min(smaller, key=lambda one: one.ms)


def speedup(one: Beside, timed: Sequence[Beside], uncompressed: int) -> Interval:
    """Over the fastest of the uncompressed model."""
    return one.faster_than(min(range(uncompressed), key=lambda number: timed[number].ms))


def timed_cuts(
    model: Graph, choices: Sequence[WidthChoice], lessons: Lessons, contest: Contest, workspace: Workspace
) -> tuple[TimedCut, ...]:
    """Every choice of widths cut from ``model`` as it is and timed, before anything is taught: only the widths count."""
    cuts = []
    for number, choice in enumerate(choices):
        name = f"widths-{number}"
        workspace.notify(Progress("compress", number, len(choices), f"{choice.work:.0%} of the multiplications"))
        made = cut_to(model, choice, lessons, workspace, name)
        graphs = captured(made.graph, contest.trial, contest.job, below(workspace, name))
        cuts.append((choice, made, contest.made(graphs, name)))
    timed = contest.beside([one for _, _, candidates in cuts for one in candidates], "widths")
    by_path = {one.candidate.path: one for one in timed}
    count = len(contest.fastest)
    found = []
    for choice, made, candidates in cuts:
        ran = [by_path[one.path] for one in candidates if one.path in by_path]
        if ran:
            best = min(ran, key=lambda one: one.ms)
            found.append(TimedCut(choice, made, best.candidate.plan.name, best.ms, speedup(best, timed, count)))
    return tuple(found)


def worth_teaching(cuts: Sequence[TimedCut]) -> tuple[TimedCut, ...]:
    """Those that are faster beyond the noise, the lightest first; of two, the one that leaves less and is no faster is left out."""
    pay = [one for one in cuts if one.speedup.low > 1]
    kept: list[TimedCut] = []
    for one in sorted(pay, key=lambda one: -one.cut.multiplications):
        if all(one.ms < other.ms for other in kept):
            kept.append(one)
    return tuple(kept)


def cut_to(model: Graph, choice: WidthChoice, lessons: Lessons, workspace: Workspace, name: str) -> Cut:
    """``model`` with the widths of ``choice``."""
    request = CutRequest(model, choice.widths, "gradient", lessons.training, workspace.folder(f"{name}/model"))
    return workspace.reusable(compress.cut, request, f"cut-{name}", imports.of_framework(compress.framework(model)))


def taught(student: Graph, teacher: Graph, lessons: Lessons, recipe: Recipe, workspace: Workspace, name: str) -> Taught:
    """The student after its lessons; those of an earlier run that was interrupted go on where they ended."""
    out = workspace.folder(f"{name}/taught")
    checkpoint = workspace.folder(f"{name}/checkpoint")
    request = TeachRequest(student, teacher, lessons.training, lessons.validation, recipe, checkpoint, out)
    key = workspace.reuse.key(compress.teach, replace(request, checkpoint=out))
    if found := workspace.reuse.find(key, compress.teach, out):
        return found.result
    checkpoint.mkdir(parents=True)
    workspace.reuse.find_unfinished(key, checkpoint)
    here = replace(workspace, done=lambda words: workspace.notify(Progress("compress", 0, 1, f"{student.compression}: {words}")))
    try:
        result = here.step(compress.teach, request, f"teach-{name}", imports.of_framework(compress.framework(student)))
    except BaseException:
        workspace.reuse.keep_unfinished(key, checkpoint)
        raise
    workspace.reuse.keep(key, compress.teach, result, out)
    return result


def judged(
    made: Cut | None, result: Taught, original: Cuttable, before: Sequence[Step], contest: Contest, workspace: Workspace,
    name: str, precision: Literal["fp32", "int8"] = "fp32",
) -> Step:  # fmt: skip
    """A taught model on the validation samples and beside the uncompressed one; kept where it is within the budget and faster."""
    model = result.graph
    here = below(workspace, f"{name}/judged")
    graphs = captured(model, contest.trial, contest.job, here)
    contest = replace(contest, workspace=here)
    first, best = result.lessons[0], result.lessons[result.best]
    lessons = compression.Lessons(
        result.lessons[-1].samples, result.lessons[-1].seconds, result.rate, first.metric, best.metric, result.ended
    )
    layers = tuple(
        CutLayer(block.name, block.channels, made.widths[block.name]) for block in original.blocks if made and block.name in made.widths
    )
    size = (made.parameters, made.multiplications) if made else (original.parameters, original.multiplications)

    def step(plan: str, ms: float, ratio: Interval, verified: Verified | None, kept: bool, reason: str) -> Step:
        score = verified.score if verified else None
        evidence = CompressionStep(model.compression, layers, *size, plan, ms, ratio, lessons, score, kept, reason)
        return Step(evidence, model if kept else None, graphs if kept else ())

    try:
        verified = contest.judged(graphs, precision)
    except NoCandidate as problem:
        candidates = contest.made(graphs, name)
        timed = contest.beside(candidates, name)
        one = fastest(timed, len(contest.fastest))
        ratio = speedup(one, timed, len(contest.fastest))
        return step(one.candidate.plan.name, one.ms, ratio, None, False, problem.message)
    timed = contest.beside([one.candidate for one in verified], name)
    one = fastest(timed, len(contest.fastest))
    ratio = speedup(one, timed, len(contest.fastest))
    passed = next(each for each in verified if each.candidate.path == one.candidate.path and each.candidate.plan == one.candidate.plan)
    name_of = one.candidate.plan.name
    if ratio.low <= 1:
        return step(name_of, one.ms, ratio, passed, False, "it is not faster than the uncompressed model beyond the noise")
    if any(other.evidence.kept and other.evidence.ms <= one.ms for other in before):
        return step(name_of, one.ms, ratio, passed, False, "a lighter cut is as fast")
    return step(name_of, one.ms, ratio, passed, True, "it is faster beyond the noise and within the budget on the validation samples")


def below(workspace: Workspace, name: str) -> Workspace:
    """The same workspace with a folder of its own for what is made of one model."""
    path = workspace.folder(name)
    path.mkdir(parents=True, exist_ok=True)
    return replace(workspace, path=path)
