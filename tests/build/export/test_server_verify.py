"""``verify.py`` of an export for another server asks it over HTTP; here our own server answers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import roadworthy
from roadworthy.build.export._servers import verify
from roadworthy.build.exported import Export
from roadworthy.bundle import export_evidence
from roadworthy.bundle import golden as goldens
from roadworthy.bundle.certificate import NOT_ON_TARGET, ON_TARGET
from roadworthy.bundle.export_evidence import ComparedSamples, ExportEvidence
from roadworthy.core.host import this_host
from roadworthy.core.stages import Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from support.models import bundles
from support.servers.commands import served


def written(folder: Path, export: Export, outputs: list[str], server: str = "roadworthy") -> Path:
    """The folder as it lies on the target."""
    folder.mkdir()
    goldens.write(folder / "golden.npz", export.golden)
    verify.write_for_oip(export, folder, server, outputs)
    evidence = ExportEvidence(
        target="triton", model=export.name, version="1", golden=hashlib.sha256((folder / "golden.npz").read_bytes()).hexdigest(),
        plan=export.plan, files=export_evidence.files_sum(folder), verification=NOT_ON_TARGET, host=this_host(), tools=(),
        samples=ComparedSamples(8, 0, generated=True), max_rel=0.0, max_abs=0.0, gate=export.gate, passed=True,
        created="2026-11-30T12:00:00+00:00",
    )  # fmt: skip
    export_evidence.write(folder / "evidence.json", evidence)
    return folder


def run(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    # -I: nothing of Roadworthy is at hand on a target.
    command = [sys.executable, "-I", str(folder / "verify.py")]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, env=os.environ | {"SERVER_URL": url})


def exported(bundle: Path) -> Export:
    golden = goldens.read(bundle / "golden.npz", bundles.LINEAR)
    return Export("linear", "1", Plan("triton"), replace(bundles.LINEAR, max_batch=4), Contract(), golden, 1e-5, bundle)


@pytest.mark.slow
def test_a_server_is_asked_and_its_answers_become_evidence(tmp_path: Path) -> None:
    export = exported(bundles.write_bundle(tmp_path / "bundle"))
    right = written(tmp_path / "right", export, ["y"])
    wrong = written(
        tmp_path / "wrong", replace(export, golden=replace(export.golden, outputs={"y": export.golden.outputs["y"] * 1.01})), ["y"]
    )
    other = written(tmp_path / "other", replace(export, name="gone"), ["y"])
    triton = written(tmp_path / "triton", export, ["y"], "triton")
    with served(export.bundle, "linear") as (url, _):
        done = run(right, url)
        assert done.returncode == 0, done.stderr
        evidence = export_evidence.read(right / "evidence-target.json")
        assert evidence.verification == ON_TARGET and evidence.passed and evidence.device == f"the server at {url}"
        assert run(wrong, url).returncode == 1
        assert {tool.name: tool.version for tool in evidence.tools}["triton"] == roadworthy.__version__
        # Ours answers as Triton does, and is not Triton.
        another = run(triton, url)
        assert another.returncode == 2 and "calls itself 'roadworthy', and 'triton' is wanted" in another.stderr
        refused = run(other, url)
        assert refused.returncode == 2 and "/v2/models/gone/infer answered 404" in refused.stderr


def test_a_server_that_does_not_answer_is_said(tmp_path: Path) -> None:
    folder = written(tmp_path / "x", exported(bundles.write_bundle(tmp_path / "bundle")), ["y"])
    done = run(folder, "http://127.0.0.1:9")
    assert done.returncode == 2 and "no server answers at http://127.0.0.1:9" in done.stderr
    assert not (folder / "evidence-target.json").exists()


def test_what_json_cannot_carry_and_what_has_another_shape_there(tmp_path: Path) -> None:
    """The script's own functions on their own: strings, a number a sample, bfloat16."""
    specs = tuple(TensorSpec(name, dtype, (BATCH,)) for name, dtype in (("s", "object"), ("n", "int64"), ("b", "bfloat16")))
    export = Export("m", "1", Plan("triton"), Signature(specs, specs[:2]), Contract(), goldens.Golden({}, {}), 1e-5, Path())
    names: dict[str, object] = {"__file__": "verify.py", "__name__": "verify"}
    verify.write_for_oip(export, tmp_path, "triton", ["s_out", "n_out"], ["n"])
    exec((tmp_path / "verify.py").read_text(), names)
    tensor, array_of = names["tensor"], names["array_of"]
    assert tensor("s", np.array([b"ab"], object)) == {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["ab"]}  # type: ignore[operator]
    assert tensor("n", np.array([1, 2])) == {"name": "n", "datatype": "INT64", "shape": [2, 1], "data": [1, 2]}  # type: ignore[operator]
    assert array_of({"name": "n_out", "datatype": "INT64", "shape": [2, 1], "data": [3, 4]}).tolist() == [3, 4]  # type: ignore[operator]
    assert array_of({"name": "s_out", "datatype": "BYTES", "shape": [1], "data": ["x"]}).tolist() == [b"x"]  # type: ignore[operator]
    with pytest.raises(names["Refused"], match="'b' is BF16, which JSON cannot carry"):  # type: ignore[call-overload]
        tensor("b", np.array([1], np.float32))  # type: ignore[operator]
