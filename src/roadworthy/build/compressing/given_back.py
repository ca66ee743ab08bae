"""A smaller model given back in its own framework's format, for those who deploy elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build import compress, imports, pixels
from roadworthy.build.compress import STUDENT, WriteRequest
from roadworthy.build.compressing import refuse_unknown, refuse_untrainable, smaller
from roadworthy.build.graphs import capture_all
from roadworthy.build.job import Job
from roadworthy.build.original import identify
from roadworthy.build.workspace import Notify, workspace_for
from roadworthy.bundle import compression, store
from roadworthy.bundle.compression import CompressionProof, CompressionStep
from roadworthy.core import codec
from roadworthy.core.errors import NoCandidate, UsageError
from roadworthy.core.isolation import unchanged

README = "README.md"
SAMPLES = 500
"""On so many samples the model is loaded, captured and written."""


@dataclass(frozen=True)
class CompressedModel:
    """The directory with the smaller model, and the evidence of the search; the model is that of the last step that was kept."""

    path: Path
    proof: CompressionProof


def compress_source(job: Job, notify: Notify = lambda progress: None) -> CompressedModel:
    """Look for a smaller model of the job's source and write the fastest one to ``job.output``, with README.md and compression.json.

    Raises NoCandidate, with the figures, where none pays, and the errors of ``deploy``; nothing is written then.
    """
    asked = job.compress
    if asked is None:
        raise UsageError("nothing says how the model becomes smaller: name the ways, such as prune and distil")
    store.refuse_other_content(job.output, compression.NAME)
    refuse_unknown(asked)
    # Where no other samples are there, those to train on show what the model takes.
    job = replace(job, data=job.data or asked.data, samples=job.samples or SAMPLES)
    with workspace_for((job,), notify) as workspace:
        source = identify(job, workspace)
        refuse_untrainable(source, asked)
        found = pixels.contract(job, source, workspace)
        loaded, data = pixels.load(source, job, found, workspace)
        graphs, _ = capture_all(loaded.graph, data.evaluation, workspace, (), job.runtimes)
        made = smaller(source, loaded.graph, graphs, found.contract, job, workspace)
        if not made.models:
            raise NoCandidate(f"no smaller model pays: {made.proof.outcome}")
        model, step = made.models[-1], made.proof.kept[-1]
        workspace.begin("write")
        out = workspace.folder("given-back")
        code = asked.student if step.name == STUDENT else job.arch
        request = WriteRequest(model, code, data.evaluation, out)
        written = workspace.step(compress.write, request, "write", imports.of_framework(compress.framework(model)))
        unchanged.refuse_changed(source, workspace.user_code.notes)
        (out / compression.NAME).write_bytes(codec.to_json(made.proof))
        (out / README).write_text(_readme(made.proof, step, written.usage), encoding="utf-8")
        with store.writing(job.output, mark=compression.NAME) as root:
            shutil.copytree(out, root, dirs_exist_ok=True)
    return CompressedModel(job.output, made.proof)


def _readme(proof: CompressionProof, step: CompressionStep, usage: str) -> str:
    """What the model is, how it is loaded, and what was measured."""
    size = (
        f"{step.parameters:,} of {proof.parameters:,} parameters, {step.multiplications:,} of {proof.multiplications:,} multiplications a "
        "sample."
    )
    facts = "\n".join(f"- {fact}" for fact in _facts(proof, step))
    layers = "".join(f"| `{one.layer}` | {one.before} | {one.after} |\n" for one in step.layers)
    table = f"\n## What was cut\n\n| layer | channels before | after |\n| --- | --- | --- |\n{layers}" if layers else ""
    return (
        f"# A smaller model, {step.name}\n\n{size}\n\n```python\n{usage.strip()}\n```\n\n## What was measured\n\n{facts}\n{table}\n"
        f"`{compression.NAME}` holds every step, those that were left out too.\n"
    )


def _facts(proof: CompressionProof, step: CompressionStep) -> Iterator[str]:
    score, speed = step.score, step.speedup
    if score:
        yield (
            f"{score.metric} {score.shown(score.value.value)} on {score.samples:,} validation samples; the original has "
            f"{score.shown(score.original)}. At 95 % confidence it is worse by at most {score.shown(max(score.bound, 0.0))}."
        )
    yield (
        f"{speed.value:.2f} times as fast [{speed.low:.2f}, {speed.high:.2f}] as {step.beside} of the original: {step.ms:.3g} ms a call, "
        f"as {step.plan}."
    )
    yield f"Taught for {step.lessons.seconds:.0f} s on {proof.training:,} samples of `{proof.data}`."
