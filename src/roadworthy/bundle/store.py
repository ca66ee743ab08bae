"""Bundles on disk: written completely or not at all, and every byte checked before anything in them is used."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from roadworthy.bundle import certificate as certificates
from roadworthy.bundle import export_evidence
from roadworthy.bundle import manifest as manifests
from roadworthy.bundle.certificate import Certificate
from roadworthy.bundle.manifest import File, Manifest
from roadworthy.core import codec
from roadworthy.core.errors import BundleError, OutOfSpace, UsageError
from roadworthy.core.isolation import scratch

LARGEST = 64 * 2**20
"""Bytes that a manifest or a certificate may have; real ones have some thousands."""


@contextmanager
def writing(target: Path, *, mark: str = manifests.SIDECAR) -> Iterator[Path]:
    """A temporary directory beside ``target`` that takes its place when the block ends without an exception.

    On any failure, an interrupt included, the directory is removed and an older bundle at ``target`` stays. Directories that killed
    processes left are removed first. Content of ``target`` without the file ``mark``, by default one that every bundle has, is never
    replaced (UsageError). A full disk raises OutOfSpace.
    """
    refuse_other_content(target, mark)
    target = target.resolve()
    stage: scratch.Directory | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch.sweep(target.parent, f".{glob.escape(target.name)}.*.partial")
        stage = scratch.Directory(target.parent, prefix=f".{target.name}.", suffix=".partial")
        stage.path.chmod(0o755)
        yield stage.path
        _sync(stage.path)
        _swap(stage.path, target)
    except OSError as problem:
        raise _translate(problem, target) from problem
    finally:
        if stage is not None:
            stage.remove()


@contextmanager
def amending(target: Path) -> Iterator[Path]:
    """A copy of the bundle at ``target`` that takes its place when the block ends without an exception; one change at a time.

    The files in its folders are links to the old ones: a changed file there is a new one, never the old one written to. The block seals
    the copy. Raises BundleError where a byte of the bundle is not as it was sealed, and what ``writing`` raises.
    """
    with _descriptor(target.resolve().parent) as parent:
        fcntl.flock(parent, fcntl.LOCK_EX)
        read(target, whole=True)
        with writing(target) as stage:
            for path in sorted(target.rglob("*")):
                copy = stage / path.relative_to(target)
                if path.is_dir():
                    copy.mkdir()
                elif path.parent == target or not _linked(path, copy):
                    shutil.copy2(path, copy)
            yield stage


def seal(root: Path, manifest: Manifest) -> Manifest:
    """Hash every file below ``root`` into the manifest and write it with its sidecar, in place of older ones.

    What is made by using an export in its place is not part of the bundle.
    """
    own = (root / manifests.NAME, root / manifests.SIDECAR)
    files = [path for path in sorted(root.rglob("*")) if not path.is_dir() and path not in own]
    entries = [_entry(root, path) for path in files if not _made_by_use(path.relative_to(root))]
    kept = tuple(entry for entry in entries if entry.path.partition("/")[0] in (manifests.GRAPHS, manifests.EXPORTS))
    graphs = tuple(graph for graph in manifest.graphs if (root / graph.path).exists())
    sealed = replace(manifest, files=tuple(entry for entry in entries if entry not in kept), graphs=graphs, kept=kept)
    data = _dump(sealed, manifests.NAME)
    (root / manifests.NAME).write_bytes(data)
    (root / manifests.SIDECAR).write_text(_sidecar(data))
    return sealed


def write_certificate(root: Path, certificate: Certificate) -> None:
    """Write ``certificate.json``; BundleError where it holds a figure that JSON cannot, naming the place."""
    (root / certificates.NAME).write_bytes(_dump(certificate, certificates.NAME))


def read(root: Path, *, whole: bool = False) -> Manifest:
    """The manifest of a bundle of which every byte that a server reads is as it was sealed.

    With ``whole`` every other byte is compared too, in the folders that are there. Raises BundleError with the file that is not.
    """
    data = _manifest_bytes(root)
    try:
        manifest = manifests.parse(data, str(root))
        kept = [entry for entry in manifest.kept if whole and (root / entry.path.partition("/")[0]).is_dir()]
        _check(root, manifest, (*manifest.files, *kept))
    except BundleError:
        # Another bundle may have taken this one's place while its files were read; that is not damage.
        if _manifest_bytes(root) != data:
            return read(root, whole=whole)
        raise
    return manifest


def read_certificate(root: Path) -> Certificate:
    """The certificate of a bundle; the caller has checked the bundle with ``read``."""
    data = _content(root, certificates.NAME)
    return codec.from_json(Certificate, data, error=BundleError, what=f"{root}/{certificates.NAME}")


def _dump(value: Manifest | Certificate, name: str) -> bytes:
    """JSON that was read back once: a non-finite float becomes ``null`` in JSON, and would be a broken bundle later."""
    data = codec.to_json(value, indent=2)
    fault = f"{name} cannot be packed, as it would not read back as it was written: a figure in it is not finite"
    if codec.from_json(type(value), data, error=BundleError, what=fault) != value:
        raise BundleError(fault)
    return data


def _sidecar(data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}  {manifests.NAME}\n"


def _manifest_bytes(root: Path) -> bytes:
    """The manifest's bytes, after they were compared with the sidecar."""
    data, sidecar = _content(root, manifests.NAME), _content(root, manifests.SIDECAR)
    if sidecar != _sidecar(data).encode():
        # Read across the moment in which one bundle replaced another: the second look sees one of them whole.
        again = _content(root, manifests.NAME)
        if again != data:
            return _manifest_bytes(root)
        raise BundleError(f"{root}: {manifests.NAME} and {manifests.SIDECAR} do not belong together; copy the bundle again")
    return data


