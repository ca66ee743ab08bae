"""``verify.py`` of an export: what it compares, what it writes, and what it refuses; run as on a target."""

from __future__ import annotations

import hashlib
import io
import runpy
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.export import _verify
from roadworthy.bundle import export_evidence
from roadworthy.bundle import golden as goldens
from roadworthy.bundle.certificate import NOT_ON_TARGET, ON_TARGET
from roadworthy.bundle.export_evidence import ComparedSamples, ExportEvidence
from roadworthy.bundle.golden import Golden
from roadworthy.core.host import NOTABLE, this_host
from roadworthy.core.numerics import output_error
from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Quantization, Signature, TensorSpec

GATE = 1e-5
TWICE = "def answers(inputs):\n    return {'y': 2 * inputs['x']}\n"


@dataclass(frozen=True)
class Exported:
    """The fields of an export that the script is made from."""

    signature: Signature
    plan: Plan
    golden: Golden


@dataclass(frozen=True)
class Done:
    """A run of the script."""

    returncode: int
    stdout: str
    stderr: str


def write(folder: Path, export: Exported, answers: str, needs: tuple[str, ...] = (), more: dict[str, str] | None = None) -> Path:
    """A folder as the conductor leaves it, with ``verify.py``."""
    folder.mkdir(exist_ok=True)
    goldens.write(folder / "golden.npz", export.golden)
    for name, text in {"verify.py": _verify.script(export, answers, needs), **(more or {})}.items():  # type: ignore[arg-type]
        (folder / name).write_text(text)
    export_evidence.write(
        folder / "evidence.json",
        ExportEvidence(
            target="tensorrt", model="twice", version="3", golden=hashlib.sha256((folder / "golden.npz").read_bytes()).hexdigest(),
            plan=export.plan, files=export_evidence.files_sum(folder), verification=NOT_ON_TARGET, host=this_host(), tools=(),
            samples=ComparedSamples(len(export.golden.inputs["x"]), 100, generated=True), max_rel=0.0, max_abs=0.0, gate=GATE, passed=True,
            created="2026-11-30T12:00:00+00:00",
        ),
    )  # fmt: skip
    return folder


