"""Generated C++ as a server's runtime: the levels of x86-64, threads, forks, and what it refuses by name."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from roadworthy.build import lower
from roadworthy.build.lower import generated_cpp as lowering
from roadworthy.build.lower._onnxruntime import int8
from roadworthy.core.errors import EnvironmentFault, ProgramMissing, StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.samples import SampleSet, file_of
from roadworthy.core.stages import Candidate, Graph, Plan
from roadworthy.core.types import Array
from roadworthy.runtimes import generated_cpp, open_session
from support.models.operator_cases import OperatorCase

pytestmark = pytest.mark.slow

PLAN = Plan("generated_cpp")
RANDOM = np.random.default_rng(0)
CASE = OperatorCase(
    "network",
    {"x": (16, 24, 24)},
    [
        ("Conv", ["x", "w", "b"], "c", {"pads": (1, 1, 1, 1)}),
        ("Relu", ["c"], "r", {}),
        ("GlobalAveragePool", ["r"], "p", {}),
        ("Flatten", ["p"], "f", {}),
        ("Gemm", ["f", "d"], "y", {}),
    ],
    {
        "w": RANDOM.standard_normal((40, 16, 3, 3), dtype=np.float32),
        "b": RANDOM.standard_normal(40, dtype=np.float32),
        "d": RANDOM.standard_normal((40, 5), dtype=np.float32),
    },
)


def graph_of(case: OperatorCase, folder: Path) -> Graph:
    onnx.save(case.model(), folder / "model.onnx")
    return Graph("onnx", folder / "model.onnx", case.signature(by_definition(case, 2)), "test")


def by_definition(case: OperatorCase, samples: int) -> list[Array]:
    """ONNX's own definition."""
    return list(ReferenceEvaluator(case.model()).run(None, case.feeds(samples)))


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    folder = tmp_path_factory.mktemp("generated")
    return lower.lower(lower.LowerRequest(graph_of(CASE, folder), PLAN, None, folder / "out"))


