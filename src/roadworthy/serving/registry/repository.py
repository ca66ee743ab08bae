"""Bundles as they lie on disk: single ones, and directories of models with their versions."""

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

    In a directory, ``NAME/VERSION/manifest.json`` goes by its folders' names, and ``FOLDER/manifest.json`` by what it says itself. A bundle
    whose manifest cannot be read has its folder's name and version 1: it will be refused with the reason when it is opened.
    """
    found = {(one.name, one.version): one for source in sources for one in _scan(source)}
    return tuple(sorted(found.values(), key=lambda one: (one.name, order(one.version))))


def refuse_twins(sources: Sequence[Path]) -> None:
    """Raises UsageError where two bundles would be served as the same version of the same model."""
    there: dict[tuple[str, str], Path] = {}
    for source in sources:
        for one in _scan(source):
            other = there.setdefault((one.name, one.version), one.path)
            if other != one.path:
                raise UsageError(
                    f"{other} and {one.path} are both {one.name!r} version {one.version}; serve them apart, or deploy one "
                    "again with another --name or --version"
                )


def newest(found: Sequence[FoundBundle], count: int) -> tuple[FoundBundle, ...]:
    """The ``count`` newest versions of every model, all for 0."""
    kept: list[FoundBundle] = []
    for name in dict.fromkeys(one.name for one in found):
        versions = [one for one in found if one.name == name]
        kept.extend(versions[-count:] if count else versions)
    return tuple(kept)


def locate(sources: Sequence[Path], name: str, version: str | None, path: str | None) -> tuple[FoundBundle, ...]:
    """The bundles that a client means, oldest first; raises UnknownModel, or Forbidden for a ``path`` outside of ``sources``.

    A client may only name what lies inside the directories that the server was started with, links followed.
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
    """The SHA-256 of a bundle's manifest, which holds those of its files; raises BundleError where there is none."""
    try:
        return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    except OSError as problem:
        raise BundleError(f"{path / MANIFEST} cannot be read: {problem.strerror or problem}") from None


def _inside(sources: Sequence[Path], path: str) -> Path:
    for source in sources:
        try:
            wanted = (source / path).resolve()
            if wanted.is_relative_to(source.resolve()) and wanted.exists():
                return wanted
        except (OSError, RuntimeError, ValueError):
            # A name that is too long, a loop of links, a folder that may not be read, a NUL: nothing lies there.
            continue
    raise Forbidden(f"{path} does not lie inside the directories that this server was started with")


def _scan(source: Path, named: str | None = None) -> Iterator[FoundBundle]:
    if (source / MANIFEST).is_file():
        # A client that names one version's folder means that version.
        yield _found(source, named, source.name if named and source.name.isdecimal() else None)
        return
    for folder in _folders(source):
        if (folder / MANIFEST).is_file():
            yield _found(folder, None) if named is None else _found(folder, named, folder.name)
            continue
        for version in _folders(folder):
            if (version / MANIFEST).is_file():
                yield _found(version, folder.name, version.name)


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(one for one in path.iterdir() if not one.name.startswith(".") and one.is_dir() and _can_be_named(one))
    except OSError:
        return []


def is_text(name: str) -> bool:
    """Whether a name from the file system is UTF-8 there, so that a client can say it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _can_be_named(folder: Path) -> bool:
    named = is_text(folder.name)
    if not named:
        _say_unnamed(folder)
    return named


@cache
def _say_unnamed(folder: Path) -> None:
    """Once, however often the directory is looked at."""
    LOG.warning("%a is not served: the folder's name is not UTF-8, so that no client can name it; rename it", str(folder))


def _found(path: Path, name: str | None, version: str | None = None) -> FoundBundle:
    try:
        stat = (path / MANIFEST).stat()
        stamp = stat.st_ino, stat.st_mtime_ns
        said = msgspec.json.decode((path / MANIFEST).read_bytes(), type=_ManifestNames)
    except (OSError, ValueError, RecursionError):
        stamp, said = (0, 0), _ManifestNames(path.name.removesuffix(".bundle"), "1")
    return FoundBundle(name or said.name, version or said.version, path, stamp)
