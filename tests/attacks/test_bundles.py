"""Bundles that are damaged or that lie: each is refused with one sentence that names the file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roadworthy.build.package import pack
from roadworthy.bundle import store
from roadworthy.core.errors import BundleError
from support.models import certificates


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole bundle, never changed."""
    folder = tmp_path_factory.mktemp("whole")
    pack(certificates.null_request(folder / "work"), folder / "bundle", certificates.unopened)
    return folder / "bundle"


@pytest.fixture
def victim(packed: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(packed, tmp_path / "bundle"))


def forge(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and make its sidecar fit, as an attacker would."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    change(manifest)
    write_manifest(bundle, json.dumps(manifest).encode())


def write_manifest(bundle: Path, data: bytes) -> None:
    (bundle / "manifest.json").write_bytes(data)
    (bundle / "manifest.json.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  manifest.json\n")


def refused(bundle: Path, *words: str) -> None:
    with pytest.raises(BundleError) as caught:
        store.read(bundle)
    message = caught.value.message
    assert "\n" not in message and all(word in message for word in words), message


def test_the_whole_bundle_is_accepted(packed: Path) -> None:
    assert store.read(packed).name == "digits-null"


def test_a_flipped_byte_in_any_file_is_refused_by_name(victim: Path) -> None:
    files = [path for path in sorted(victim.rglob("*")) if path.is_file()]
    assert len(files) >= 14
    for path in files:
        data = path.read_bytes()
        for at in {0, len(data) // 3, len(data) // 2, len(data) - 1}:
            for bit in (0x01, 0x80):
                path.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
                refused(victim, path.relative_to(victim).as_posix())
        path.write_bytes(data)
    store.read(victim)


def test_a_truncated_grown_or_missing_file_is_refused_by_name(victim: Path) -> None:
    for path in [path for path in sorted(victim.rglob("*")) if path.is_file()]:
        data, name = path.read_bytes(), path.relative_to(victim).as_posix()
        for other in (data[:-1], b"", data + b"\0"):
            path.write_bytes(other)
            refused(victim, name)
        path.unlink()
        refused(victim, name)
        path.mkdir()
        refused(victim, name)
        path.rmdir()
        path.write_bytes(data)
    store.read(victim)


def test_two_bundles_mixed_are_refused(victim: Path, tmp_path: Path) -> None:
    pack(certificates.null_request(tmp_path / "work", weight=2.0), tmp_path / "other", certificates.unopened)
    shutil.copyfile(tmp_path / "other/variants/null-fp32-t1/model.npz", victim / "variants/null-fp32-t1/model.npz")
    refused(victim, "variants/null-fp32-t1/model.npz")


@pytest.mark.parametrize("kind", ["file", "link", "linked folder", "fifo", "dangling link"])
def test_a_foreign_file_in_a_variant_is_refused_by_name(victim: Path, kind: str) -> None:
    foreign = victim / "variants" / "null-fp32-t1" / "deeper" / "plugin.so"
    foreign.parent.mkdir()
    match kind:
        case "file":
            foreign.write_text("code")
        case "link":
            foreign.symlink_to("/etc/hostname")
        case "linked folder":
            foreign.symlink_to("/etc")
        case "dangling link":
            foreign.symlink_to("/nonexistent")
        case "fifo":
            os.mkfifo(foreign)
    refused(victim, "variants/null-fp32-t1/deeper/plugin.so", "added after packing")


def test_files_beside_the_variants_are_not_checked(victim: Path) -> None:
    (victim / "NOTES.txt").write_text("deployed on Friday")
    store.read(victim)


@pytest.mark.parametrize("name", ["golden.npz", "variants/null-fp32-t1/model.npz", "manifest.json"])
def test_a_link_in_place_of_a_file_is_refused_even_with_the_same_bytes(victim: Path, tmp_path: Path, name: str) -> None:
    (victim / name).rename(tmp_path / "elsewhere")
    (victim / name).symlink_to(tmp_path / "elsewhere")
    refused(victim, name)


def test_a_link_to_a_whole_bundle_is_a_bundle(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(packed)
    assert store.read(tmp_path / "current") == store.read(packed)


def test_a_manifest_that_never_ends_is_not_read(victim: Path) -> None:
    (victim / "manifest.json").unlink()
    os.mkfifo(victim / "manifest.json")
    refused(victim, "manifest.json", "not a regular file")
    (victim / "manifest.json").unlink()
    with open(victim / "manifest.json", "wb") as file:
        file.truncate(10 * 2**30)
    refused(victim, "manifest.json", "far more than that of any bundle")


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../../outside", "variants/../../outside", "", ".", "a\0b", "a\nb", "n" * 300, "x/" * 3000]
)
def test_a_file_name_that_leads_out_is_refused(victim: Path, name: str) -> None:
    (victim.parent / "outside").write_text("secret")
    forge(victim, lambda manifest: manifest["files"].append({"path": name, "size": 6, "sha256": "0" * 64}))
    refused(victim)


@pytest.mark.parametrize("name", ["/etc", "..", "../other", ".", "", "variants/none", "deploy/../.."])
def test_a_variant_that_lies_elsewhere_is_refused(victim: Path, name: str) -> None:
    forge(victim, lambda manifest: manifest["variants"][0].update(path=name))
    refused(victim)


def lie(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Set the field at the dotted ``path``."""

    def change(manifest: dict[str, Any]) -> None:
        *way, last = path.split(".")
        spot: Any = manifest
        for step in way:
            spot = spot[int(step)] if isinstance(spot, list) else spot[step]
        spot[int(last) if isinstance(spot, list) else last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("format", 3, "bundle format 3"),
        ("format", 0, "bundle format 0"),
        ("format", 10**40, "bundle format 1000000"),
        ("format", "1", "manifest.json"),
        ("format", None, "manifest.json"),
        ("files.0.size", -1, "not the file that was packed"),
        ("files.0.size", 2**63 - 1, "not the file that was packed"),
        ("files.0.size", 1e308, "files[0].size"),
        ("files.0.sha256", "", "not the file that was packed"),
        ("files", [], "contradicts itself"),
        ("variants", [], "it has no variant"),
        ("variants.1.name", "null-fp32-b1-t1", "two variants have one name"),
        ("variants.0.gate", None, "variants[0].gate"),
        ("variants.0.plan.precision", "fp3", "precision"),
        ("golden.path", "elsewhere.npz", "'elsewhere.npz' is not among its files"),
        ("signature.inputs.0.dtype", "void", "unknown dtype 'void'"),
        ("signature.inputs.0.quantization", {"scale": 0.5, "zero_point": 0}, "impossible quantization"),
        ("signature.inputs.0.dtype", "O", "unknown dtype"),
        ("signature.inputs.0.shape.1", -1, "impossible shape"),
        ("signature.inputs.0.shape.0", "", "impossible shape"),
        ("contract.image.0.color", "CMYK", "color"),
        ("contract.image.1.kind", "rotate", "the step 'rotate', which Roadworthy 0.1.0 does not know: use Roadworthy 0.1.0"),
        ("contract.image.1.rounding", "up", "unknown field `rounding`"),
        ("contract.image.0.pixel_limit", 10**9, "pixel_limit is 1000000000"),
    ],
)
def test_a_field_that_lies_is_named(victim: Path, path: str, value: object, words: str) -> None:
    forge(victim, lie(path, value))
    refused(victim, words)


def test_a_file_listed_twice_is_refused(victim: Path) -> None:
    forge(victim, lambda manifest: manifest["files"].append(manifest["files"][0]))
    refused(victim, "listed twice")


def test_an_unlisted_certificate_is_refused(victim: Path) -> None:
    forge(victim, lambda manifest: manifest.update(files=[one for one in manifest["files"] if one["path"] != "certificate.json"]))
    refused(victim, "'certificate.json' is not among its files")


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{}", b"{", b"\xff\xfe", b"[" * 100_000,
     b'{"format":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, b"9" * 10_000, b'{"format": NaN}'],
    ids=["empty", "null", "list", "no fields", "cut", "not UTF-8", "deep list", "deep object", "huge number", "NaN"],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(victim: Path, data: bytes) -> None:
    write_manifest(victim, data)
    refused(victim, "manifest.json")


def test_a_deep_certificate_is_refused(victim: Path) -> None:
    (victim / "certificate.json").write_bytes(b'{"name":' * 100_000)
    with pytest.raises(BundleError, match=r"certificate\.json"):
        store.read_certificate(victim)


def test_what_is_no_bundle_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.pt").write_bytes(b"PK")
    for name in ("empty", "model.pt", "nowhere"):
        refused(tmp_path / name, "is not a bundle: it has no manifest.json")


def test_a_manifest_without_its_sidecar_is_no_bundle(victim: Path) -> None:
    (victim / "manifest.json.sha256").unlink()
    refused(victim, "it has no manifest.json.sha256")