def run(folder: Path, *options: str) -> Done:
    """What the script does, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["verify.py", *options])
        code = runpy.run_path(str(folder / "verify.py"), run_name="verify")["main"]()
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def twice() -> Exported:
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    spec = TensorSpec("x", "float32", ("batch", 3))
    signature = Signature((spec,), (TensorSpec("y", "float32", ("batch", 3)),), max_batch=4)
    return Exported(signature, Plan("tensorrt"), Golden({"x": x}, {"y": 2 * x}))


def test_right_answers_are_evidence_from_the_target(tmp_path: Path, twice: Exported) -> None:
    text = TWICE + "def device():\n    return 'a GPU'\ndef tools():\n    return {'driver': '1.2'}\n"
    folder = write(tmp_path / "x", twice, text, needs=("json",))
    stated = export_evidence.read(folder / "evidence.json")
    # -I: nothing of Roadworthy is at hand on a target.
    done = subprocess.run([sys.executable, "-I", str(folder / "verify.py")], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    evidence = export_evidence.read(folder / "evidence-target.json")
    assert (evidence.verification, evidence.passed, evidence.device) == (ON_TARGET, True, "a GPU")
    assert (evidence.target, evidence.model, evidence.version, evidence.plan) == ("tensorrt", "twice", "3", twice.plan)
    assert (evidence.golden, evidence.files, evidence.gate) == (stated.golden, stated.files, GATE)
    assert evidence.samples == ComparedSamples(5, 0, generated=True)
    assert (evidence.max_rel, evidence.max_abs) == (0.0, 0.0) and evidence.ms is not None
    assert {tool.name: tool.version for tool in evidence.tools}.items() >= {"numpy": np.__version__, "driver": "1.2"}.items()
    assert {tool.name for tool in evidence.tools} == {"numpy", "json", "driver"}
    here = this_host()
    assert (evidence.host.architecture, evidence.host.system, evidence.host.python) == (here.architecture, here.system, here.python)
    # A second run overwrites what the first one wrote, and is not troubled by it.
    assert run(folder).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("2.001 * inputs['x']", 5e-4),
        ("np.where(np.arange(len(inputs['x']))[:, None] == 3, 0, 2 * inputs['x'])", None),
        ("2 * inputs['x'] * np.float32(np.nan)", "infinite"),
        ("2 * inputs['x'][:, :2]", "infinite"),
    ],
)
def test_wrong_answers_fail(tmp_path: Path, twice: Exported, wrong: str, error: float | str | None) -> None:
    folder = write(tmp_path / "x", twice, f"def answers(inputs):\n    return {{'y': {wrong}}}\n")
    done = run(folder)
    assert done.returncode == 1 and "FAILED" in done.stdout, done.stderr
    evidence = export_evidence.read(folder / "evidence-target.json")
    assert not evidence.passed
    if error == "infinite":
        assert evidence.max_rel is None and evidence.max_abs is None
    elif isinstance(error, float):
        assert evidence.max_rel == pytest.approx(error, rel=1e-3)


def test_calls_have_the_sizes_that_were_proven(tmp_path: Path, twice: Exported) -> None:
    """One sample and the most that one may have; a plan of a fixed batch is called with that alone, however few samples there are."""
    recorded = "def answers(inputs):\n    sizes.add(len(inputs['x']))\n    return {'y': 2 * inputs['x']}\nsizes = set()\n"
    recorded += "def tools():\n    return {}\ndef device():\n    return str(sorted(sizes))\n"
    unlimited = replace(twice.signature, max_batch=None)
    cases = (
        (Plan("tensorrt"), twice.signature, "[1, 4]"),
        (Plan("tensorrt", batch=8), twice.signature, "[8]"),
        (Plan("tensorrt"), unlimited, "[1, 5]"),
    )
    for number, (plan, signature, sizes) in enumerate(cases):
        folder = write(tmp_path / str(number), Exported(signature, plan, twice.golden), recorded)
        assert run(folder).returncode == 0
        assert export_evidence.read(folder / "evidence-target.json").device == sizes


def test_samples_are_counted_by_any_axis_or_none(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(4, 7, 2)).astype(np.float32)
    scale = np.array([[1], [2], [3], [4]], np.float32)
    signature = Signature(
        (TensorSpec("x", "float32", (7, "batch", 2), sample_axis=1), TensorSpec("scale", "float32", (1,), sample_axis=None)),
        (TensorSpec("y", "float32", (2, 7, "batch"), sample_axis=2), TensorSpec("name", "object", ("batch",))),
    )
    names = np.array([b"a", b"", b"ccc", b"\x00"], object)
    golden = Golden({"x": rows, "scale": scale}, {"y": (rows * scale[:, :, None]).transpose(0, 2, 1), "name": names})
    text = (
        "KNOWN = {1: b'a', 2: b'', 3: b'ccc', 4: b'\\0'}\n"
        "def answers(inputs):\n"
        "    assert inputs['x'].shape == (7, 1, 2) and inputs['scale'].shape == (1,) and inputs['x'].flags.c_contiguous\n"
        "    name = np.array([KNOWN[int(inputs['scale'][0])]], object)\n"
        "    return {'y': (inputs['x'] * inputs['scale'][0]).transpose(2, 0, 1), 'name': name}\n"
    )
    right = write(tmp_path / "right", Exported(signature, Plan("tensorrt"), golden), text)
    done = run(right)
    assert done.returncode == 0, done.stderr + done.stdout
    wrong = write(tmp_path / "wrong", Exported(signature, Plan("tensorrt"), golden), text.replace("b'ccc'", "b'cc'"))
    assert run(wrong).returncode == 1


def test_what_cannot_be_tried_is_refused_in_one_sentence(tmp_path: Path, twice: Exported) -> None:
    def added(folder: Path) -> None:
        (folder / "notes.txt").write_text("mine")

    def other_golden(folder: Path) -> None:
        goldens.write(folder / "golden.npz", Golden(twice.golden.inputs, {"y": twice.golden.inputs["x"]}))

    def no_evidence(folder: Path) -> None:
        (folder / "evidence.json").unlink()

    def nothing(folder: Path) -> None:
        pass

    cases: list[tuple[str, tuple[str, ...], Callable[[Path], None], str]] = [
        (TWICE, (), added, "the files beside verify.py are not as they were exported"),
        (TWICE, (), other_golden, "golden.npz is not as it was exported"),
        (TWICE, (), no_evidence, "cannot be read"),
        (TWICE, ("no_such_module",), nothing, "this machine has no no_such_module"),
        ("def answers(inputs):\n    raise Refused('there is no GPU here')\n", (), nothing, "there is no GPU here"),
        ("def answers(inputs):\n    raise ValueError('odd')\n", (), nothing, "the target did not answer: ValueError: odd"),
        ("def answers(inputs):\n    return {}\n", (), nothing, "the target gave no output 'y'; it gave none"),
    ]
    for number, (answers, needs, damage, words) in enumerate(cases):
        folder = write(tmp_path / str(number), twice, answers, needs)
        damage(folder)
        done = run(folder)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, (number, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1
        assert not (folder / "evidence-target.json").exists()
    assert "Traceback" in run(tmp_path / "5", "--traceback").stderr


@pytest.fixture
def module(tmp_path: Path, twice: Exported) -> dict[str, Any]:
    folder = write(tmp_path / "module", twice, TWICE, more={"inner.txt": "x"})
    return runpy.run_path(str(folder / "verify.py"), run_name="verify")


def test_it_compares_by_the_rule_of_the_format(module: dict[str, Any]) -> None:
    generator = np.random.default_rng(2)
    odd = np.array([0.0, -4.0, np.inf, -np.inf, np.nan, 1e300, 1e-300])
    pairs: list[tuple[Array, Array, Quantization | None]] = [
        (np.array([1.2, -4.0, np.inf]), np.array([1.0, -4.0, np.inf]), None),
        (np.zeros(3), np.array([0.0, 1e-9, 0.0]), None),
        (np.zeros((0, 3)), np.zeros((0, 3)), None),
        (np.zeros(3), np.zeros(4), None),
        (np.array([2**60 + 1]), np.array([2**60]), None),
        (np.array([3, 5]), np.array([3, 9]), None),
        (np.array([200, 5], np.uint8), np.array([100, 5], np.uint8), Quantization(0.5, 100)),
        (np.array([True, False]), np.array([True, True]), None),
        (np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), None),
        (np.array([1 + 2j]), np.array([1 + 1j]), None),
        (np.float16([1, 2]), np.float32([1, 2.5]), None),
        (np.array(3.0), np.array(2.0), None),
    ]
    pairs += [(generator.choice(odd, 3), generator.choice(odd, 3), None) for _ in range(200)]
    for got, want, quantization in pairs:
        pair = (quantization.scale, quantization.zero_point) if quantization else None
        assert module["largest"](got, want, pair)[0] == output_error(got, want, quantization=quantization), (got, want)


def test_it_sums_the_files_as_the_build_side_does(module: dict[str, Any]) -> None:
    folder = module["HERE"]
    (folder / "inner").mkdir()
    for name in ("inner/README.md", "README.md", "inner-2.txt", "\u00e9.bin"):
        (folder / name).write_text(name)
    (folder / "built").mkdir()
    (folder / "built" / "engine").write_text("x")
    assert module["files_sum"]() == export_evidence.files_sum(folder)


def test_it_names_this_host_as_the_build_side_does(module: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROADWORTHY_CPU_MASK", raising=False)
    here, there = this_host(), module["host"]()
    assert (there["cpu"], tuple(there["features"]), there["machine_cores"]) == (here.cpu, here.features, here.machine_cores)
    assert set(there) == set(here.__dataclass_fields__) and set(there["features"]) <= set(NOTABLE)
