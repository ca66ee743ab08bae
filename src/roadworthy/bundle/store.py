"""Bundles on disk: written whole or not at all, checked to the last byte before anything in them is used."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from roadworthy.bundle import certificate as certificates
from roadworthy.bundle import manifest as manifests
from roadworthy.bundle.certificate import Certificate
from roadworthy.bundle.manifest import File, Manifest
from roadworthy.core import codec
from roadworthy.core.errors import BundleError, OutOfSpace, UsageError


@dataclass(frozen=True)
class _Format:
    """The one field that every format of the manifest will have."""

    format: int


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """A temporary directory beside ``target`` that takes its place when the block ends well.

    On any failure, an interrupt included, the directory goes away and an older bundle at ``target`` stays. What is
    at ``target`` and is no bundle is never replaced (UsageError). A full disk raises OutOfSpace.
    """
    target = target.absolute()
    _refuse_strangers(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    except OSError as problem:
        raise _translate(problem, target) from problem
    try:
        stage.chmod(0o755)
        yield stage
        _sync(stage)
        _swap(stage, target)
    except OSError as problem:
        raise _translate(problem, target) from problem
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def seal(root: Path, manifest: Manifest) -> Manifest:
    """Hash every file below ``root`` into ``manifest.files`` and write the manifest with its sidecar."""
    files = tuple(_entry(root, path) for path in sorted(root.rglob("*")) if path.is_file())
    sealed = replace(manifest, files=files)
    data = codec.to_json(sealed, indent=2)
    (root / manifests.NAME).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (root / manifests.SIDECAR).write_text(f"{digest}  {manifests.NAME}\n")
    return sealed


def read(root: Path) -> Manifest:
    """The manifest of a bundle of which every byte is as it was sealed; BundleError names the file that is not."""
    manifest = _read_manifest(root)
    for entry in manifest.files:
        path = _inside(root, entry.path)
        if not path.is_file():
            raise BundleError(f"{root}: {entry.path} is missing; copy the bundle again")
        if path.stat().st_size != entry.size or _digest(path) != entry.sha256:
            raise BundleError(f"{root}: {entry.path} is not the file that was packed (its SHA-256 differs); copy the bundle again")
    listed = {entry.path for entry in manifest.files}
    for variant in manifest.variants:
        for path in sorted(_inside(root, variant.path).rglob("*")):
            if path.is_file() and path.relative_to(root).as_posix() not in listed:
                raise BundleError(f"{root}: {path.relative_to(root)} was added after packing; remove it")
    return manifest


def read_certificate(root: Path) -> Certificate:
    """The certificate of a bundle; the caller has checked the bundle with ``read``."""
    try:
        data = (root / certificates.NAME).read_bytes()
    except OSError as problem:
        raise BundleError(f"{root}: {certificates.NAME} cannot be read: {problem.strerror}") from problem
    return codec.from_json(Certificate, data, error=BundleError, what=f"{root}/{certificates.NAME}")


def _read_manifest(root: Path) -> Manifest:
    path = root / manifests.NAME
    try:
        data = path.read_bytes()
        sidecar = (root / manifests.SIDECAR).read_bytes()
    except FileNotFoundError as problem:
        missing = Path(str(problem.filename)).name
        raise BundleError(f"{root} is not a bundle: it has no {missing}") from None
    except OSError as problem:
        raise BundleError(f"{root} cannot be read: {problem.strerror}") from problem
    if sidecar != f"{hashlib.sha256(data).hexdigest()}  {manifests.NAME}\n".encode():
        raise BundleError(f"{root}: {manifests.NAME} and {manifests.SIDECAR} do not belong together; copy the bundle again")
    version = codec.from_json(_Format, data, error=BundleError, what=str(path)).format
    if version != manifests.FORMAT:
        raise BundleError(
            f"{root} has bundle format {version}; this Roadworthy reads format {manifests.FORMAT}: use the version that made it"
        )
    return codec.from_json(Manifest, data, error=BundleError, what=str(path))


def _inside(root: Path, name: str) -> Path:
    """``root/name``, refusing a name (or a link) that leads out of the bundle."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise BundleError(f"{root}: the manifest names {name!r}, which is outside the bundle")
    path = root / pure
    if not path.resolve().is_relative_to(root.resolve()):
        raise BundleError(f"{root}: {name} leads out of the bundle")
    return path


def _entry(root: Path, path: Path) -> File:
    return File(path.relative_to(root).as_posix(), path.stat().st_size, _digest(path))


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_strangers(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} exists and is not a directory; choose another output")
    if target.is_dir() and any(target.iterdir()) and not (target / manifests.NAME).is_file():
        raise UsageError(f"{target} exists and is not a bundle, so it is not overwritten; choose another output")


def _sync(root: Path) -> None:
    for path in (*root.rglob("*"), root):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _swap(stage: Path, target: Path) -> None:
    """Put ``stage`` at ``target``; a directory cannot be renamed over a full one, so the old one steps aside first."""
    old = stage.with_suffix(".old")
    if target.exists():
        target.rename(old)
    try:
        stage.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _translate(problem: OSError, target: Path) -> OutOfSpace | UsageError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(f"the disk filled up while {target} was written; nothing of it was left behind")
    return UsageError(f"{target} cannot be written: {problem.strerror or problem}")
