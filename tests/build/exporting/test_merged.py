"""Evidence that a target gave is taken into the bundle that it is about, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import roadworthy as rw
from roadworthy.build.exporting.merged import merge_evidence
from roadworthy.bundle import export_evidence, store
from roadworthy.bundle.certificate import ON_TARGET
from roadworthy.core.errors import BundleError, UsageError
from support import merging


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return merging.with_export(tmp_path)


@pytest.fixture
def file(bundle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "brought.json"
    export_evidence.write(path, merging.from_target(bundle))
    return path


def test_the_certificate_says_what_the_target_showed_and_the_bundle_still_opens(bundle: Path, file: Path) -> None:
    before = (bundle / "exports/tensorrt/README.md").stat()
    evidence = merge_evidence(bundle, file)
    assert evidence == merging.from_target(bundle)
    assert export_evidence.read(bundle / "exports/tensorrt/evidence-target.json") == evidence
    (export,) = store.read_certificate(bundle).exports
    assert export.verification == ON_TARGET and export.proof is not None
    assert (export.proof.host, export.proof.device, export.proof.golden) == (merging.ELSEWHERE, "NVIDIA A10G, driver 570.86", 8)
    assert (export.proof.max_rel, export.proof.ms) == (3e-7, 0.21)
    for page in ("report.html", "MODEL_CARD.md", "exports/tensorrt/README.md"):
        text = (bundle / page).read_text()
        assert "verified on the target" in text.lower() and "NVIDIA A10G, driver 570.86" in text and "0.21 ms" in text, page
    assert "not verified on the target" not in (bundle / "report.html").read_text()
    manifest = store.read(bundle, whole=True)
    assert "exports/tensorrt/evidence-target.json" in {entry.path for entry in manifest.kept}
    with rw.load(bundle) as model:
        assert model.variant.plan.runtime == "null"
    # The host's own evidence is kept beside it, and is still about the same files.
    own = export_evidence.read(bundle / "exports/tensorrt/evidence.json")
    assert own.files == export_evidence.files_sum(bundle / "exports/tensorrt") and not own.on_target
    assert (bundle / "exports/tensorrt/README.md").stat().st_ino != before.st_ino


def test_a_second_time_replaces_the_first(bundle: Path, file: Path) -> None:
    merge_evidence(bundle, file)
    export_evidence.write(file, replace(merging.from_target(bundle), device="NVIDIA L4", ms=0.5))
    merge_evidence(bundle, file)
    readme = (bundle / "exports/tensorrt/README.md").read_text()
    assert readme.count("## What the target showed") == 1 and "NVIDIA L4" in readme and "A10G" not in readme
    assert "how it is run" in readme
    store.read(bundle, whole=True)


def test_what_is_made_by_using_an_export_in_its_place_is_no_part_of_the_bundle(bundle: Path, file: Path) -> None:
    """An engine that is built again later would be damage."""
    place = bundle / "exports/tensorrt"
    made = [place / "built" / "model.plan", place / "__pycache__" / "engine.cpython-311.pyc"]
    for one in made:
        one.parent.mkdir()
        one.write_bytes(b"first")
    merge_evidence(bundle, file)
    assert all(one.read_bytes() == b"first" for one in made)
    made[0].write_bytes(b"second")
    store.read(bundle, whole=True)


def test_what_does_not_fit_leaves_every_byte_as_it_was(bundle: Path, file: Path, tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}

    before = content()
    export_evidence.write(file, replace(merging.from_target(bundle), max_rel=0.5, passed=False))
    with pytest.raises(BundleError, match=r"off by 0\.5 of the output's scale, and 1e-05 is allowed"):
        merge_evidence(bundle, file)
    assert content() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brought.json", "bundle", "made"]


def test_a_file_that_is_not_from_the_target_is_a_wrong_argument(bundle: Path, tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none.json", "is not a file"),
        (bundle / "exports/tensorrt/evidence.json", "from the host that made the export"),
        (bundle, "is not a file"),
    ):
        with pytest.raises(UsageError, match=words) as refused:
            merge_evidence(bundle, path)
        assert "evidence-target.json" in refused.value.message


def test_a_bundle_that_is_damaged_takes_no_evidence(bundle: Path, file: Path) -> None:
    (bundle / "exports/tensorrt/model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"exports/tensorrt/model\.onnx is not the file"):
        merge_evidence(bundle, file)
