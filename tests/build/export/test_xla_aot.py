"""Programs of code that XLA compiled ahead of time: plans by the CPU, refusals, and one that is built, moved and run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.export import xla_aot
from roadworthy.build.export._xla import library
from roadworthy.core.errors import EnvironmentFault, StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.samples import write
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, BYTES, Signature, TensorSpec
from roadworthy.runtimes import open_session
from support import hosts
from support.clients.environments import CACHE
from support.files import onnx_cases, onnx_networks
from support.models import tensorflow_exports as steps

LEVEL = next((name for name, features in xla_aot.LEVELS.items() if this_host().has(*features)), "")
NETWORK = "a digits network"


def graph_of(format: str = "onnx", dtype: str = "float32", shape: tuple[int | str, ...] = (BATCH, 4), precision: str = "fp32") -> Graph:
    signature = Signature((TensorSpec("x", dtype, shape),), (TensorSpec("y", "float32", (BATCH, 2)),))
    return Graph(format, Path("model"), signature, "test", precision=precision)  # type: ignore[arg-type]


def test_the_level_is_the_higher_one_that_the_cpu_has() -> None:
    def offered(features: str) -> list[tuple[str, int]]:
        return [(plan.flavour, plan.threads) for plan in xla_aot.plans(graph_of(), hosts.pretended(features, 2))]

    assert offered("avx2") == [("v3", 1)]
    assert offered("sse4_2") == [("v2", 1)]
    assert offered("arm64") == []


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (graph_of(precision="int8"), "it computes in int8"),
        (graph_of("graphdef", BYTES), "'x' is object, and a program takes and gives numbers"),
        (graph_of("graphdef", shape=(BATCH, "rows")), "'x' has axes of free size"),
        (graph_of(shape=(BATCH, "rows")), "the sizes rows of the ONNX graph are free"),
    ],
)
def test_what_is_unfit_has_no_plan_and_is_refused(tmp_path: Path, graph: Graph, words: str) -> None:
    assert list(xla_aot.plans(graph, hosts.pretended("avx2", 2))) == []
    with pytest.raises(StepFailed, match=words):
        xla_aot.lower(graph, Plan("xla_aot", flavour="v3"), None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_plan_or_no_compiler_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="made in fp32, for v3 or v2"):
        xla_aot.lower(graph_of(), Plan("xla_aot", flavour="v9"), None, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="apt-get install g"):
        xla_aot.lower(graph_of(), Plan("xla_aot", flavour="v3"), None, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is kept from run to run: it takes minutes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE.parent / "libraries"))


@pytest.mark.soak
@pytest.mark.slow
def test_a_program_answers_wherever_it_lies(kept: None, tmp_path: Path) -> None:
    if not LEVEL or not library.built(LEVEL):
        pytest.skip("libxla.a is not built here: pytest -m soak tests/build/export/test_xla_aot.py builds it")
    answers_wherever_it_lies(tmp_path)


@pytest.mark.soak
@pytest.mark.slow
def test_the_library_is_built_and_a_program_answers(kept: None, tmp_path: Path) -> None:
    if not LEVEL:
        pytest.skip("this CPU has no level that code is made for")
    library.make(LEVEL)
    answers_wherever_it_lies(tmp_path)


def answers_wherever_it_lies(folder: Path) -> None:
    case = onnx_networks.NETWORKS[NETWORK]
    model, graph = onnx_cases.written(case, folder)
    plan = next(iter(xla_aot.plans(graph, this_host())))
    feeds = case.feeds(5)
    with Worker() as worker:
        request = steps.AheadExport(graph, plan, write(folder / "samples", feeds), folder / "made")
        (text,) = worker.ask(steps.compiled_ahead, request).lines
    assert f"x86-64-{LEVEL}" in text and "needs no library: compare the two" in text
    out = folder / "moved"
    shutil.move(folder / "made", out)
    (wanted,) = onnx_cases.ReferenceEvaluator(model).run(None, feeds)
    with open_session(out, graph.signature, plan) as session:
        for samples in (5, 1):
            found = session.run({"x": feeds["x"][:samples]})["y"]
            assert np.abs(found - wanted[:samples]).max() < 1e-5 * np.abs(wanted).max()
    linked = subprocess.run(["ldd", out / "program"], capture_output=True, text=True, check=True).stdout
    assert f"{out}/lib/{library.FRAMEWORK}" in linked and "not found" not in linked
    timed = subprocess.run([out / "program", "--bench", "0.1"], capture_output=True, text=True, check=True, env={}).stdout
    assert json.loads(timed)["calls"] > 0
    assert {path.name for path in out.iterdir()} == {"program", "lib", "source", "needs.json", "licences"}
    assert {path.name for path in (out / "licences").iterdir()} == {"tensorflow.txt", "tensorflow-others.txt"}