def _content(root: Path, name: str) -> bytes:
    path = root / name
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise BundleError(f"{root}: {name} is not a regular file; copy the bundle again")
        if found.st_size > LARGEST:
            raise BundleError(f"{root}: {name} has {found.st_size} bytes, far more than that of any bundle; copy the bundle again")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{root} is not a bundle: it has no {name}") from None
    except OSError as problem:
        raise BundleError(f"{root}: {name} cannot be read: {problem.strerror}") from problem


def _check(root: Path, manifest: Manifest, files: Iterable[File]) -> None:
    if fault := manifests.fault(manifest):
        raise BundleError(f"{root}: {manifests.NAME} contradicts itself: {fault}")
    home = root.resolve()
    try:
        for entry in files:
            _check_file(root, home, entry)
        listed = {home / entry.path for entry in manifest.files}
        for variant in manifest.variants:
            for path in sorted(_inside(root, home, variant.path).rglob("*")):
                if path not in listed and (path.is_symlink() or not path.is_dir()):
                    raise BundleError(f"{root}: {path.relative_to(home)} was added after packing; remove it")
    except OSError as problem:
        raise BundleError(f"{root}: {problem.filename} cannot be read: {problem.strerror}") from problem


def _check_file(root: Path, home: Path, entry: File) -> None:
    path = _inside(root, home, entry.path)
    if not path.is_file():
        raise BundleError(f"{root}: {entry.path} is missing; copy the bundle again")
    if path.stat().st_size != entry.size or _digest(path) != entry.sha256:
        raise BundleError(f"{root}: {entry.path} is not the file that was packed (its SHA-256 differs); copy the bundle again")


def _inside(root: Path, home: Path, name: str) -> Path:
    """``home/name``, refusing a name that leads out of the bundle, and any link: a bundle holds files and nothing else."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or not name.isprintable():
        raise BundleError(f"{root}: the manifest names {name!r}, which is outside the bundle")
    path = home / pure
    if path.resolve() != path:
        raise BundleError(f"{root}: {name} is a link or leads through one; copy the bundle with its links resolved")
    return path


def _entry(root: Path, path: Path) -> File:
    name = path.relative_to(root).as_posix()
    _inside(root, root.resolve(), name)
    return File(name, path.stat().st_size, _digest(path))


def _made_by_use(name: Path) -> bool:
    return name.parts[0] == manifests.EXPORTS and len(name.parts) > 2 and export_evidence.made_by_use(PurePosixPath(*name.parts[2:]))


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_other_content(target: Path, mark: str = manifests.SIDECAR) -> None:
    """Raise UsageError where ``target`` is something else than an empty directory or one that holds the file ``mark``."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} exists and is not a directory; choose another output")
    # manifest.json alone proves nothing: many programs have a file of that name.
    if target.is_dir() and any(target.iterdir()) and not (target / mark).is_file():
        what = "a bundle" if mark == manifests.SIDECAR else "an export"
        raise UsageError(f"{target} exists and is not {what}, so it is not overwritten; choose another output")


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    """The descriptor of a file or directory that is only read."""
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _linked(path: Path, copy: Path) -> bool:
    """Make ``copy`` a second name of ``path``; False where the file system has no such names."""
    try:
        copy.hardlink_to(path)
    except OSError:
        return False
    return True


def _sync(root: Path) -> None:
    for path in (*root.rglob("*"), root):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    with _descriptor(path) as handle:
        os.fsync(handle)


def _swap(stage: Path, target: Path) -> None:
    """Put ``stage`` at ``target``; an older bundle there ends up at ``stage``, or is gone."""
    if not target.exists() or not any(target.iterdir()):
        stage.rename(target)
    elif not _exchange(stage, target):
        _step_aside(stage, target)
    _sync_one(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories in one step; False where the system or the file system cannot (Linux can, renameat2(2))."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    at_cwd, exchange = -100, 2
    if renameat2 is None:
        return False
    if renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _step_aside(stage: Path, target: Path) -> None:
    old = stage.with_suffix(".old")
    try:
        target.rename(old)
        stage.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _translate(problem: OSError, target: Path) -> OutOfSpace | UsageError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutOfSpace(f"the disk filled up while {target} was written; nothing of it was left behind: free some space and run again")
    where = f" ({problem.filename})" if problem.filename and str(problem.filename) != str(target) else ""
    return UsageError(f"{target} cannot be written: {problem.strerror or problem}{where}; choose another output")
