"""The original's own answers on the samples, which every candidate is compared with, and the original as a candidate itself."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from roadworthy.build import classes, imports, sources, supplied, verify
from roadworthy.build.certificate import Data
from roadworthy.build.job import Job
from roadworthy.build.search import Trial, baseline_of
from roadworthy.build.time_budget import CLOSING, RACE
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core.errors import DataError, RoadworthyError
from roadworthy.core.evidence import Parity
from roadworthy.core.stages import Candidate, Graph, Verified
from roadworthy.core.types import Signature


def reference_of(original: Graph, signature: Signature, data: Data, job: Job, workspace: Workspace) -> tuple[Trial, Verified]:
    """The original's own answers, with which every candidate is compared, and the original as a candidate in the race."""
    _refuse_guesses(data, job)
    workspace.begin("original")
    remedy = supplied.remedy(data, signature)
    promised = replace(original, signature=signature)
    request = verify.ReferenceRequest(promised, data.evaluation, workspace.host.cores, workspace.folder("reference"), remedy)
    here = replace(workspace, done=lambda words: workspace.notify(Progress("original", 0, 1, words)))
    slow = imports.to_run(baseline_of(original, workspace))
    reference = here.reusable(verify.establish, request, "reference", slow, holds=partial(_answers_as_before, request, slow, workspace))
    read = classes.reading(data, reference, signature)
    reference = replace(reference, classes=0 if data.guessed else read.seen)
    votes = read.classes and reference.classes > 1
    metric = data.metric or (verify.AGREEMENT if votes else verify.ERROR)
    if not data.metric:
        verify.check_budget(verify.BudgetRequest(metric, job.budget))
    asked = verify.ScoreRequest(data.evaluation, reference, metric, job.budget, read.reading, data.choosing)
    score = workspace.step(verify.score_original, asked, "score")
    reserve = (CLOSING + RACE) * job.seconds
    trial = Trial(
        data.calibration, data.evaluation, reference, signature, metric, score.budget, reserve, read.answer, read.reading, data.choosing,
        job.objective, keep=bool(job.runtimes or job.plans),
    )  # fmt: skip
    candidate = Candidate(baseline_of(original, workspace), original.path, signature, original.format, original.size, 0.0)
    parity = Parity(data.evaluation.count, (reference.batch,), 0.0, 0.0, 0.0, 1.0, 1.0 if votes else None, True)
    workspace.notify(Progress("original", 1, 1, f"{score.metric} {score.shown(score.value.value)}"))
    return trial, Verified(candidate, parity, score)


def _answers_as_before(request: verify.ReferenceRequest, slow: str, workspace: Workspace, earlier: verify.Reference) -> bool:
    """Whether the original still gives the answers of an ``earlier`` deployment: its code may read more than its file."""
    try:
        return workspace.step(verify.repeat, verify.RepeatRequest(request, earlier), "reference-repeated", slow).same
    except RoadworthyError:
        return False


def _refuse_guesses(data: Data, job: Job) -> None:
    """DataError where the metric is agreement, on whole numbers of which nothing says whether the model takes them."""
    if data.guessed and job.metric == verify.AGREEMENT:
        spec = data.guessed[0]
        raise DataError(
            f"--metric {verify.AGREEMENT}: {spec.name!r} was fed whole numbers that are made up, and to agree on those says nothing: give "
            f"--data, state their range, for example {sources.input_option(spec, 'in 0..1000')}, or use --metric {verify.ERROR}"
        )
