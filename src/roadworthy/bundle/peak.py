"""How fast a host multiplies, as data: what ``roadworthy doctor --peak`` measures and a report compares the winner with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from roadworthy.core.evidence import Interval
from roadworthy.core.stages import Precision

PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "bf16", "int8")
"""The precisions whose peak is measured."""


@dataclass(frozen=True)
class MatrixPeak:
    """Matrix multiplications in ``precision`` on ``threads`` threads, in thousand million operations a second.

    ``gops`` is the median over calls with its 95 % interval, and ``best`` the fastest call: what the host can do at least. A multiplication
    and an addition are two operations. ``kernel`` is what the runtime says of the code that ran.
    """

    precision: Precision
    threads: int
    gops: Interval
    best: float
    kernel: str


@dataclass(frozen=True)
class HostPeak:
    """What was measured on this host. ``copied`` is the memory bandwidth of one thread that copies a large array, in GB/s, reads and writes
    counted. ``unmeasured`` holds a sentence for each precision without a figure.
    """

    matrices: tuple[MatrixPeak, ...]
    copied: Interval | None
    unmeasured: tuple[str, ...]


@dataclass(frozen=True)
class ModelWork:
    """The multiplications and additions of one sample, counted in the captured ONNX graph: its convolutions and matrix multiplications.

    ``uncounted`` names operators that multiply matrices too and were not counted: there is no figure then, and ``operations`` is 0.
    ``peak`` is the host's in the winner's precision and on as many threads; ``None`` where it could not be measured.
    """

    operations: int
    uncounted: tuple[str, ...]
    peak: MatrixPeak | None

    def share_of_peak(self, latency_ms: float) -> float | None:
        """How much of the peak a call of one sample in ``latency_ms`` reaches; ``None`` where that is not known."""
        if not self.operations or self.uncounted or self.peak is None:
            return None
        return self.operations / (latency_ms / 1e3) / (self.peak.best * 1e9)
