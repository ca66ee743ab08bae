"""A ceiling on what the CPU is taken to have: ``ROADWORTHY_CPU_MASK=avx2`` plans, makes and chooses as a CPU of that level would."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from roadworthy.core.errors import UsageError

MASK = "ROADWORTHY_CPU_MASK"


@dataclass(frozen=True)
class Level:
    """One generation of x86-64 CPUs: its features by their Linux names, and the words of oneDNN, ATen and XLA for the same."""

    features: frozenset[str]
    onednn: str
    aten: str
    xla_isa: str


_SSE = frozenset({"sse4_2"})
_AVX2 = _SSE | {"avx", "fma", "f16c", "avx2"}
_AVX512 = _AVX2 | {"avx512f", "avx512bw"}
_VNNI = _AVX512 | {"avx512_vnni"}
_BF16 = _VNNI | {"avx512_bf16"}
_AMX = _BF16 | {"avx_vnni", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"}

LEVELS = {
    "sse4_2": Level(_SSE, "SSE41", "default", "SSE4_2"),
    "avx2": Level(_AVX2, "AVX2", "avx2", "AVX2"),
    "avx_vnni": Level(_AVX2 | {"avx_vnni"}, "AVX2_VNNI", "avx2", "AVX2"),
    "avx512": Level(_AVX512, "AVX512_CORE", "avx512", "AVX512"),
    "avx512_vnni": Level(_VNNI, "AVX512_CORE_VNNI", "avx512", "AVX512_VNNI"),
    "avx512_bf16": Level(_BF16, "AVX512_CORE_BF16", "avx512", "AVX512_BF16"),
    "amx": Level(_AMX, "AVX512_CORE_AMX", "avx512", "AMX"),
}
"""From the least to the most; ``avx_vnni`` is a client CPU's, beside the servers' line."""


def mask() -> str:
    """The level that the environment sets, or "" where it sets none. Raises UsageError for a word that is not one of `LEVELS`."""
    name = os.environ.get(MASK, "").strip()
    if name and name not in LEVELS:
        raise UsageError(f"{MASK}={name} is not a level of CPU features; choose from {', '.join(LEVELS)}, or unset {MASK}")
    return name


def visible(features: frozenset[str]) -> frozenset[str]:
    """Those of the CPU's ``features`` that the mask leaves."""
    name = mask()
    return features & LEVELS[name].features if name else features


def library_caps(features: frozenset[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables by which oneDNN (in OpenVINO, PyTorch and TensorFlow), ATen and XLA keep to the mask.

    Empty where the mask hides none of the CPU's ``features``: ATen believes its variable even on a CPU that cannot do what it says.
    What ``environment`` sets already is left as it is. Sources: oneDNN, "CPU Dispatcher Control"; PyTorch, "ATen CPU capability";
    XLA, ``xla_cpu_max_isa``. ONNX Runtime and XNNPACK (LiteRT) have no such variable.
    """
    if visible(features) == features:
        return {}
    level = LEVELS[mask()]
    caps = {"ONEDNN_MAX_CPU_ISA": level.onednn, "ATEN_CPU_CAPABILITY": level.aten}
    flags = environment.get("XLA_FLAGS", "")
    if "xla_cpu_max_isa" not in flags:
        caps["XLA_FLAGS"] = f"{flags} --xla_cpu_max_isa={level.xla_isa}".strip()
    return {name: value for name, value in caps.items() if name == "XLA_FLAGS" or name not in environment}
