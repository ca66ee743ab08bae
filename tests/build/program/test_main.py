"""The program around a model: files in, JSON out; what it refuses, and with which words."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from support.programs import linear

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing here")
X = np.array([[1, 2, 3], [0.5, 0.25, -1]], np.float32)
Y = [[3.0, 6.0], [0.75, -2.0]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear(tmp_path_factory.mktemp("linear"))


def run(program: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def answers(program: Path, *words: str | Path) -> list[dict[str, object]]:
    done = run(program, *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_reads_a_npy_file_of_several_samples(program: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert [answer["outputs"] for answer in answers(program, tmp_path / "x.npy")] == [{"y": y} for y in Y]


def test_it_reads_one_sample_without_its_axis_and_raw_numbers(program: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X[0])
    X[1:].tofile(tmp_path / "x.bin")
    found = answers(program, tmp_path / "x.npy", tmp_path / "x.bin")
    assert found == [
        {"file": str(tmp_path / "x.npy"), "outputs": {"y": Y[0]}},
        {"file": str(tmp_path / "x.bin"), "outputs": {"y": Y[1]}},
    ]


def test_what_is_not_finite_is_null(program: Path, tmp_path: Path) -> None:
    np.array([np.nan, 1, np.inf], np.float32).tofile(tmp_path / "x.bin")
    assert answers(program, tmp_path / "x.bin")[0]["outputs"] == {"y": [None, None]}


@pytest.mark.parametrize(
    "array, words",
    [
        (X.astype(np.float64), "holds numbers of type '<f8', and input x takes '<f4' (float32)"),
        (X.astype(">f4"), "holds numbers of type '>f4'"),
        (np.asfortranarray(X), "is in Fortran order"),
        (X[:, :2], "is of shape [2,2], and one sample of input x of [3]"),
        (np.float32(3), "is of shape [], and one sample of input x of [3]"),
    ],
)
def test_a_npy_file_that_does_not_fit_is_refused(program: Path, tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "x.npy", array)
    done = run(program, tmp_path / "x.npy")
    assert done.returncode == 1 and words in done.stderr and done.stdout == ""


@pytest.mark.parametrize("kept", [7, 9, 20, 127, 140])
def test_a_npy_file_that_is_cut_short_is_refused(program: Path, tmp_path: Path, kept: int) -> None:
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:kept])
    done = run(program, tmp_path / "x.npy")
    assert done.returncode == 1 and ("is cut short" in done.stderr or "where its header states 24" in done.stderr)


def test_raw_numbers_of_another_size_are_refused(program: Path, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"1234567890123")
    done = run(program, tmp_path / "x.bin")
    assert done.returncode == 1 and "x.bin has 13 bytes, and one sample of input x (float32 [3]) has 12" in done.stderr


@pytest.mark.parametrize(
    "words, said",
    [
        (["--fast"], "the option --fast is not known"),
        (["--threads", "none"], "--threads none is not a number from 1"),
        (["--threads", "1025"], "--threads 1025: this model computes on at most 1024"),
        (["--bench"], "--bench needs a number behind it"),
        (["--stream", "a.npy"], "--stream goes with no file"),
        (["--outputs", "--bench", "1"], "--outputs is for answers to files alone"),
        (["--bench", "1", "a.npy", "b.npy"], "2 files came, and --bench takes one for each input"),
        ([], "usage: program"),
    ],
)
def test_wrong_arguments_are_refused(program: Path, words: list[str], said: str) -> None:
    done = run(program, *words)
    assert done.returncode == 2 and said in done.stderr


def test_a_missing_file_and_a_model_that_fails_are_named(program: Path, tmp_path: Path) -> None:
    missing = run(program, tmp_path / "none.npy")
    assert missing.returncode == 1 and "none.npy cannot be read: No such file" in missing.stderr
    np.array([0, 0, 7], np.float32).tofile(tmp_path / "x.bin")
    failed = run(program, tmp_path / "x.bin")
    assert failed.returncode == 3 and "the model failed (7): seven is not allowed" in failed.stderr
    assert "the model cannot be opened (1)" in run(program, "--threads", "99", tmp_path / "x.bin").stderr


def test_a_full_disk_is_not_silent(program: Path, tmp_path: Path) -> None:
    X.tofile(tmp_path / "x.bin")
    with open("/dev/full", "w") as full:
        done = subprocess.run([program, tmp_path / "x.bin"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "stdout cannot be written" in done.stderr


def test_the_bench_says_median_and_spread(program: Path) -> None:
    (figures,) = answers(program, "--bench", "0.01")
    assert figures["calls"] >= 5 and figures["warm_up_calls"] >= 3  # type: ignore[operator]
    assert figures["min_us"] <= figures["p10_us"] <= figures["median_us"] <= figures["p90_us"]  # type: ignore[operator]


def test_help_names_inputs_and_outputs(program: Path) -> None:
    said = run(program, "--help").stdout
    assert "input  x float32 [3]" in said and "output y float32 [2]" in said


def test_a_fixed_batch_takes_multiples_of_it(tmp_path: Path) -> None:
    program = linear(tmp_path, batch=2)
    np.save(tmp_path / "x.npy", np.concatenate([X, X]))
    assert [answer["outputs"] for answer in answers(program, tmp_path / "x.npy")] == [{"y": y} for y in Y + Y]
    np.save(tmp_path / "x.npy", X[:1])
    assert "1 samples came, and this model takes 2 a call" in run(program, tmp_path / "x.npy").stderr
