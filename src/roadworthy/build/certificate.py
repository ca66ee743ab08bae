"""The results of a deployment as its certificate, and a program for each rejected plan that shows the rejection again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from roadworthy.build import benchmark, package, sources, verify
from roadworthy.build.job import Job
from roadworthy.build.package.report import figures
from roadworthy.build.search import Trial
from roadworthy.build.undecided import faster_undecided
from roadworthy.bundle.certificate import (
    Certificate,
    Choice,
    Goal,
    InstalledPackage,
    Origin,
    Samples,
    StageTime,
    TriedRoute,
    by_reason,
    plan_names,
)
from roadworthy.bundle.compression import CompressionProof
from roadworthy.bundle.peak import ModelWork
from roadworthy.bundle.pixels import PreprocessingProof
from roadworthy.bundle.shares import ShareProof
from roadworthy.core import codec, registry
from roadworthy.core.errors import BackendMissing
from roadworthy.core.evidence import Note
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Rejected, Source, Verified
from roadworthy.core.types import TensorSpec
from roadworthy.core.version import __version__
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.pictures import Pictures

BUILDERS = ("numpy", "pillow", "torch", "torchao", "keras", "tf-keras", "tf2onnx", "onnx", "onnxscript", "nncf")
"""Distributions, other than those of the runtimes, that take part in making a candidate."""
MOST_REASONS = 6
"""The reasons that the message about an empty search has room for."""


@dataclass(frozen=True)
class Data:
    """The samples of a deployment, and their kind: ``labelled``, ``unlabelled`` or ``generated``. ``notes`` are about them.

    ``unproven`` is why they prove no lossy plan; empty where they can. ``guessed`` are inputs of whole numbers that were made up
    although nothing says which the model takes: that two models agree on them says nothing. ``answer`` says how
    the model's first output is read; its labels are the ``classes``. ``metric`` and ``reading`` are those of ``verify.metrics.find``;
    the metric is empty where nothing but the original's own answers is there to compare with. The first ``choosing`` of ``evaluation``
    choose among the candidates, and the others are kept for the figures of what is chosen; ``None``: there are too few for that.
    ``pictures`` are the images behind the first of ``all`` samples, in their order; both are ``None`` where no images were given.
    """

    kind: str
    evaluation: SampleSet
    calibration: SampleSet | None
    classes: tuple[str, ...]
    notes: tuple[Note, ...] = ()
    unproven: str = ""
    guessed: tuple[TensorSpec, ...] = ()
    answer: Answer = field(default_factory=Answer)
    metric: str = ""
    reading: verify.Reading = field(default_factory=verify.Reading)
    choosing: int | None = None
    pictures: Pictures | None = None
    all: SampleSet | None = None

    @property
    def kept(self) -> int:
        """How many samples take no part in choosing."""
        return 0 if self.choosing is None else self.evaluation.count - self.choosing


@dataclass(frozen=True)
class Findings:
    """The results of all stages, in their order."""

    source: Source
    loaded: sources.Loaded
    data: Data
    graphs: tuple[Graph, ...]
    routes: tuple[TriedRoute, ...]
    trial: Trial
    baseline: Verified
    goal: Goal
    race: benchmark.Race
    rejected: tuple[Rejected, ...]
    unavailable: tuple[str, ...]
    choice: Choice
    shares: tuple[ShareProof, ...] = ()
    work: ModelWork | None = None
    preprocessing: PreprocessingProof = field(default_factory=PreprocessingProof)
    compression: CompressionProof | None = None


def certificate_of(findings: Findings, contract: Contract, job: Job, host: Host, stages: tuple[StageTime, ...]) -> Certificate:
    """All the evidence of one deployment, whose ``stages`` so far took their time."""
    source, loaded, trial, data = findings.source, findings.loaded, findings.trial, findings.data
    baseline, *others = findings.race.measured
    winner = next(one for one in findings.race.measured if one.verified.candidate.plan.name == findings.choice.winner)
    return Certificate(
        name=job.name or source.named.stem,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        roadworthy=__version__,
        claim=claim_of(findings),
        notes=(*noticed(loaded, data, findings.graphs, trial), *made_earlier(stages)),
        host=host,
        packages=packages(),
        origin=Origin(source.named.name, source.kind, source.framework, source.sha256, source.size, loaded.parameters, loaded.proofs),
        signature=trial.signature,
        preprocessing=contract.describe(),
        preprocessing_proof=findings.preprocessing,
        samples=Samples(data.kind, data.evaluation.count, data.calibration.count if data.calibration else 0, data.classes, data.kept),
        goal=findings.goal,
        tolerance=trial.reference.tolerance,
        original=findings.baseline.score,
        routes=findings.routes,
        baseline=baseline,
        measured=tuple(others),
        rejected=findings.rejected,
        unavailable=findings.unavailable,
        choice=findings.choice,
        seconds=0.0,
        undecided=faster_undecided(findings.rejected, winner),
        course=findings.race.course,
        shares=findings.shares,
        work=findings.work,
        compression=findings.compression,
    ).timed(stages)


def claim_of(findings: Findings) -> str:
    """What was proven of the winner, in one sentence: its figure, and which samples it is of."""
    found = {one.verified.candidate.plan.name: one.verified for one in findings.race.measured}
    winner, generated = found[findings.choice.winner], "generated " if findings.data.kind == "generated" else ""
    score, is_original = winner.score, winner.candidate.plan == findings.baseline.candidate.plan
    if score is None:
        error = figures.number(winner.parity.max_rel)
        return f"{findings.choice.winner}: error {error} of the output's scale on {winner.parity.samples:,} {generated}samples"
    part = {"final": " that took no part in choosing it", "all": "" if is_original else ", on which it was also chosen"}.get(score.part, "")
    value = f"{score.metric} {figures.metric(score, score.value.value)} (95 % interval {figures.metric_span(score, score.value)})"
    beside = "" if is_original else f"; the original {figures.metric(score, score.original)}"
    return f"{findings.choice.winner}: {value} on {score.samples:,} {generated}samples{part}{beside}"


def noticed(loaded: sources.Loaded, data: Data, graphs: tuple[Graph, ...], trial: Trial | None = None) -> tuple[Note, ...]:
    """The notes on the file, the data and the graphs, each sentence once, warnings first.

    A sentence about one graph names its format: the bundle may hold a candidate that was made from another graph.
    """
    found = [*data.notes, *(one_class(data, trial) if trial else ()), *map(Note, loaded.notes)]
    found += [Note(f"{graph.format} by {graph.route}: {text}") for graph in graphs if graph is not loaded.graph for text in graph.notes]
    found += [Note(text) for text in loaded.graph.notes]
    return tuple(sorted(dict.fromkeys(found), key=lambda note: not note.warning))


def made_earlier(stages: tuple[StageTime, ...]) -> tuple[Note, ...]:
    """A note that says what earlier deployments made, and since when that is there."""
    reused = [step for stage in stages for step in stage.steps if step.reused]
    if not reused:
        return ()
    named = ", ".join(step.name for step in reused[:MOST_REASONS])
    more = f" and {len(reused) - MOST_REASONS} more" if len(reused) > MOST_REASONS else ""
    oldest = min(step.reused for step in reused)
    repeated = ", the original gave its first answers again" if any(step.name == "reference" for step in reused) else ""
    return (
        Note(
            f"made by earlier deployments on this host from the same content, the oldest at {oldest}: {named}{more}; "
            f"every candidate was verified and timed anew{repeated}"
        ),
    )


def one_class(data: Data, trial: Trial) -> tuple[Note, ...]:
    """A note where the original's top class is the same for all samples; a warning where a metric is stated on it."""
    samples = trial.reference.samples
    if trial.reference.classes != 1 or samples < 2:
        return ()
    labelled = data.evaluation.labelled
    hint = "check the samples and the preprocessing" if labelled else f"the budget is on {trial.metric}"
    said = f"the original's top class is the same for all {samples:,} samples: agreement with it proves nothing and is not claimed"
    return (Note(f"{said}; {hint}", warning=labelled),)


