"""What two steps must share for one result to do for both, and the steps of which that cannot be said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from roadworthy.build import lower, verify
from roadworthy.build.lower import LowerRequest
from roadworthy.build.reuse import open_reuse, store, surroundings
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("input", "float32", (BATCH, 12)),), (TensorSpec("output", "float32", (BATCH, 4)),))


def request(scratch: Path) -> LowerRequest:
    """A request of a deployment in ``scratch``: a graph with its weights beside it, and samples."""
    for folder in ("graphs/onnx", "calibration"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "graphs/onnx/model.onnx").write_bytes(b"graph")
    (scratch / "graphs/onnx/model.onnx.data").write_bytes(b"weights")
    (scratch / "calibration/in.x.npy").write_bytes(b"samples")
    graph = Graph("onnx", scratch / "graphs/onnx/model.onnx", SIGNATURE, "exporter")
    return LowerRequest(graph, Plan("openvino", "int8"), SampleSet(scratch / "calibration", ("x",), 7), scratch / "candidates/one")


def key(scratch: Path, asked: LowerRequest | None = None) -> str | None:
    """The key of ``asked`` in a deployment of its own."""
    return open_reuse(scratch, (), wanted=True)[0].key(lower.lower, asked or request(scratch))


def test_the_same_content_in_another_deployment_has_the_same_key(tmp_path: Path) -> None:
    assert key(tmp_path / "first") == key(tmp_path / "second") is not None


CHANGES: dict[str, Callable[[LowerRequest], LowerRequest | None]] = {
    "graph": lambda asked: _with(asked, asked.graph.path, b"grapH"),
    "weights beside the graph": lambda asked: _with(asked, asked.graph.path.with_name("model.onnx.data"), b"Weights"),
    "another file beside the graph": lambda asked: _with(asked, asked.graph.path.with_name("more"), b""),
    "calibration": lambda asked: _with(asked, _calibration(asked), b"sampleS"),
    "precision": lambda asked: replace(asked, plan=replace(asked.plan, precision="fp32")),
    "flavour": lambda asked: replace(asked, plan=replace(asked.plan, flavour="7bit")),
    "signature": lambda asked: replace(asked, graph=replace(asked.graph, signature=SIGNATURE.fixed(1))),
    "route": lambda asked: replace(asked, graph=replace(asked.graph, route="another exporter")),
    "no calibration": lambda asked: replace(asked, calibration=None),
}


def _with(asked: LowerRequest, path: Path, content: bytes) -> LowerRequest:
    path.write_bytes(content)
    return asked


def _calibration(asked: LowerRequest) -> Path:
    assert asked.calibration is not None
    return asked.calibration.path / "in.x.npy"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_the_files_are_made_of_changes_the_key(tmp_path: Path, change: Callable[[LowerRequest], LowerRequest]) -> None:
    assert key(tmp_path / "first") != key(tmp_path / "second", change(request(tmp_path / "second")))


def test_a_file_that_changes_within_a_deployment_is_read_again(tmp_path: Path) -> None:
    reuse, _ = open_reuse(tmp_path, (), wanted=True)
    asked = request(tmp_path)
    before = reuse.key(lower.lower, asked)
    assert reuse.key(lower.lower, asked) == before
    asked.graph.path.write_bytes(b"another graph")
    assert reuse.key(lower.lower, asked) != before


def test_the_host_the_packages_the_compiler_and_the_variables_of_libraries_change_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = surroundings.describe()
    assert surroundings.describe() == plain
    with monkeypatch.context() as changed:
        changed.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
        assert surroundings.describe() != plain
    with monkeypatch.context() as changed:
        changed.setenv("ROADWORTHY_CPU_MASK", "sse4_2")
        assert surroundings.describe() != plain
    (tmp_path / "torch-9.9.9.dist-info").mkdir()
    with monkeypatch.context() as changed:
        changed.syspath_prepend(str(tmp_path))
        assert "torch-9.9.9.dist-info" in surroundings.describe()
    (tmp_path / "g++").write_text("#!/bin/sh\n")
    (tmp_path / "g++").chmod(0o755)
    with monkeypatch.context() as changed:
        changed.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert surroundings.describe() != plain
    code = tmp_path / "code"
    shutil.copytree(surroundings.OWN / "build" / "reuse", code)
    with monkeypatch.context() as changed:
        changed.setattr(surroundings, "OWN", code)
        before = surroundings.describe()
        (code / "store.py").write_text("changed")
        assert surroundings.describe() != before


def test_code_of_another_package_that_makes_candidates_changes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brings_one.py").write_text("RUNS = ()\n")
    (tmp_path / "brings_one-1.0.dist-info").mkdir()
    (tmp_path / "brings_one-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: brings-one\nVersion: 1.0\n")
    (tmp_path / "brings_one-1.0.dist-info" / "entry_points.txt").write_text("[roadworthy.build.lower]\nbrings = brings_one\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = surroundings.describe()
    (tmp_path / "brings_one.py").write_text("RUNS = ('onnx',)\n")
    assert surroundings.describe() != before


def test_the_step_itself_is_in_the_key(tmp_path: Path) -> None:
    asked, reuse = request(tmp_path), open_reuse(tmp_path, (), wanted=True)[0]

    def other(request: LowerRequest) -> Candidate:
        raise AssertionError

    assert reuse.key(lower.lower, asked) != reuse.key(other, asked)


@pytest.mark.parametrize("why", ["outside", "link", "no folder of its own"])
def test_what_other_programs_may_change_has_no_key(tmp_path: Path, why: str) -> None:
    asked = request(tmp_path / "scratch")
    path = asked.graph.path
    if why == "outside":
        path = tmp_path / "model.onnx"
    elif why == "link":
        path.with_name("linked").symlink_to(tmp_path)
    else:
        path = tmp_path / "scratch" / "model.onnx"
    path.touch()
    assert key(tmp_path / "scratch", replace(asked, graph=replace(asked.graph, path=path))) is None


def test_a_deployment_without_the_cache_has_no_keys(tmp_path: Path) -> None:
    reuse, fault = open_reuse(tmp_path, (), wanted=False)
    assert reuse.key(lower.lower, request(tmp_path)) is None and not fault
    store.places()[0].mkdir(parents=True)
    store.places()[0].chmod(0o777)
    reuse, fault = open_reuse(tmp_path, (), wanted=True)
    assert reuse.key(lower.lower, replace(request(tmp_path / "other"))) is None and "other users can write" in fault


@dataclass(frozen=True)
class MadeOf:
    """What a step of these tests makes."""

    path: Path
    error: float = 0.0


def made(request: LowerRequest) -> MadeOf:
    """A step that only lends its types."""
    raise AssertionError


@pytest.mark.parametrize("whole", [True, False])
def test_a_result_comes_back_with_its_places_in_the_new_deployment(tmp_path: Path, whole: bool) -> None:
    first, _ = open_reuse(tmp_path / "1", (), wanted=True)
    asked = request(tmp_path / "1")
    asked.out.mkdir(parents=True)
    (asked.out / "model.bin").write_bytes(b"made")
    result = MadeOf(asked.out / "model.bin" if whole else tmp_path / "1" / "elsewhere.bin", 0.5)
    first.keep(first.key(made, asked), made, result, asked.out)

    again, (second, _) = request(tmp_path / "2"), open_reuse(tmp_path / "2", (), wanted=True)
    found = second.find(second.key(made, again), made, again.out)
    if not whole:
        assert found is None
        return
    assert found is not None and found.result == MadeOf(again.out / "model.bin", 0.5)
    assert (again.out / "model.bin").read_bytes() == b"made"


def test_a_figure_that_does_not_survive_is_not_kept(tmp_path: Path) -> None:
    reuse, _ = open_reuse(tmp_path, (), wanted=True)
    asked = request(tmp_path)
    asked.out.mkdir(parents=True)
    (asked.out / "model.bin").touch()
    reuse.keep(reuse.key(made, asked), made, MadeOf(asked.out, float("nan")), asked.out)
    assert store.open_store().state().entries == 0


def test_what_proves_a_candidate_is_no_step_that_can_be_reused() -> None:
    for asked in (verify.VerifyRequest, verify.ConfirmRequest, verify.ScoreRequest):
        assert "out" not in asked.__dataclass_fields__
