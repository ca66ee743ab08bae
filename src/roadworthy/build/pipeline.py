"""The conductor: the only file that knows the order in which a model walks through the rooms."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from roadworthy import __version__
from roadworthy.build import capture, load, lower, measure, pack, verify
from roadworthy.build.job import Job
from roadworthy.build.search import search
from roadworthy.build.workshop import Notify, Progress, Workshop, workshop
from roadworthy.bundle.certificate import Certificate, Goal, Origin, Package, Route, Samples
from roadworthy.core import registry
from roadworthy.core.contract import Contract
from roadworthy.core.errors import CaptureFailed, NoCandidate
from roadworthy.core.samples import SampleSet, noise, renamed
from roadworthy.core.stages import Candidate, Graph, Plan, Source, Verified
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess import dataset, spec

STEP_SECONDS = 600.0
NOISE_SAMPLES = 64
CALIBRATION_SAMPLES = 200


@dataclass(frozen=True)
class Deployment:
    """What ``deploy`` leaves: the bundle's directory and all the evidence."""

    bundle: Path
    certificate: Certificate


def deploy(job: Job, notify: Notify = lambda progress: None) -> Deployment:
    """Carry one source all the way to a bundle.

    Raises SourceError, DataError, NoCandidate and their kin from ``core.errors``. However it ends, an interrupt
    included, no process is left running, and on failure nothing at ``job.output`` that was not there before.
    """
    started = time.monotonic()
    with workshop(seconds=job.seconds, step_seconds=STEP_SECONDS, memory_mb=job.memory_mb, notify=notify) as shop:
        source = load.identify(job.source, arch=job.arch, trust=job.trust)
        contract = spec.contract(job.preprocess, job.labels)
        ...