def nothing_left(
    passed: Sequence[Verified],
    routes: tuple[TriedRoute, ...],
    rejected: tuple[Rejected, ...],
    unavailable: tuple[str, ...],
    notes: tuple[Note, ...] = (),
    spent: str = "",
) -> str:
    """Why there is no bundle, and what the user can do; those in ``passed`` all need the training framework.

    Warnings in ``notes`` are included: with other samples a candidate may pass. ``spent`` says that the time budget was too short, and
    which one would do: that is the cause then, and what was found wrong with those that had their turn is said beside it.
    """
    uncaptured = {route.format for route in routes} - {route.format for route in routes if route.ok}
    names = ", ".join(one.candidate.plan.name for one in passed)
    wrong = [one for one in rejected if not (spent and one.stage == "time budget")]
    reasons = [f"{plan_names(one.plan for one in group)}: {group[0].reason}" for group in by_reason(wrong)]
    reasons += [f"{route.format} by {route.route}: {route.outcome}" for route in routes if route.format in uncaptured]
    reasons += unavailable if not (reasons or spent) else ()
    said = "; ".join(reasons[:MOST_REASONS]) + (f"; and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else "")
    why = f": {said}" if said else ""
    told = "".join(f". {note.text}" for note in notes if note.warning)
    if spent:
        return f"no candidate that serves without the training framework passed: {spent}{f'. Of the others, {said}' if said else ''}{told}"
    return (
        f"no candidate that serves without the training framework passed{why}. Those that need it ({names}) take part with "
        "--allow-framework-at-serve; or widen the search with --runtimes, --precisions, a larger --max-drop or --max-rise, or more --data"
        f"{told}"
    )


def reproductions(job: Job, rejected: tuple[Rejected, ...]) -> tuple[package.Reproduction, ...]:
    """For each plan in which something is wrong a program that carries out only that plan."""
    return tuple(package.Reproduction(one.plan.name, _script(job, one)) for one in rejected if not one.left_out)


def _script(job: Job, rejected: Rejected) -> str:
    alone = replace(job, plans=(rejected.plan.name,), output=Path("reproduced.bundle"), cache=False)
    reason = rejected.reason.replace("\\", "\\\\").replace('"', "'")
    return f'''"""Shows again why {rejected.plan.name} was rejected, at the stage "{rejected.stage}":

{reason}

Usage: python reproduce.py [SOURCE]   (the model file, when it is not where it was)
"""

import dataclasses
import pathlib
import sys

from roadworthy.build.job import Job
from roadworthy.build.deploy import deploy
from roadworthy.core import codec

JOB = {codec.to_json(alone)!r}

if __name__ == "__main__":
    job = codec.from_json(Job, JOB)
    if len(sys.argv) > 1:
        job = dataclasses.replace(job, source=pathlib.Path(sys.argv[1]))
    deployment = deploy(job, lambda progress: print(progress.stage, progress.text))
    for rejected in deployment.certificate.rejected:
        print(rejected.plan.name, rejected.reason, rejected.detail, sep="\\n")
'''


def packages() -> tuple[InstalledPackage, ...]:
    """The installed distributions that can take part in a deployment, with their versions."""
    names = set(BUILDERS)
    for name in registry.names(registry.RUNTIMES):
        try:
            names.update(registry.facts(name).packages)
        except BackendMissing:
            continue
    found = []
    for name in sorted(names):
        try:
            found.append(InstalledPackage(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)
