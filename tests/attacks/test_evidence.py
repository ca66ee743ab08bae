"""Evidence that was made up, changed or belongs elsewhere: refused with the reason, and the bundle stays as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from roadworthy.build.exporting.merged import merge_evidence
from roadworthy.bundle import export_evidence, store
from roadworthy.core.errors import BundleError, RoadworthyError
from support import merging


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all refusals: after each it is as it was."""
    return merging.with_export(tmp_path_factory.mktemp("merging"))


def refused(bundle: Path, file: Path) -> str:
    sealed = (bundle / "manifest.json").read_bytes()
    with pytest.raises(RoadworthyError) as found:
        merge_evidence(bundle, file)
    assert (bundle / "manifest.json").read_bytes() == sealed
    assert not (bundle / "exports/tensorrt/evidence-target.json").exists()
    assert not list(bundle.parent.glob(".*"))
    store.read(bundle, whole=True)
    return found.value.message


def changed(bundle: Path, folder: Path, **changes: Any) -> Path:
    path = folder / "evidence-target.json"
    export_evidence.write(path, merging.from_target(bundle))
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": "inferentia"}, "and the bundle holds none"),
        ({"model": "other"}, "the model's name differs"),
        ({"version": "2"}, "the model's version differs"),
        ({"golden": "0" * 64}, "golden.npz (its SHA-256) differs"),
        ({"files": "0" * 64}, "the files (their SHA-256) differs"),
        ({"gate": 0.5}, "the gate differs"),
        ({"max_rel": 0.4, "gate": 0.5}, "the gate differs"),
        ({"max_rel": 0.4}, "it says passed: true, and its largest error is 0.4"),
        ({"max_rel": 0.4, "passed": False}, "off by 0.4 of the output's scale"),
        ({"max_rel": None, "max_abs": None, "passed": False}, "infinitely far off"),
        ({"max_rel": None}, "it says passed: true"),
        ({"max_rel": -1.0}, "max_rel is -1.0"),
        ({"samples": {"golden": 1, "evaluated": 0, "generated": False}}, "is about other samples than the 8 golden ones"),
        ({"samples": {"golden": 8, "evaluated": 10**9, "generated": False}}, "is about other samples than the 8 golden ones"),
        ({"max_rel": "0"}, "max_rel"),
        ({"passed": "true"}, "passed"),
        ({"passed": 1}, "passed"),
        ({"host": None}, "host"),
        ({"tools": {}}, "tools"),
        ({"format": 99}, "format 99"),
        ({"device": "<script>\u202e"}, "cannot be printed"),
        ({"device": "a" * 1000}, "too long"),
        ({"target": ".."}, "'..' is not the name of a target"),
        ({"target": "../../../etc"}, "is not the name of a target"),
        ({"target": "/tmp"}, "is not the name of a target"),
        ({"target": "tensorrt/../tensorrt"}, "is not the name of a target"),
        ({"target": "tensorrt\u0000"}, "is not the name of a target"),
        ({"target": "TensorRT"}, "is not the name of a target"),
    ],
)
def test_what_was_changed_in_it(bundle: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert words in refused(bundle, changed(bundle, tmp_path, **changes))


def test_another_plan_of_the_same_target(bundle: Path, tmp_path: Path) -> None:
    plan = asdict(merging.PLAN) | {"precision": "fp16"}
    assert "the form (its plan) differs" in refused(bundle, changed(bundle, tmp_path, plan=plan))


def test_evidence_of_another_bundles_export(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    other = merging.with_export(tmp_path / "second", model=b"another model")
    file = tmp_path / "brought.json"
    export_evidence.write(file, merging.from_target(other))
    assert "the files (their SHA-256) differs" in refused(bundle, file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("3e-7", "NaN"),
        lambda text: text.replace("3e-7", "Infinity"),
        lambda text: text.replace("3e-7", "1e999"),
        lambda text: text[:-20],
        lambda text: "[" * 100_000,
        lambda text: "",
        lambda text: "null",
        lambda text: text + " " * (export_evidence.LARGEST + 1),
        lambda text: text.replace('"tensorrt"', '"\\ud800"', 1),
    ],
)
def test_a_file_that_is_no_evidence(bundle: Path, tmp_path: Path, damage: Callable[[str], str]) -> None:
    path = tmp_path / "evidence-target.json"
    export_evidence.write(path, merging.from_target(bundle))
    before = path.read_text()
    assert "3e-7" in before
    path.write_text(damage(before))
    assert "evidence-target.json" in refused(bundle, path)


def test_a_link_and_a_device(bundle: Path, tmp_path: Path) -> None:
    file = changed(bundle, tmp_path)
    link = tmp_path / "link.json"
    link.symlink_to(file)
    assert "is not a regular file" in refused(bundle, link)
    assert "is not a file" in refused(bundle, Path("/dev/zero"))


def test_what_it_says_reaches_the_report_as_text(tmp_path: Path) -> None:
    bundle = merging.with_export(tmp_path)
    merge_evidence(bundle, changed(bundle, tmp_path, device="<script>alert(1)</script> [bold]"))
    page = (bundle / "report.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


def test_files_that_were_changed_after_the_evidence_was_made(tmp_path: Path) -> None:
    """Sealed again by hand: the hashes of the bundle hold, those of the export do not."""
    bundle = merging.with_export(tmp_path)
    file = changed(bundle, tmp_path)
    (bundle / "exports/tensorrt/model.onnx").write_bytes(b"another")
    store.seal(bundle, store.read(bundle))
    sealed = (bundle / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="the files in exports/tensorrt are not those"):
        merge_evidence(bundle, file)
    assert (bundle / "manifest.json").read_bytes() == sealed
