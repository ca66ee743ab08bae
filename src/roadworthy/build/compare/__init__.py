"""Two or more sources side by side: are they the same function, and what does each way to run them cost?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from roadworthy.build import lower
from roadworthy.build.certificate import packages
from roadworthy.build.compare.forms import side_of, time_sides, verify_forms
from roadworthy.build.compare.load import load_all
from roadworthy.build.compare.pairing import pairing, record_layers
from roadworthy.build.job import Job
from roadworthy.build.workspace import Notify, workspace_for
from roadworthy.core.comparison import Comparison
from roadworthy.core.errors import UsageError
from roadworthy.core.isolation import unchanged
from roadworthy.core.version import __version__


def compare(jobs: Sequence[Job], notify: Notify = lambda progress: None, *, timed: bool = True) -> Comparison:
    """Compare the sources of ``jobs``, each with the first.

    Without ``timed`` only their answers and layers are compared: no form is made, and the sides have none.
    Each job says how to read its own source; all have the same data, budget and metric. Samples that are arrays are
    transposed for a source that wants its channels elsewhere, and the result says so. Raises SourceError, DataError and others
    of ``core.errors`` where a source cannot be read or run at all; whatever else fails is in the result.
    """
    if len(jobs) < 2:
        raise UsageError("there is nothing to compare: give two sources at least")
    for job in jobs:
        lower.refuse_unknown(job.runtimes, job.precisions)
    started = time.monotonic()
    with workspace_for(jobs, notify) as workspace:
        inputs = [unchanged.user_files(job.code_files, job.data_files) for job in jobs]
        models = load_all(jobs, workspace)
        for held in inputs:
            held.refuse_changed()
        runs = [verify_forms(model, job, timed=timed) for model, job in zip(models, jobs, strict=True)]
        recorded = [record_layers(run) for run in runs]
        pairings = tuple(pairing(runs[0], runs[number], recorded[0], recorded[number], workspace) for number in range(1, len(runs)))
        sides = time_sides(runs, workspace) if timed else tuple(side_of(run, [], []) for run in runs)
        for model in models:
            unchanged.refuse_changed(model.source, workspace.user_code.notes)
        return Comparison(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            roadworthy=__version__,
            host=workspace.host,
            packages=tuple(f"{one.name} {one.version}" for one in packages()),
            data=models[0].data.kind,
            samples=models[0].data.evaluation.count,
            sides=sides,
            pairings=pairings,
            seconds=time.monotonic() - started,
        )
