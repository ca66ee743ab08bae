"""``roadworthy.compare``: a comparison of files, with one value of an option for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from roadworthy.build.compare import compare
from roadworthy.build.job import Job
from roadworthy.build.sources import parse_inputs
from roadworthy.build.workspace import Notify
from roadworthy.core.comparison import Comparison
from roadworthy.core.errors import UsageError

T = TypeVar("T")


def compare_files(
    sources: Sequence[Path | str],
    *,
    arch: Sequence[str | None] = (),
    inputs: Sequence[Sequence[str]] = (),
    signature: Sequence[str] = (),
    outputs: Sequence[Sequence[str]] = (),
    preprocess: Sequence[Path | str | None] = (),
    data: Path | str | None = None,
    labels: Path | str | None = None,
    samples: int | None = None,
    runtimes: Sequence[str] = (),
    seconds: float = 1800.0,
    trust: bool = False,
    timed: bool = True,
    notify: Notify = lambda progress: None,
) -> Comparison:
    """Compare ``sources``, two or more, each with the first: their answers, their layers and, where ``timed``, what each form costs.

    ``arch``, ``inputs``, ``signature``, ``outputs`` and ``preprocess`` have one value for each source, in their order, or none at all;
    everything is as for the command. ``seconds`` is the time for all of it. Raises UsageError, SourceError, DataError and other errors
    of ``core.errors`` where a source cannot be read or run.
    """
    count = len(sources)
    given = zip(
        sources,
        _each(arch, None, count, "arch"),
        _each(inputs, (), count, "inputs"),
        _each(signature, "", count, "signature"),
        _each(outputs, (), count, "outputs"),
        _each(preprocess, None, count, "preprocess"),
        strict=True,
    )
    jobs = []
    for source, network, texts, named, tensors, preset in given:
        specs, stated = parse_inputs(texts)
        jobs.append(
            Job(
                Path(source),
                Path(source),
                arch=network,
                signature=named,
                outputs=tuple(tensors),
                inputs=specs,
                stated=stated,
                preprocess=None if preset is None else str(preset),
                data=None if data is None else str(data),
                labels=None if labels is None else Path(labels),
                samples=samples,
                runtimes=tuple(runtimes),
                seconds=seconds,
                trust=trust,
                # How long each form takes to make is one of its figures.
                cache=False,
            )
        )
    return compare(jobs, notify, timed=timed)


def _each(values: Sequence[T], default: T, count: int, option: str) -> Sequence[T]:
    """One value for each source."""
    if values and len(values) != count:
        raise UsageError(f"{option} has {len(values)} values for {count} sources; give one for each, in their order")
    return values or [default] * count
