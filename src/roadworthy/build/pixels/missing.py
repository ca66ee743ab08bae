"""Images without preprocessing: the deployment ends, and the usual conventions are tried for the message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from roadworthy.build import sources, verify
from roadworthy.build.certificate import Data
from roadworthy.build.data.dataset import Dataset
from roadworthy.build.job import Job
from roadworthy.build.original import gather_samples, load_original
from roadworthy.build.pixels import conventions
from roadworthy.build.preprocessing import Found, proof
from roadworthy.build.workspace import Workspace
from roadworthy.bundle.pixels import ConventionTrial
from roadworthy.core.errors import DataError, RoadworthyError
from roadworthy.core.stages import Source
from roadworthy.preprocess import answer as answers
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.pictures import MOST

USUAL_SIZE = 224
PATIENT = 60.0
"""The seconds that the conventions may take: the deployment has ended, and its user waits for nothing else."""


def load(source: Source, job: Job, found: Found, workspace: Workspace) -> tuple[sources.Loaded, Data]:
    """As ``load_original``. Where the data is images and nothing says how they become inputs, its DataError says which conventions fit,
    and why what the model brings was not used. Where there are no images for training's transform, DataError is raised too.
    """
    contract = found.contract
    try:
        loaded, data = load_original(source, job, contract, workspace)
    except DataError as problem:
        if contract.takes_items or job.data is None:
            raise
        unused = "".join(f"; {note.text}" for note in found.notes if note.warning)
        problem = type(problem)(f"{problem.message}{unused}", detail=problem.detail)
        try:
            tried = _tried(source, job, contract, replace(workspace, path=workspace.path / "missing"))
        except RoadworthyError:
            # The deployment ends with the reason that is known already.
            raise problem from None
        if tried is None:
            raise problem from None
        if not tried.tried:
            raise DataError(f"{problem.message}. The usual conventions do not help: {tried.left_out}") from None
        raise DataError(
            f"{problem.message}. Tried with the original on {tried.samples:,} of your images:\n{conventions.table(tried)}"
        ) from None
    inputs = (loaded.trained or loaded.graph).signature.inputs
    if job.training_transform is not None and (data.pictures is None or data.all is None or not contract.takes_images or len(inputs) != 1):
        raise DataError(
            "--training-transform is compared with the preprocessing on images, and the data holds none: give images with --data, and how "
            "they become inputs with --preprocess"
        )
    return loaded, data


def _tried(source: Source, job: Job, contract: Contract, workspace: Workspace) -> ConventionTrial | None:
    """The original on some images by the usual conventions; ``None`` where it has no classes that the labels are compared with."""
    layout = sources.layout(source)
    few = replace(job, samples=min(job.samples or MOST, MOST))
    any_size = Contract(proof.plain(layout, (32, 32), grey=False), contract.answer)
    shown = gather_samples(source, few, any_size, replace(workspace, path=workspace.path / "images"))
    if shown is None or shown.pictures is None or shown.kind != "labelled":
        return None
    sizes = dict.fromkeys(_sizes(source, job, shown, workspace))
    for number, (size, grey) in enumerate(product(sizes, (False, True))):
        guess = Contract(proof.plain(layout, size, grey=grey), contract.answer)
        here = replace(workspace, path=workspace.path / f"guess-{number}")
        try:
            loaded, data = load_original(source, few, guess.keeping_pixels_for(source.dtypes), here, calibrate=0)
        except RoadworthyError:
            # The model takes another size, or other colours.
            continue
        model = loaded.signature.inputs[0]
        usual = proof.usual(model, None, fits=conventions.fits(data.pictures, model))
        if usual is None or data.reading.form != "classes" or not data.metric:
            return None
        found = conventions.ask(usual, None, loaded.graph, data.metric, data.reading, data, min(PATIENT, here.seconds_left / 2), here)
        classes = answers.columns(loaded.signature.outputs[0]) or 2
        if found.tried and found.percent and not verify.above_chance(found.tried[0].value, found.samples, classes):
            said = f"on {found.samples:,} of your images the original is not better than chance with any of them"
            return replace(found, tried=(), left_out=said)
        return found
    return None


def _sizes(source: Source, job: Job, shown: Dataset, workspace: Workspace) -> Iterator[tuple[int, int]]:
    """The (height, width) that the model may take: as the user states it, as the file does, as the images have it, or the usual one."""
    stated = [size for one in (*job.inputs, *source.inputs) if (size := conventions.size_of_model(one))]
    yield from stated
    if not stated:
        try:
            alone = replace(workspace, path=workspace.path / "alone")
            loaded, _ = load_original(source, replace(job, data=None), Contract(), alone, scored=False)
            yield from (size for one in loaded.signature.inputs if (size := conventions.size_of_model(one)))
        except RoadworthyError:
            # Without samples some models do not show what they take.
            pass
    assert shown.pictures is not None
    if (size := conventions.size_of_all(shown.pictures)) is not None:
        yield size
    yield USUAL_SIZE, USUAL_SIZE
