"""The sources of a comparison, loaded on the same samples, whose channels are moved where a source wants them elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build.certificate import Data
from roadworthy.build.data import dataset
from roadworthy.build.job import Job
from roadworthy.build.original import contract_of, identify, load_original
from roadworthy.build.sources import Loaded
from roadworthy.build.workspace import Workspace
from roadworthy.core.errors import DataError, RoadworthyError, SourceError, UsageError
from roadworthy.core.samples import write
from roadworthy.core.stages import Source
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Contract

CHANNELS_LAST, CHANNELS_FIRST = "height, width, channels", "channels, height, width"


@dataclass(frozen=True)
class LoadedSide:
    """One source of a comparison, loaded, with its samples and what was noticed about these."""

    name: str
    source: Source
    loaded: Loaded
    data: Data
    workspace: Workspace
    notes: tuple[str, ...]


def load_all(jobs: Sequence[Job], workspace: Workspace) -> list[LoadedSide]:
    """Every source on the same samples: the data as it is where it fits, otherwise the samples of the first source that it fitted."""
    names = _names(jobs)
    sources = [identify(job, workspace) for job in jobs]
    models: dict[int, LoadedSide] = {}
    problems: dict[int, RoadworthyError] = {}
    for index, job in enumerate(jobs):
        contract = contract_of(job, sources[index], workspace).contract
        if models and (job.data is None or (not contract.takes_items and _foreign(sources[index], models.values()))):
            continue
        here = replace(workspace, path=workspace.path / f"side-{index}")
        try:
            loaded, data = load_original(sources[index], job, contract, here, calibrate=0, scored=False)
            models[index] = LoadedSide(names[index], sources[index], loaded, data, here, ())
        except (DataError, SourceError, UsageError) as problem:
            problems[index] = problem
    if not models:
        raise problems[0]
    taken = next(iter(models.values()))
    for index, job in enumerate(jobs):
        if index not in models:
            models[index] = _load_from(taken, names[index], sources[index], job, workspace, problems.get(index))
    return [models[index] for index in range(len(jobs))]


def _foreign(source: Source, models: Iterable[LoadedSide]) -> bool:
    """Whether every loaded model has another framework: arrays that fit these have their channels on another axis."""
    return all(model.source.framework != source.framework for model in models)


def _load_from(taken: LoadedSide, name: str, source: Source, job: Job, workspace: Workspace, problem: RoadworthyError | None) -> LoadedSide:
    """``source`` on the samples that ``taken`` was loaded with, their channels on another axis where it needs that."""
    images = any(array.ndim > 2 for array in taken.data.evaluation.open().values())
    wanted = CHANNELS_FIRST if source.framework == "torch" else CHANNELS_LAST
    moves = (wanted, "", CHANNELS_FIRST) if images and source.framework != taken.source.framework else ("", wanted) if images else ("",)
    for number, move in enumerate(dict.fromkeys(moves)):
        here = replace(workspace, path=workspace.path / f"side-{name.replace('/', '-')}-{number}")
        try:
            given = _moved(taken.data, move, here)
            loaded, data = load_original(source, job, Contract(), here, given=given, calibrate=0, scored=False)
        except (DataError, SourceError, UsageError) as failure:
            problem = problem or failure
            continue
        note = (f"the samples of {taken.name} were transposed to {move} for {name}",) if move else ()
        return LoadedSide(name, source, loaded, replace(data, kind=taken.data.kind), here, note)
    raise problem or DataError(f"the samples of {taken.name} do not fit {name}")


def _moved(data: Data, move: str, workspace: Workspace) -> dataset.Dataset:
    """A copy of the samples of ``data``, with their channels where ``move`` says."""

    def moved(array: Array) -> Array:
        if not move or array.ndim < 3:
            return array
        return np.moveaxis(array, 1, -1) if move == CHANNELS_LAST else np.moveaxis(array, -1, 1)

    samples = data.evaluation
    arrays = {name: np.ascontiguousarray(moved(array)) for name, array in samples.open().items()}
    copied = write(workspace.folder("data/all"), arrays, samples.open_targets())
    return dataset.Dataset(copied, data.classes, "labelled" if samples.labelled else "unlabelled")


def _names(jobs: Sequence[Job]) -> list[str]:
    """The name of each side: its file, with its folder where two files have one name, with its number where the folder is the same too."""
    names = [job.source.name for job in jobs]
    if len(set(names)) < len(names):
        names = [f"{job.source.resolve().parent.name}/{job.source.name}" for job in jobs]
    return names if len(set(names)) == len(names) else [f"{name} ({number})" for number, name in enumerate(names, 1)]
