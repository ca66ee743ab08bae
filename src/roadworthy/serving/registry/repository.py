"""Bundles on disk: single ones, and directories of models with their versions."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from roadworthy.core.errors import BundleError, Forbidden, UnknownModel, UsageError
from roadworthy.serving.registry.catalogue import order

LOG = logging.getLogger(__name__)

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class FoundBundle:
    """One bundle, by the name and the version that it is served under; ``stamp`` changes when the bundle is replaced."""

    name: str
    version: str
    path: Path
    stamp: tuple[int, int]


class _ManifestNames(msgspec.Struct):
    name: str
    version: str


def scan(sources: Sequence[Path]) -> tuple[FoundBundle, ...]:
    """Every bundle at ``sources``, each of them a bundle or a directory of these, by name and then oldest first.

    In a directory, ``NAME/VERSION/manifest.json`` gets its name and version from the folders, ``FOLDER/manifest.json`` from the manifest.
    A bundle whose manifest cannot be read has its folder's name and version 1; opening it gives the reason.
    """
    found = {(one.name, one.version): one for source in sources for one in _scan(source)}
    return tuple(sorted(found.values(), key=lambda one: (one.name, order(one.version))))


def refuse_duplicates(sources: Sequence[Path]) -> None:
    """Raises UsageError where two bundles would be served as the same version of the same model."""
    seen: dict[tuple[str, str], Path] = {}
    for source in sources:
        for one in _scan(source):
            other = seen.setdefault((one.name, one.version), one.path)
            if other != one.path:
                raise UsageError(
                    f"{other} and {one.path} are both {one.name!r} version {one.version}; serve them with two servers, or deploy "
                    "one again with another --name or --version"
                )


def is_bundle(path: Path) -> bool:
    """Whether there is a manifest at ``path``."""
    return (path / MANIFEST).is_file()


def wanted(sources: Sequence[Path], versions: int) -> tuple[FoundBundle, ...]:
    """What a server of ``sources`` serves: every bundle that is a source itself, and the newest ``versions`` (0: all) in directories."""
    single = tuple(source for source in sources if is_bundle(source))
    directories = tuple(source for source in sources if source not in single)
    return (*scan(single), *newest(scan(directories), versions))


def newest(found: Sequence[FoundBundle], count: int) -> tuple[FoundBundle, ...]:
    """The ``count`` newest versions of every model; all for 0."""
    kept: list[FoundBundle] = []
    for name in dict.fromkeys(one.name for one in found):
        versions = [one for one in found if one.name == name]
        kept.extend(versions[-count:] if count else versions)
    return tuple(kept)


def locate(sources: Sequence[Path], name: str, version: str | None, path: str | None) -> tuple[FoundBundle, ...]:
    """The bundles that a client asks for, oldest first; raises UnknownModel, or Forbidden for a ``path`` outside of ``sources``.

    A client may only name paths inside the directories that the server was started with, after links are resolved.
    """
    if path is None:
        found = tuple(one for one in scan(sources) if one.name == name)
    else:
        inside = _inside(sources, path)
        found = tuple(sorted(_scan(inside, named=name), key=lambda one: order(one.version)))
    found = tuple(one for one in found if one.name == name and version in (None, one.version))
    if not found:
        wanted = f"version {version} of " if version else ""
        raise UnknownModel(f"there is no bundle of {wanted}{name!r} {f'at {path}' if path else 'in the directories that are served'}")
    return found


def digest(path: Path) -> str:
    """The SHA-256 of a bundle's manifest, which holds the SHA-256 of every file; raises BundleError where it cannot be read."""
    try:
        return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    except OSError as problem:
        raise BundleError(f"{path / MANIFEST} cannot be read: {problem.strerror or problem}") from None


def _inside(sources: Sequence[Path], path: str) -> Path:
    for source in sources:
        try:
            resolved = (source / path).resolve()
            if resolved.is_relative_to(source.resolve()) and resolved.exists():
                return resolved
        except (OSError, RuntimeError, ValueError):
            # A name that is too long, a loop of links, a folder without permission, a NUL: the same as a path that does not exist.
            continue
    raise Forbidden(f"{path} is not inside the directories that this server was started with")


def _scan(source: Path, named: str | None = None) -> Iterator[FoundBundle]:
    if is_bundle(source):
        # A client may name the folder of one version.
        yield _found(source, named, source.name if named and source.name.isdecimal() else None)
        return
    for folder in _folders(source):
        if is_bundle(folder):
            yield _found(folder, None) if named is None else _found(folder, named, folder.name)
            continue
        for version in _folders(folder):
            if is_bundle(version):
                yield _found(version, folder.name, version.name)


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(one for one in path.iterdir() if not one.name.startswith(".") and one.is_dir() and _can_be_named(one))
    except OSError:
        return []


def is_text(name: str) -> bool:
    """Whether a name from the file system is valid UTF-8, so that a client can send it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _can_be_named(folder: Path) -> bool:
    valid = is_text(folder.name)
    if not valid:
        _warn_of_name(folder)
    return valid


@cache
def _warn_of_name(folder: Path) -> None:
    """Cached, so that a watched directory gives the warning once."""
    LOG.warning("%a is not served: the folder's name is not UTF-8, so that no client can name it; rename it", str(folder))


def _found(path: Path, name: str | None, version: str | None = None) -> FoundBundle:
    try:
        stat = (path / MANIFEST).stat()
        stamp = stat.st_ino, stat.st_mtime_ns
        names = msgspec.json.decode((path / MANIFEST).read_bytes(), type=_ManifestNames)
    except (OSError, ValueError, RecursionError):
        stamp, names = (0, 0), _ManifestNames(path.name.removesuffix(".bundle"), "1")
    return FoundBundle(name or names.name, version or names.version, path, stamp)
