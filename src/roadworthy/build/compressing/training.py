"""The samples that teach and those that validate, and the original's answers to the latter."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build import classes, sources, supplied
from roadworthy.build.certificate import Data
from roadworthy.build.data import dataset, sample_writer
from roadworthy.build.job import Compression, Job
from roadworthy.build.original import CALIBRATION_SAMPLES, gather_samples
from roadworthy.build.reference import reference_of
from roadworthy.build.search import Trial
from roadworthy.build.workspace import Workspace
from roadworthy.core.errors import DataError
from roadworthy.core.samples import SampleSet, renamed, with_target
from roadworthy.core.stages import Graph, Source
from roadworthy.preprocess.contract import Contract

VALIDATION = 1000
"""The most samples that are kept to validate on, at most one in five of all."""


@dataclass(frozen=True)
class TrainingData:
    """The samples of the model itself: those that teach, and those on which ``trial`` judges. ``labelled`` says that they have labels."""

    training: SampleSet
    validation: SampleSet
    trial: Trial
    labelled: bool


def training_data(asked: Compression, model: Graph, source: Source, contract: Contract, job: Job, workspace: Workspace) -> TrainingData:
    """Read the training data as the evaluation data is read, and keep one sample in five of it to validate on.

    ``model`` is the original without steps in front. Raises DataError where the samples cannot be those of the model, where their labels
    do not fit its outputs, or where there are too few to keep some.
    """
    workspace.begin("training data")
    taught = replace(job, data=asked.data, samples=None, metric=None)
    contract, names = classes.suggested(contract, job)
    gathered = gather_samples(source, taught, contract, workspace, names)
    samples = supplied.for_model(contract, gathered.samples, workspace) if gathered else None
    if gathered is None or samples is None:
        raise DataError("there is no data to train on: name some with --train-data")
    samples = sources.with_fixed(samples, job.inputs, job.stated)
    samples = renamed(supplied.required(samples), tuple(spec.name for spec in model.signature.inputs))
    dataset.check_inputs(samples, model.signature)
    contract, _ = classes.with_suggested(contract, names, gathered, model.signature)
    paired = classes.paired(taught, contract, replace(gathered, samples=samples), model.signature)
    if paired is not None and paired.targets is not None:
        samples = with_target(samples, paired.targets)
    training, validation = dataset.split(samples, VALIDATION, workspace.folder("data/split"))
    if validation is None:
        raise DataError(
            f"{asked.data} holds {samples.count} samples: too few to train on and to keep some of them to validate on; "
            f"give {dataset.FEWEST_TO_SPLIT} at the very least"
        )
    # The first of the training samples hold all classes evenly.
    few = np.arange(min(training.count, CALIBRATION_SAMPLES))
    calibration = sample_writer.write(workspace.folder("data/calibration"), training.open(), training.open_targets(), few)
    data = Data(gathered.kind, validation, calibration, gathered.classes, answer=classes.named(contract, gathered, paired))
    data = replace(data, metric=paired.metric, reading=paired.reading) if paired else data
    trial, _ = reference_of(model, model.signature, data, taught, workspace)
    return TrainingData(training, validation, replace(trial, reserve=0.0, keep=True), samples.labelled)
