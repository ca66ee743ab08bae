"""Training's transform where no form reads it: the steps that come nearest are found by running it, for the user to take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from roadworthy.build import sources
from roadworthy.build.job import Job
from roadworthy.build.original import gather_samples
from roadworthy.build.preprocessing import proof
from roadworthy.build.workspace import Workspace
from roadworthy.core.errors import DataError
from roadworthy.core.isolation import callables
from roadworthy.core.stages import Source
from roadworthy.preprocess.contract import Contract

FEW = 8
"""The images that the transform is run on."""


@contextmanager
def nearest_instead(job: Job, source: Source, workspace: Workspace) -> Iterator[None]:
    """Where the block raises DataError because it cannot read the transform, raise it with the steps that come nearest."""
    try:
        yield
    except DataError as problem:
        assert job.training_transform is not None
        layout = sources.layout(source)
        here = replace(workspace, path=workspace.path / "unread")
        found = gather_samples(source, replace(job, samples=FEW), Contract(proof.plain(layout, (32, 32), grey=False)), here)
        if found is None or found.pictures is None:
            raise
        request = proof.NearestRequest(job.training_transform, found.pictures.first(FEW), layout)
        nearest = here.step(proof.nearest_step, request, "nearest-preprocessing")
        raise DataError(
            f"{problem.message}. Run on {len(request.pictures.files)} of your images, {callables.shown(job.training_transform)} gives what "
            f"these steps give, {nearest.left}; if that is near enough, give them as --preprocess FILE.toml:\n{nearest.toml}"
        ) from None
