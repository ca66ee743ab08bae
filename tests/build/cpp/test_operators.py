"""Every operator of generated code against ONNX Runtime, at every level of x86-64 that this CPU has: one compilation for all cases."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest

from roadworthy.build import cpp
from roadworthy.build.cpp.compiler import FLAGS
from roadworthy.core.types import Array
from support import hosts
from support.models.operator_cases import OperatorCase, cases

pytestmark = pytest.mark.slow

CASES = {case.name: case for case in cases()}
SAMPLES = 3
GATE = 3e-6
"""Largest difference relative to the output's scale."""
NEEDS = {"v4": {"avx512f", "avx512bw"}, "v3": {"avx2", "fma", "f16c"}, "v2": {"sse4_2"}}
Run = Callable[[str, OperatorCase, dict[str, Array]], list[Array]]


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


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Calls one case's code at one level."""
    folder = tmp_path_factory.mktemp("operators")
    made, parts = {}, []
    for number, case in enumerate(CASES.values()):
        place = folder / f"case_{number}"
        place.mkdir()
        onnx.save(case.model(), place / "model.onnx")
        made[case.name] = number, cpp.generate(place / "model.onnx", case.signature(answers(case, case.feeds(SAMPLES))), place)
        for header in place.glob("*.h") if number else ():
            header.unlink()  # one copy for all
        parts.append(f'#define NETWORK NAME({number})\n#include "case_{number}/network.cpp"\n#undef NETWORK\n')
    joined = "#define JOIN(a, b, c) a##b##c\n#define JOINED(a, b, c) JOIN(a, b, c)\n#define NAME(n) JOINED(LEVEL, _, n)\n"
    (folder / "all.cpp").write_text(joined + "".join(parts))

    def compiled(level: str) -> ctypes.CDLL:
        flags = [flag for flag in FLAGS if flag != "-fvisibility=hidden"]
        library = folder / f"{level}.so"
        command = ["g++", *flags, "-Icase_0", f"-march=x86-64-{level}", f"-DLEVEL={level}", "-shared", "all.cpp", "-o", str(library)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return ctypes.CDLL(str(library))

    with ThreadPoolExecutor() as pool:
        libraries = dict(zip(levels(), pool.map(compiled, levels()), strict=True))

    def call(level: str, case: OperatorCase, given: dict[str, Array]) -> list[Array]:
        number, generated = made[case.name]
        weights = np.fromfile(generated.folder / "weights.bin", np.float32)
        # What the code does not write shows.
        memory = np.full(generated.memory // 4, np.nan, np.float32)
        feeds = [np.ascontiguousarray(array) for array in given.values()]
        found = [np.full_like(array, np.nan) for array in answers(case, given)]
        for start in range(0, SAMPLES, generated.together):
            several = [[array[start : start + generated.together] for array in arrays] for arrays in (feeds, found)]
            pointers = [(ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays)) for arrays in several]
            fixed = ctypes.c_void_p(memory.ctypes.data), ctypes.c_void_p(weights.ctypes.data)
            libraries[level][f"{level}_{number}"](*pointers, len(several[0][0]), *fixed)
        return found

    return call


@pytest.mark.parametrize("name", CASES)
def test_an_operator_gives_the_answers_of_onnx_runtime(run: Run, name: str) -> None:
    case = CASES[name]
    feeds = case.feeds(SAMPLES)
    wanted = answers(case, feeds)
    for level in levels():
        for found, array in zip(run(level, case, feeds), wanted, strict=True):
            assert np.isfinite(array).all()
            np.testing.assert_allclose(found, array, rtol=0, atol=GATE * float(np.abs(array).max()), err_msg=level)


@pytest.mark.parametrize("name", ["Relu_images", "clip", "MaxPool_plain", "GlobalMaxPool", "Max", "Tanh_images", "conv_0"])
@pytest.mark.parametrize("place", [0, 1, 9])
def test_what_is_no_number_stays_none(run: Run, name: str, place: int) -> None:
    """As in PyTorch; ONNX Runtime's own maximum may lose it."""
    case = CASES[name]
    feeds = case.feeds(SAMPLES)
    feeds["x"].reshape(-1)[place] = np.nan
    for level in levels():
        (found,) = run(level, case, feeds)
        assert np.isnan(found[0]).any() and not np.isnan(found[1:]).any(), level
