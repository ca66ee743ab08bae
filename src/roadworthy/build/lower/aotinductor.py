"""A native library by AOTInductor: the exported program compiled with g++, in float32, bf16 or int8."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roadworthy.build.lower import _aotinductor_package
from roadworthy.core import cpu_mask
from roadworthy.core.errors import UsageError
from roadworthy.core.host import Host, this_host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan, Precision
from roadworthy.runtimes import _cpu_features

ACCEPTS = ("pt2",)
SECONDS = 30.0


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """Each precision for any batch; floats for exactly one sample a call too, which gives better code.

    A compilation takes 15 to 40 s on two cores, so there are few variations; one for one sample serves one thread and all. None for
    what came quantised: its operators are those of another library.
    """
    if graph.precision == "int8":
        return
    yield from _of_floats("fp32", graph, host)
    if "bf16" not in unavailable(host):
        yield from _of_floats("bf16", graph, host)
    yield Plan("aotinductor", "int8", threads=host.cores)


def _of_floats(precision: Precision, graph: Graph, host: Host) -> Iterable[Plan]:
    yield Plan("aotinductor", precision, threads=host.cores)
    if graph.signature.batched:
        yield Plan("aotinductor", precision, threads=host.cores, batch=1)
        if host.cores > 1:
            yield Plan("aotinductor", precision, threads=1, batch=1)


def unavailable(host: Host) -> Mapping[str, str]:
    """What this host cannot make or run, by precision."""
    if not _aotinductor_package.compiler():
        return dict.fromkeys(("fp32", "bf16", "int8"), _aotinductor_package.NO_COMPILER)
    reasons = {}
    if not (host.has("avx512_bf16") or host.has("amx_bf16")):
        reasons["bf16"] = "bf16 needs a CPU with avx512_bf16 or amx_bf16"
    if importlib.util.find_spec("torchao") is None:
        reasons["int8"] = "int8 needs the package torchao; install it with: pip install 'roadworthy[aotinductor]'"
    return reasons


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the compiled library below ``out/data`` and the CPU features it uses beside it.

    Raises UsageError for int8 without samples, BackendMissing without a compiler, StepFailed where the model cannot
    be exported again, quantised or compiled.
    """
    if plan.precision == "int8" and calibration is None:
        raise UsageError("int8 needs samples to calibrate on")
    host = this_host()
    settings, features = _target(host, masked=bool(cpu_mask.mask()))
    _aotinductor_package.make(graph, plan, calibration, host, settings, out)
    _cpu_features.write(out, features)


def _target(host: Host, *, masked: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Settings of the compiler for ``host``, and the CPU features that the code then uses.

    Code for this very CPU, where it has more than AVX2. A mask is for another CPU: the meaning of "native" is hidden from it, so
    the highest portable level is taken.
    """
    if masked or (host.has("avx2", "fma", "f16c") and not host.has("avx512f")):
        return _aotinductor_package.portable(host)
    return {}, host.features
