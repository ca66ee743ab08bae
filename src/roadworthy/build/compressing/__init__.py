"""The original made smaller where that makes it faster: cut, taught, judged and timed step by step, before the search of all candidates."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.build import compress, imports
from roadworthy.build.compress import BlocksRequest
from roadworthy.build.compressing.attempt import DISTIL, PRUNE, QUANTISE, Attempt
from roadworthy.build.compressing.baseline import baseline_plans
from roadworthy.build.compressing.steps import JudgedStep
from roadworthy.build.compressing.training import training_data
from roadworthy.build.compressing.ways import of_student, pruned, quantised
from roadworthy.build.graphs import behind, in_front
from roadworthy.build.job import Compression, Job
from roadworthy.build.workspace import Workspace
from roadworthy.bundle.compression import CompressionProof
from roadworthy.core.errors import DataError, SourceError, UsageError
from roadworthy.core.stages import Graph, Source
from roadworthy.preprocess.contract import Contract

__all__ = ["Smaller", "refuse_unknown", "refuse_untrainable", "smaller"]

WAYS = (PRUNE, DISTIL, QUANTISE)
FROZEN = ("exported", "graphdef", "jit", "npz", "onnx", "saved_model", "tf1", "tflite")
"""Kinds of sources that hold a graph and no layers that could be trained."""


@dataclass(frozen=True)
class Smaller:
    """The graphs of the smaller models that stayed, ready for the search; ``models`` are the same in their own framework's format."""

    graphs: tuple[Graph, ...]
    models: tuple[Graph, ...]
    proof: CompressionProof


def refuse_unknown(asked: Compression | None) -> None:
    """Raise UsageError for ways that do not exist or do not fit each other, before anything is read."""
    if asked is None:
        return
    if unknown := [way for way in asked.ways if way not in WAYS]:
        raise UsageError(f"--compress {','.join(unknown)}: there are {', '.join(WAYS)}")
    if asked.student and DISTIL not in asked.ways:
        raise UsageError("--student is taught by the original: write --compress distil")


def refuse_untrainable(source: Source, asked: Compression) -> None:
    """Raise SourceError for a file whose weights are constants of a graph, UsageError for a way that its framework does not have.

    Both as soon as it is known what the file is.
    """
    if source.kind in FROZEN:
        raise SourceError(f"{source.named} cannot be trained: its weights are constants of a graph. {compress.TRAINABLE}")
    if QUANTISE in asked.ways and source.framework != "torch":
        raise UsageError(f"--compress {QUANTISE} is for PyTorch models, and this one is of {source.framework}: leave it out")


def smaller(source: Source, original: Graph, captured: tuple[Graph, ...], contract: Contract, job: Job, workspace: Workspace) -> Smaller:
    """Look for smaller models of ``original``, whose graphs were ``captured``, as ``job.compress`` says.

    That none pays is a result, and the proof says so. Raises SourceError for an original that cannot be trained, DataError for training
    data that does not fit it.
    """
    asked = job.compress
    assert asked is not None, "nothing was asked for"
    workspace.begin("compress")
    workspace = workspace.below("compress")
    front, model = behind(original)
    compress.framework(model)
    if model.quantized:
        raise SourceError(f"the original computes in whole numbers already and cannot be trained. {compress.TRAINABLE}")
    lessons = training_data(asked, model, source, contract, job, workspace)
    if not lessons.labelled and DISTIL not in asked.ways and PRUNE in asked.ways:
        raise DataError(f"{asked.data} has no labels to train with: let the original teach, with --compress prune,distil")
    graphs = tuple(behind(graph)[1] for graph in captured if graph.unfolded == original.unfolded)
    baseline = baseline_plans(graphs, lessons.trial, job, workspace)
    slow = imports.of_framework(compress.framework(model))
    cuttable = workspace.step(compress.blocks, BlocksRequest(model, lessons.training), "blocks", slow)
    done, outcome = _steps(Attempt(asked, model, cuttable, lessons, baseline, workspace))
    kept = [step for step in done if step.model]
    proof = CompressionProof(
        asked.ways, asked.data, lessons.training.count, lessons.validation.count, lessons.labelled, asked.seconds, cuttable.parameters,
        cuttable.multiplications, tuple(step.evidence for step in done), tuple(cuttable.left.items()), outcome,
    )  # fmt: skip
    found = tuple(graph for step in kept for graph in step.graphs)
    found = tuple(in_front(front, graph, workspace) for graph in found) if front else found
    return Smaller(found, tuple(step.model for step in kept if step.model), proof)


def _steps(attempt: Attempt) -> tuple[tuple[JudgedStep, ...], str]:
    """Every way in turn, and in one sentence what came of it."""
    asked = attempt.asked
    ways = [of_student if asked.student else pruned] if asked.student or {PRUNE, DISTIL} & set(asked.ways) else []
    ways += [quantised] if QUANTISE in asked.ways else []
    found = [way(attempt, asked.seconds / len(ways)) for way in ways]
    done = tuple(step for steps, _ in found for step in steps)
    kept = [step.evidence.name for step in done if step.model]
    went = f"{', '.join(kept)} went on to the search among all candidates" if kept else ""
    return done, "; ".join(filter(None, (went, *(words for _, words in found))))