def check(candidate: Candidate, plan: Plan, samples: int) -> None:
    (wanted,) = by_definition(CASE, samples)
    with open_session(candidate.path, candidate.signature, plan) as session:
        found = session.run(CASE.feeds(samples))["y"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("mask", ["sse4_2", "avx2", ""])
def test_a_mask_keeps_the_code_to_its_level(candidate: Candidate, mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADWORTHY_CPU_MASK", mask)
    check(candidate, PLAN, 3)
    session = generated_cpp.load(candidate.path, candidate.signature, PLAN)
    here = "v4" if this_host().has("avx512bw") else "v3" if this_host().has("avx2") else "v2"
    assert session.level == min({"sse4_2": "v2", "avx2": "v3"}.get(mask, here), here)


def test_the_library_needs_the_c_library_alone(candidate: Candidate) -> None:
    assert [path.name for path in candidate.path.iterdir()] == ["model.so"]
    listed = subprocess.run(["readelf", "-d", str(candidate.path / "model.so")], capture_output=True, text=True, check=True).stdout
    needed = {line.rpartition("[")[2].rstrip("]") for line in listed.splitlines() if "NEEDED" in line}
    assert needed <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}


@pytest.mark.parametrize("samples", [1, 2, 7, 40])
def test_threads_share_the_samples(candidate: Candidate, samples: int) -> None:
    check(candidate, replace(PLAN, threads=3), samples)


def test_calls_from_several_threads_at_once(candidate: Candidate) -> None:
    feeds = [{"x": RANDOM.standard_normal((9, 16, 24, 24), dtype=np.float32)} for _ in range(4)]
    plan = replace(PLAN, threads=2)
    sessions = [open_session(candidate.path, candidate.signature, plan) for _ in feeds]
    alone = [session.run(feed)["y"] for session, feed in zip(sessions, feeds, strict=True)]
    with ThreadPoolExecutor(len(feeds)) as pool:
        jobs = [pool.submit(session.run, feed) for _ in range(5) for session, feed in zip(sessions, feeds, strict=True)]
        for number, job in enumerate(jobs):
            assert np.array_equal(job.result()["y"], alone[number % len(feeds)])


def test_a_fork_has_threads_of_its_own(candidate: Candidate) -> None:
    """In a process of its own: this one has threads of other libraries, beside which Python warns of a fork."""
    program = f"""
import os
import numpy as np
from pathlib import Path
from roadworthy.core.stages import Plan
from roadworthy.runtimes import open_session
from roadworthy.core.types import Signature, TensorSpec
spec = lambda name, *sizes: TensorSpec(name, "float32", ("batch", *sizes))
signature = Signature((spec("x", 16, 24, 24),), (spec("y", 5),))
session = open_session(Path({str(candidate.path)!r}), signature, Plan("generated_cpp", threads=2))
x = np.ones((40, 16, 24, 24), np.float32)
before = session.run({{"x": x}})["y"]
child = os.fork()
if not child:
    same = np.array_equal(session.run({{"x": x}})["y"], before)
    os._exit((0 if len(os.listdir("/proc/self/task")) > 1 else 4) if same else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=os.environ, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_session_of_another_precision_or_with_spinning_threads_is_refused(candidate: Candidate) -> None:
    with pytest.raises(UsageError, match="fp32 or int8"):
        open_session(candidate.path, candidate.signature, replace(PLAN, precision="bf16"))
    with pytest.raises(UsageError, match="spin"):
        open_session(candidate.path, candidate.signature, replace(PLAN, spin=True))


def test_a_file_that_is_no_library_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    (tmp_path / "model.so").write_bytes(b"\x7fELF and nothing more")
    with pytest.raises(StepFailed, match="does not load"):
        open_session(tmp_path, candidate.signature, PLAN)


def test_a_cpu_below_all_levels_is_an_error_and_no_crash(candidate: Candidate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated_cpp, "_highest", lambda: "v1")
    with pytest.raises(EnvironmentFault, match="cannot be used here"):
        open_session(candidate.path, candidate.signature, PLAN)


def test_without_a_compiler_there_is_no_plan_and_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(CASE, tmp_path)
    planned = [(plan.precision, plan.flavour, plan.threads) for plan in lowering.plans(graph, replace(this_host(), cores=2))]
    assert planned == [("fp32", "", 1), ("fp32", "", 2), ("int8", "", 1), ("int8", "", 2), ("int8", "percentile-mixed", 1)]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not list(lowering.plans(graph, this_host()))
    assert "apt-get install g++" in lowering.unavailable(this_host())["fp32"]
    (tmp_path / "out").mkdir()
    with pytest.raises(ProgramMissing, match=r"apt-get install g\+\+"):
        lowering.lower(graph, PLAN, None, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_int8_answers_nearly_as_the_original_and_what_came_quantised_as_it_is(tmp_path: Path) -> None:
    """Both are made from one quantised file: a user may hand in what the plan makes."""
    graph = graph_of(CASE, tmp_path)
    (wanted,) = by_definition(CASE, 5)
    for folder in ("samples", "came"):
        (tmp_path / folder).mkdir()
    np.save(tmp_path / "samples" / file_of("x"), CASE.feeds(32)["x"])
    samples = SampleSet(tmp_path / "samples", ("x",), 32)
    int8.quantise(graph.path, graph.signature, int8.Recipe.of(""), samples, tmp_path / "came")
    plan = replace(PLAN, precision="int8")
    with pytest.raises(UsageError, match="int8 needs samples"):
        lower.lower(lower.LowerRequest(graph, plan, None, tmp_path / "none"))
    came = replace(graph, path=tmp_path / "came" / "model.onnx", precision="int8")
    assert {plan.precision for plan in lowering.plans(came, this_host())} == {"int8"}
    answers = []
    for number, (given, calibration) in enumerate(((graph, samples), (came, None))):
        made = lower.lower(lower.LowerRequest(given, plan, calibration, tmp_path / str(number)))
        with open_session(made.path, made.signature, plan) as session:
            answers.append(session.run(CASE.feeds(5))["y"])
    assert np.array_equal(*answers)
    assert 0 < np.abs(answers[0] - wanted).max() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("change", [{"architecture": "aarch64"}])
def test_another_processor_gets_no_plan(tmp_path: Path, change: dict[str, str]) -> None:
    assert not list(lowering.plans(graph_of(CASE, tmp_path), replace(this_host(), **change)))


def test_an_operator_that_is_lacking_gets_no_plan(tmp_path: Path) -> None:
    case = OperatorCase("lacking", {"x": (8,)}, [("LayerNormalization", ["x", "s"], "y", {})], {"s": np.ones(8, np.float32)})
    assert not list(lowering.plans(graph_of(case, tmp_path), this_host()))
