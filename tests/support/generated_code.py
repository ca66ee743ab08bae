"""Small graphs as generated code: one compilation for each level of x86-64 that this CPU has, of all of them together."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from roadworthy.build import cpp
from roadworthy.build.cpp.compiler import FLAGS
from roadworthy.core.types import Array
from support import hosts
from support.models.operator_cases import OperatorCase

SAMPLES = 3
NEEDS = {"v4": {"avx512f", "avx512bw"}, "v3": {"avx2", "fma", "f16c"}, "v2": {"sse4_2"}}
NAMES = "#define JOIN(a, b, c) a##b##c\n#define JOINED(a, b, c) JOIN(a, b, c)\n#define NAME(n) JOINED(LEVEL, _, n)\n"


def levels() -> list[str]:
    """The levels whose code this CPU runs."""
    return [level for level, features in NEEDS.items() if features <= set(hosts.true_host().features)]


def answers(case: OperatorCase, feeds: dict[str, Array]) -> list[Array]:
    """ONNX Runtime's own answers, with nothing fused."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(case.model().SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(list(case.outputs), feeds))


class Compiled:
    """The code of all ``cases``, made in ``folder``."""

    def __init__(self, cases: Sequence[OperatorCase], folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, tuple[int, cpp.Generated]] = {}
        parts = []
        assert len({case.name for case in cases}) == len(cases)
        for number, case in enumerate(cases):
            place = folder / f"case_{number}"
            place.mkdir()
            onnx.save(case.model(), place / "model.onnx")
            generated = cpp.generate(place / "model.onnx", case.signature(answers(case, case.feeds(SAMPLES))), place)
            self._made[case.name] = number, generated
            for header in place.glob("*.h") if number else ():
                header.unlink()  # one copy for all
            parts.append(f'#define NETWORK NAME({number})\n#include "case_{number}/network.cpp"\n#undef NETWORK\n')
        (folder / "all.cpp").write_text(NAMES + "".join(parts))
        with ThreadPoolExecutor() as pool:
            self._libraries = dict(zip(levels(), pool.map(self._library, levels()), strict=True))

    def _library(self, level: str) -> ctypes.CDLL:
        flags = [flag for flag in FLAGS if flag != "-fvisibility=hidden"]
        library = self._folder / f"{level}.so"
        command = ["g++", *flags, "-Icase_0", f"-march=x86-64-{level}", f"-DLEVEL={level}", "-shared", "all.cpp", "-o", str(library)]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True, text=True)
        return ctypes.CDLL(str(library))

    def calls(self, name: str, text: str) -> int:
        """How often ``text`` is in the code of a case."""
        return (self._made[name][1].folder / "network.cpp").read_text().count(text)

    def run(self, level: str, case: OperatorCase, given: dict[str, Array]) -> list[Array]:
        """One case's code at one level."""
        number, generated = self._made[case.name]
        weights = np.fromfile(generated.folder / "weights.bin", np.float32)
        # What the code does not write shows.
        memory = np.full(generated.memory // 4, np.nan, np.float32)
        feeds = [np.ascontiguousarray(array) for array in given.values()]
        found = [np.full_like(array, np.nan) for array in answers(case, given)]
        for start in range(0, SAMPLES, generated.together):
            several = [[array[start : start + generated.together] for array in arrays] for arrays in (feeds, found)]
            pointers = [(ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays)) for arrays in several]
            fixed = ctypes.c_void_p(memory.ctypes.data), ctypes.c_void_p(weights.ctypes.data)
            self._libraries[level][f"{level}_{number}"](*pointers, len(several[0][0]), *fixed)
        return found
