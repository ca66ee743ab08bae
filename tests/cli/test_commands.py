"""The commands as real processes on bundles of the null runtime: what they print, and how they end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from roadworthy.bundle import export_evidence
from roadworthy.core import cpu_mask, registry
from support import hosts, merging
from support.waiting import HANG_SECONDS

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((12, 4)).astype(np.float32)
    x = generator.standard_normal((200, 12)).astype(np.float32)
    np.savez(tmp_path / "model.npz", weight=weight, bias=np.zeros(4, np.float32))
    np.savez(tmp_path / "data.npz", x=x, y=np.argmax(x @ weight, axis=1))
    np.save(tmp_path / "two.npy", x[:2])
    return tmp_path


def test_deploy_report_check_predict_and_inspect(cli: Cli, linear: Path) -> None:
    deploy = cli("deploy", "model.npz", "--data", "data.npz", "-o", "bundle", "-v", "--no-cache", cwd=linear)
    assert deploy.returncode == 0, deploy.stderr
    assert not Path(os.environ["XDG_CACHE_HOME"], "roadworthy").exists()
    assert "where the time went" in deploy.stdout and "verify-null-fp32-t1" in deploy.stdout
    assert "Report  bundle/report.html" in deploy.stdout
    assert "null-fp32-t1" in deploy.stdout
    report = json.loads(cli("report", "bundle", "--json", cwd=linear).stdout)
    assert report["certificate"]["original"]["value"]["value"] == 1.0
    check = json.loads(cli("check", "bundle", "--json", cwd=linear).stdout)
    assert check["golden"]["error"] <= check["golden"]["gate"]
    assert check["today"]["latency_ms"]["value"] > 0
    predict = json.loads(cli("predict", "bundle", "two.npy", "--json", cwd=linear).stdout)
    with np.load(linear / "model.npz") as model:
        expected = np.argmax(np.load(linear / "two.npy") @ model["weight"], axis=1)
    assert [sample[0]["index"] for sample in predict[0]["samples"]] == expected.tolist()
    inspect = json.loads(cli("inspect", "model.npz", "--json", cwd=linear).stdout)
    assert {tensor["name"] for tensor in inspect["tensors"]} == {"weight", "bias"}


def test_a_flipped_byte_is_a_damaged_bundle(cli: Cli, null_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(null_bundle, bundle)
    weights = next(bundle.glob("variants/*/model.npz"))
    data = bytearray(weights.read_bytes())
    data[100] ^= 1
    weights.write_bytes(data)
    for command in (("check", "bundle"), ("predict", "bundle", "x.npy"), ("report", "bundle"), ("serve", "bundle", "--port", "0")):
        run = cli(*command, cwd=tmp_path)
        assert run.returncode == 6, command
        assert "model.npz" in run.stderr
        assert "Traceback" not in run.stderr


def test_errors_are_json_with_the_option_json(cli: Cli, tmp_path: Path) -> None:
    run = cli("inspect", "nothing.pt", "--json", cwd=tmp_path)
    assert run.returncode == 3
    assert "nothing.pt" in json.loads(run.stdout)["error"]


def test_doctor_names_every_runtime_and_what_a_mask_leaves(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if hosts.true_host().architecture == "x86_64":
        monkeypatch.setenv(cpu_mask.MASK, "sse4_2")
    left = Path(os.environ["XDG_CACHE_HOME"], "roadworthy", "left")
    left.mkdir(parents=True, mode=0o700)
    left.parent.chmod(0o700)
    examination = json.loads(cli("doctor", "--json", "--clear-cache", cwd=tmp_path).stdout)
    assert (examination["cache"]["folder"], examination["cache"]["entries"]) == (str(left.parent), 0) and not left.exists()
    assert {health["runtime"] for health in examination["runtimes"] if health["works"]} >= {"null"}
    here = examination["host"]
    assert here["cores"] >= 1
    if hosts.true_host().architecture == "x86_64":
        assert here["features"] == ["sse4_2"] and here["cpu"].endswith("(ROADWORTHY_CPU_MASK=sse4_2)")
    assert {one["target"] for one in examination["targets"]} == set(registry.targets())
    assert all(one["works"] or one["remedy"] for one in examination["targets"])


def test_export_refuses_what_can_be_known_before(cli: Cli, null_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("mine")
    for words, code, said in (
        (("--to", "nowhere"), 2, "the target 'nowhere' is not known; choose from"),
        (("--to", "triton"), 2, "was packed without graphs"),
        (("--to", "triton", "-o", "mine"), 2, "is not an export, so it is not overwritten"),
    ):
        run = cli("export", str(null_bundle), *words, cwd=tmp_path)
        assert (run.returncode, run.stdout) == (code, "")
        assert said in " ".join(run.stderr.split()) and "Traceback" not in run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
    assert not (null_bundle / "exports").exists()


@pytest.mark.parametrize("seconds", [0.8, 2.5, *(pytest.param(seconds, marks=pytest.mark.soak) for seconds in (0.0, 0.2, 1.5, 4.0))])
def test_ctrl_c_at_any_point_leaves_nothing(linear: Path, seconds: float) -> None:
    before = sorted(path.name for path in linear.iterdir())
    scratch = linear / "tmp"
    scratch.mkdir()
    # Before the interpreter has imported the command's first module, no program of ours can handle an interrupt.
    program = "import sys; from roadworthy.cli import main; print('started', file=sys.stderr, flush=True); main()"
    command = [sys.executable, "-c", program, "deploy", "model.npz", "--data", "data.npz", "-o", "bundle"]
    with subprocess.Popen(command, cwd=linear, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(scratch)}) as process:
        assert process.stderr is not None and process.stderr.readline() == "started\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode in (130, 0 if (linear / "bundle").exists() else 130)
    assert "Traceback" not in errors
    assert not list(scratch.iterdir())
    scratch.rmdir()
    if process.returncode:
        assert sorted(path.name for path in linear.iterdir()) == before


def test_the_package_runs_as_a_program(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-m", "roadworthy", "inspect", "nothing.pt"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 3 and "nothing.pt" in run.stderr and "Traceback" not in run.stderr


def test_evidence_from_a_target_is_merged(cli: Cli, tmp_path: Path) -> None:
    bundle = merging.with_export(tmp_path)
    export_evidence.write(tmp_path / "brought.json", merging.from_target(bundle))
    merged = cli("check", "bundle", "--merge", "brought.json", cwd=tmp_path)
    assert merged.returncode == 0, merged.stderr
    assert "tensorrt: verified on the target: on NVIDIA A10G, driver 570.86, AMD EPYC 7R13" in merged.stdout
    assert "the claim of the person who brought it" in merged.stdout
    asked = json.loads(cli("check", "bundle", "--merge", "brought.json", "--json", cwd=tmp_path).stdout)
    assert asked["verification"] == "verified on the target"
    (tmp_path / "brought.json").write_text((tmp_path / "brought.json").read_text().replace("3e-7", "0.3"))
    for arguments, code, words in ((("brought.json",), 6, "says passed: true"), (("none.json",), 2, "is not a file")):
        refused = cli("check", "bundle", "--merge", *arguments, cwd=tmp_path)
        assert refused.returncode == code and words in refused.stderr and "Traceback" not in refused.stderr
    assert cli("check", "bundle", cwd=tmp_path).returncode == 0
