"""How far a model is from what the host can compute: the host's peak, and the operations of the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.peak import matrices, operations
from roadworthy.build.peak.matrices import PeakRequest
from roadworthy.bundle.peak import PRECISIONS, HostPeak, MatrixPeak, ModelWork
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.host import Host
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Limits
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature

SECONDS, DOCTOR_SECONDS = 0.3, 1.0
"""How long one peak is measured in a deployment, and for ``roadworthy doctor``. With 0 a deployment measures none."""
LIMITS = Limits(seconds=120)


@dataclass(frozen=True)
class WorkRequest:
    """The captured ``onnx`` file of a model, and the plan whose precision and threads the peak is measured with for ``seconds``."""

    onnx: Path
    signature: Signature
    plan: Plan
    seconds: float


def of_model(request: WorkRequest) -> ModelWork:
    """A step: the operations of one sample, and the host's peak in the plan's precision on its threads."""
    counted = operations.count(request.onnx, request.signature)
    one = counted.count // request.signature.call_size(1)
    if not counted.count or counted.uncounted or request.plan.precision not in PRECISIONS:
        return ModelWork(one, counted.uncounted, None)
    try:
        return ModelWork(one, (), matrices.measure(PeakRequest(request.plan.precision, request.plan.threads, request.seconds)))
    except RoadworthyError:
        return ModelWork(one, (), None)


def of_host(host: Host) -> HostPeak:
    """Each precision on one thread and on all cores, each in a process of its own; what cannot be measured here says why."""
    found: list[MatrixPeak] = []
    unmeasured: list[str] = []
    for precision in PRECISIONS:
        for threads in sorted({1, host.cores}):
            try:
                found.append(isolate.call(matrices.measure, PeakRequest(precision, threads, DOCTOR_SECONDS), limits=LIMITS))
            except RoadworthyError as problem:
                unmeasured.append(f"{precision}: {problem.message}")
                break
    return HostPeak(tuple(found), matrices.copied(), tuple(unmeasured))
