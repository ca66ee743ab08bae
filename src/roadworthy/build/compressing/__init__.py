"""The original made smaller where that makes it faster: cut, taught, judged and timed step by step, before the search of all candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from roadworthy.build import compress, imports
from roadworthy.build.compress import BlocksRequest
from roadworthy.build.compressing.attempt import Attempt, below
from roadworthy.build.compressing.baseline import baseline_plans
from roadworthy.build.compressing.steps import JudgedStep
from roadworthy.build.compressing.training import training_data
from roadworthy.build.compressing.ways import of_student, pruned, quantised
from roadworthy.build.job import Compression, Job
from roadworthy.build.workspace import Workspace
from roadworthy.bundle.compression import CompressionProof
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.stages import Graph, Source
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.front import Front, front_of, put_in_front

__all__ = ["DISTIL", "PRUNE", "QUANTISE", "Smaller", "refuse_unknown", "smaller"]

PRUNE, DISTIL, QUANTISE = "prune", "distil", "quantise"
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


def refuse_untrainable(source: Source) -> None:
    """Raise SourceError for a file whose weights are constants of a graph, as soon as it is known what the file is."""
    if source.kind in FROZEN:
        raise SourceError(f"{source.named} cannot be trained: its weights are constants of a graph. {compress.TRAINABLE}")


def smaller(source: Source, original: Graph, captured: tuple[Graph, ...], contract: Contract, job: Job, workspace: Workspace) -> Smaller:
    """Look for smaller models of ``original``, whose graphs were ``captured``, as ``job.compress`` says.

    That none pays is a result, and the proof says so. Raises SourceError for an original that cannot be trained, DataError for training
    data that does not fit it.
    """
    asked = job.compress
    assert asked is not None, "nothing was asked for"
    workspace.begin("compress")
    workspace = below(workspace, "compress")
    front, model = _behind(original)
    compress.framework(model)
    if model.quantized:
        raise SourceError(f"the original computes in whole numbers already and cannot be trained. {compress.TRAINABLE}")
    lessons = training_data(asked, model, source, contract, job, workspace)
    original_graphs = tuple(_behind(graph)[1] for graph in captured if graph.unfolded == original.unfolded) if front else captured
    baseline = baseline_plans(original_graphs, lessons.trial, job, workspace)
    slow = imports.of_framework(compress.framework(model))
    cuttable = workspace.step(compress.blocks, BlocksRequest(model, lessons.training), "blocks", slow)
    done, outcome = _steps(Attempt(asked, model, cuttable, lessons, baseline, workspace))
    kept = [step for step in done if step.model]
    proof = CompressionProof(
        asked.ways, asked.data, lessons.training.count, lessons.validation.count, lessons.labelled, asked.seconds, cuttable.parameters,
        cuttable.multiplications, baseline.fastest[0].plan.name, baseline.ms, tuple(step.evidence for step in done),
        tuple(cuttable.left.items()), outcome,
    )  # fmt: skip
    graphs = tuple(_fronted(front, graph, workspace) for step in kept for graph in step.graphs)
    return Smaller(graphs, tuple(step.model for step in kept if step.model), proof)


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


def _behind(graph: Graph) -> tuple[Front | None, Graph]:
    """The steps in front of a model, if there are any, and the model without them."""
    found = front_of(graph.path)
    if not found:
        return None, graph
    front, path = found
    return front, replace(graph, path=path, signature=front.behind(graph.signature), unfolded=False)


def _fronted(front: Front | None, graph: Graph, workspace: Workspace) -> Graph:
    """A graph of a smaller model with the original's steps in front of it."""
    if front is None:
        return graph
    (spec,) = graph.signature.inputs
    path = put_in_front(front, graph.path, workspace.folder(f"fronted/{graph.compression}/{graph.format}"))
    return replace(graph, path=path, signature=replace(graph.signature, inputs=(front.outer(spec),)), unfolded=True)
