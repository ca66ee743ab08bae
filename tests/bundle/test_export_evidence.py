"""The evidence of an export is written and read back as it is; what contradicts itself is refused, by the file's name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roadworthy.bundle import export_evidence
from roadworthy.bundle.certificate import NOT_ON_TARGET, ON_TARGET
from roadworthy.bundle.export_evidence import ComparedSamples, ExportEvidence, Tool
from roadworthy.core.errors import BundleError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Plan

EVIDENCE = ExportEvidence(
    target="tensorrt",
    model="digits",
    version="1",
    golden="0" * 64,
    plan=Plan("tensorrt"),
    files="f" * 64,
    verification=ON_TARGET,
    host=this_host(),
    device="a GPU",
    tools=(Tool("tensorrt", "11.4.0"),),
    samples=ComparedSamples(16, 0, generated=False),
    max_rel=1e-7,
    max_abs=1e-6,
    gate=1e-5,
    passed=True,
    ms=0.1,
    created="2026-11-30T12:00:00+00:00",
)


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / export_evidence.NAME
    for evidence in (EVIDENCE, replace(EVIDENCE, max_rel=None, max_abs=None, passed=False, ms=None, verification=NOT_ON_TARGET)):
        export_evidence.write(path, evidence)
        assert export_evidence.read(path) == evidence
        assert evidence.on_target is (evidence.verification == ON_TARGET)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_rel": 1.0}, "it says passed: true"),
        ({"passed": False}, "it says passed: false"),
        ({"max_rel": None}, "it says passed: true"),
        ({"gate": -1.0}, "its gate is -1.0"),
        ({"max_abs": -0.5}, "its max_abs is -0.5"),
        ({"ms": "fast"}, "ms"),
        ({"ms": float("nan")}, "JSON is malformed"),
        ({"max_rel": float("inf")}, "JSON is malformed"),
        ({"golden": "abc"}, "`golden` is not a SHA-256"),
        ({"files": "G" * 64}, "`files` is not a SHA-256"),
        ({"target": "../../etc"}, "'../../etc' is not the name of a target"),
        ({"target": ""}, "is not the name of a target"),
        ({"verification": "verified by me"}, "verification"),
        ({"host": "a fast one"}, "host"),
        ({"format": 2}, "evidence of format 2"),
        ({"format": "1"}, "format"),
        ({"samples": {"golden": -1, "evaluated": 0, "generated": False}}, "fewer samples than none"),
        ({"plan": None}, "plan"),
        ({"device": "\x1b[2J"}, "cannot be printed"),
        ({"tools": [{"name": "tensorrt", "version": "1" * 1000}]}, "too long"),
        ({"created": "yesterday"}, "'yesterday', which is not a time"),
    ],
)
def test_what_contradicts_itself_is_refused_by_the_files_name(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "evidence-target.json"
    export_evidence.write(path, EVIDENCE)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=r"evidence-target\.json") as refused:
        export_evidence.read(path)
    assert words in refused.value.message


def test_a_figure_that_overflows_is_not_read_as_an_infinity(tmp_path: Path) -> None:
    path = tmp_path / export_evidence.NAME
    export_evidence.write(path, EVIDENCE)
    path.write_text(path.read_text().replace("1e-5", "1e999").replace("0.00001", "1e999"))
    assert "1e999" in path.read_text()
    with pytest.raises(BundleError):
        export_evidence.read(path)


def test_a_folder_a_link_a_huge_file_and_none_are_refused(tmp_path: Path) -> None:
    huge, link = tmp_path / "huge.json", tmp_path / "link.json"
    with open(huge, "wb") as file:
        file.truncate(export_evidence.LARGEST + 1)
    link.symlink_to(huge)
    for path in (tmp_path, link, huge, tmp_path / "none.json", tmp_path / "deep.json"):
        if path.name == "deep.json":
            path.write_bytes(b"[" * 100_000)
        with pytest.raises(BundleError, match=path.name):
            export_evidence.read(path)


def test_what_is_inconsistent_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="max_rel is nan"):
        export_evidence.write(tmp_path / "evidence.json", replace(EVIDENCE, max_rel=float("nan"), passed=False))
    assert not list(tmp_path.iterdir())


def test_the_sum_is_of_the_exports_own_files_alone(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / "inner" / "page.js").write_bytes(b"page")
    before = export_evidence.files_sum(tmp_path)
    for left_out in ("evidence.json", "evidence-target.json", "README.md"):
        (tmp_path / left_out).write_text("words")
    for folder in ("built", "inner/__pycache__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text("words")
    assert export_evidence.files_sum(tmp_path) == before
    (tmp_path / "inner" / "page.js").write_bytes(b"pages")
    changed = export_evidence.files_sum(tmp_path)
    (tmp_path / "inner" / "README.md").write_text("one of the export's own")
    assert len({before, changed, export_evidence.files_sum(tmp_path)}) == 3
    (tmp_path / "link").symlink_to(tmp_path / "model.onnx")
    with pytest.raises(BundleError, match="link"):
        export_evidence.files_sum(tmp_path)
