"""Bundles on disk: which are found under which name and version, and what a client may reach."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from roadworthy.core.errors import BundleError, Forbidden, UnknownModel, UsageError
from roadworthy.serving.registry.repository import FoundBundle, digest, locate, newest, refuse_duplicates, scan
from support.models import bundles


@pytest.fixture
def models(tmp_path: Path, null_bundle: Path) -> Path:
    """``linear.bundle`` beside ``cat/1``, ``cat/2`` and ``cat/10``, something half written, and what is no model."""
    root = tmp_path / "models"
    for folder in ("linear.bundle", "cat/1", "cat/2", "cat/10", ".cat.partial", "cat/.3.partial"):
        shutil.copytree(null_bundle, root / folder)
    (root / "notes").mkdir()
    (root / "README").write_text("hello")
    return root


def named(found: Sequence[FoundBundle]) -> list[tuple[str, str]]:
    return [(one.name, one.version) for one in found]


def test_folders_name_versions_and_bundles_name_themselves(models: Path) -> None:
    assert named(scan([models])) == [("cat", "1"), ("cat", "2"), ("cat", "10"), ("linear", "1")]
    assert named(scan([models / "linear.bundle"])) == [("linear", "1")]
    assert named(scan([models / "nothing"])) == []


def test_the_newest_is_told_by_number_and_not_by_the_alphabet(models: Path) -> None:
    assert named(newest(scan([models]), 1)) == [("cat", "10"), ("linear", "1")]
    assert named(newest(scan([models]), 2)) == [("cat", "2"), ("cat", "10"), ("linear", "1")]
    assert newest(scan([models]), 0) == scan([models])


def test_a_manifest_that_cannot_be_read_is_found_so_that_it_can_be_refused(models: Path) -> None:
    (models / "linear.bundle" / "manifest.json").write_text("{")
    (models / "cat" / "2" / "manifest.json").write_text("[]")
    assert named(scan([models])) == [("cat", "1"), ("cat", "2"), ("cat", "10"), ("linear", "1")]


def test_a_bundle_that_is_replaced_has_another_stamp(models: Path) -> None:
    before = scan([models])
    assert scan([models]) == before
    bundles.write_bundle(models / "linear.bundle")
    after = scan([models])
    assert [one.stamp for one in before][:3] == [one.stamp for one in after][:3]
    assert before[3].stamp != after[3].stamp


def test_what_a_client_may_name(models: Path) -> None:
    assert named(locate([models], "cat", None, None)) == [("cat", "1"), ("cat", "2"), ("cat", "10")]
    assert named(locate([models], "cat", "2", None)) == [("cat", "2")]
    assert named(locate([models], "kitten", None, "cat/2")) == [("kitten", "2")]
    assert named(locate([models], "kitten", None, "cat")) == [("kitten", "1"), ("kitten", "2"), ("kitten", "10")]
    assert named(locate([models], "kitten", None, str(models / "linear.bundle"))) == [("kitten", "1")]
    for name, version, path in (("dog", None, None), ("cat", "3", None), ("cat", None, "notes")):
        with pytest.raises(UnknownModel, match="there is no bundle"):
            locate([models], name, version, path)


@pytest.mark.parametrize("path", ["..", "/", "/etc", "../outside", "cat/../../outside", "link", "nothing"])
def test_what_lies_outside_stays_outside(models: Path, null_bundle: Path, path: str) -> None:
    shutil.copytree(null_bundle, models.parent / "outside")
    (models / "link").symlink_to(models.parent / "outside")
    with pytest.raises(Forbidden, match="is not inside"):
        locate([models], "cat", None, path)


def test_two_bundles_of_one_version(models: Path, null_bundle: Path) -> None:
    refuse_duplicates([models, models])
    with pytest.raises(UsageError, match=r"are both 'linear' version 1"):
        refuse_duplicates([models, null_bundle])


def test_the_digest_is_of_the_manifest(models: Path) -> None:
    assert digest(models / "cat" / "1") == digest(models / "cat" / "2")
    with pytest.raises(BundleError, match=r"notes/manifest\.json cannot be read"):
        digest(models / "notes")
