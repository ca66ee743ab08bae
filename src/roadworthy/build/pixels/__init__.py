"""What is proven of the preprocessing: training's own transform beside it, and the usual conventions on labelled images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from roadworthy.build import imports, sources, verify
from roadworthy.build.certificate import Data
from roadworthy.build.job import Job
from roadworthy.build.original import completed, contract_of, read_contract
from roadworthy.build.pixels import conventions
from roadworthy.build.pixels.missing import load
from roadworthy.build.pixels.unread import nearest_instead
from roadworthy.build.preprocessing import Found, proof
from roadworthy.build.search import Trial, baseline_of
from roadworthy.build.workspace import Workspace
from roadworthy.bundle.pixels import PreprocessingProof, TransformProof
from roadworthy.core.errors import OutOfTime, RoadworthyError, UsageError
from roadworthy.core.evidence import Note, Score
from roadworthy.core.stages import Graph, Source

__all__ = ["contract", "load", "notes_on", "prove"]


def contract(job: Job, source: Source, workspace: Workspace) -> Found:
    """The preprocessing as ``contract_of`` reads it; where the job names training's transform alone, that is read.

    Raises UsageError where there is nothing to run the transform on, DataError, with the steps that come nearest, where no form reads it.
    """
    if job.training_transform is None:
        return contract_of(job, source, workspace)
    if job.data is None:
        raise UsageError("--training-transform is run on your images: give some with --data")
    if job.preprocess is not None:
        return contract_of(job, source, workspace)
    asked = replace(job, preprocess=job.training_transform)
    with nearest_instead(job, source, workspace):
        found = read_contract(asked, source, workspace)
    return completed(found, asked, source)


def prove(
    found: Found, loaded: sources.Loaded, trial: Trial, original: Score | None, data: Data, job: Job, workspace: Workspace
) -> PreprocessingProof:
    """Both proofs, as far as the job and its data allow them; ``original`` is the original's own score.

    Raises DataError where the transform cannot be run on the data.
    """
    # Both are of the model as it was trained, with all steps outside.
    outside = replace(found, contract=found.contract.whole())
    trained = loaded.trained or replace(loaded.graph, signature=trial.signature)
    transform = _transform(outside, trained, trial, data, job, workspace)
    same = transform is not None and transform.equal
    tried = None if same else conventions.trial(outside.contract, trained, trial, original, data, job, workspace)
    return PreprocessingProof(found.origin, transform, tried)


def notes_on(proven: PreprocessingProof) -> Iterable[Note]:
    """What was found in sentences; a warning where training's transform differs, or where another convention scores far better."""
    if proven.transform is not None:
        yield _on_transform(proven.transform)
    if proven.conventions is not None and proven.conventions.better is not None:
        yield Note(conventions.warning(proven.conventions), warning=True)


def _transform(found: Found, trained: Graph, trial: Trial, data: Data, job: Job, workspace: Workspace) -> TransformProof | None:
    if job.training_transform is None:
        return None
    assert data.pictures is not None and data.all is not None
    name = trained.signature.inputs[0].name
    request = proof.ProofRequest(job.training_transform, found.contract.image, data.pictures, name, workspace.folder("training"))
    proven = workspace.step(proof.prove_step, request, "training-transform")
    if proven.ours is None or proven.theirs is None:
        return proven.proof
    asked = verify.EitherRequest(
        trained, trained.signature, proven.ours, proven.theirs, data.all,
        data.metric, trial.reading, workspace.host.cores,
    )  # fmt: skip
    slow = imports.to_run(baseline_of(trained, workspace))
    try:
        return replace(proven.proof, either=workspace.step(verify.score_either, asked, "either-preprocessing", slow))
    except OutOfTime:
        raise
    except RoadworthyError as problem:
        # The deployment does not need training's samples.
        said = f"the original did not answer the samples of training's transform: {problem.message}"
        return replace(proven.proof, beside=(*proven.proof.beside, said))


def _on_transform(found: TransformProof) -> Note:
    images = f"{found.images:,} image{'s' if found.images != 1 else ''}"
    if found.equal:
        return Note(f"training's transform {found.transform} and the preprocessing give the same: {found.words} on {images}")
    said = f"training's transform {found.transform} gives other pixels than the preprocessing: {found.words} on {images}"
    why = f"; {'; '.join(found.differs)}" if found.differs else ""
    remedy = f" ({found.remedy}: then {found.after})" if found.after else ""
    return Note(f"{said}{why}{remedy}{_accuracy(found)}; the deployment keeps its own", warning=True)


def _accuracy(found: TransformProof) -> str:
    either = found.either
    if either is None:
        return ""
    if either.metric:
        return (
            f". On {either.samples:,} of these the original gets {either.metric} {either.shown(either.ours)} with the preprocessing and "
            f"{either.shown(either.theirs)} with training's transform"
        )
    return "" if either.agreement is None else f". The original's top class is the same for {either.agreement:.1%} of {either.samples:,}"
