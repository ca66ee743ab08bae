"""TorchServe's model archive, packed or unpacked: it holds a model file of another format, which is deployed as that."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.sources import mar_archive
from roadworthy.build.sources.holding import HeldModel, _tar_archive
from roadworthy.build.sources.hub import folder as hub
from roadworthy.build.sources.mar_archive import FOLDER, MANIFEST, SMALL, MarArchive
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.core.errors import SourceError, SourceUnreadable

KIND = "mar"
BUNDLE = "bundle/manifest.json"
"""What lies in an archive that Roadworthy exported."""


def sniff(file: SourceFile) -> bool:
    """MAR-INF/MANIFEST.json in a zip archive, a tar archive or a folder."""
    # A folder of a hub's model is deployed as that, whatever else lies in it.
    if (file.path / FOLDER / MANIFEST).is_file():
        return hub.read(file.path) is None
    return f"{FOLDER}/{MANIFEST}" in file.members or _in_tar(file)


def unpack(path: Path, to: Path) -> HeldModel:
    """The model that MANIFEST.json names. The handler is named and never run; the model's file runs with ``--trust`` alone."""
    root = path if path.is_dir() else _unpacked(path, to)
    found = mar_archive.read(root)
    if found is None:
        raise SourceUnreadable(f"{path} has no {FOLDER}/{MANIFEST}")
    if not found.weights and (root / BUNDLE).is_file():
        raise SourceError(f"{path} holds a bundle of Roadworthy, which is deployed already: unpack it and serve its folder bundle")
    if not found.weights:
        raise SourceError(f"{path} is a TorchServe archive without a model file: deploy the model that its handler {found.handler} loads")
    if stray := [name for name in (found.weights, found.model_file) if name and not _inside(root / name, root)]:
        raise SourceUnreadable(f"{path}: {stray[0]} is a link that leads out of the archive")
    arch, no_arch = _architecture(found, root, path)
    code = f" (its file {found.handler_file} is code)" if found.handler_file else ""
    notes = (f"{path.name} is a TorchServe archive of {found.weights}; its handler {found.handler}{code} is never run",)
    files = (root / FOLDER / MANIFEST,) if path.is_dir() else (path,)
    extra = (root / found.model_file,) if found.model_file else ()
    return HeldModel(root / found.weights, f"{found.weights} in {path}", (*files, *extra), notes, found.model_file, arch, no_arch)


def _in_tar(file: SourceFile) -> bool:
    if not file.head.startswith(_tar_archive.GZIP):
        return False
    try:
        return f"{FOLDER}/{MANIFEST}" in _tar_archive.names(file.path)
    except SourceUnreadable:
        # Any other file that gzip has packed; one with the name that archives have is told why it is not read.
        if file.path.name.endswith((".mar", ".tar.gz", ".tgz")):
            raise
        return False


def _unpacked(path: Path, to: Path) -> Path:
    root = to / path.name
    with open(path, "rb") as file:
        packed_by_gzip = file.read(2) == _tar_archive.GZIP
    if packed_by_gzip:
        _tar_archive.unpack(path, root)
    else:
        with Archive(path) as archive:
            archive.unpack(root)
    return root


def _inside(file: Path, root: Path) -> bool:
    return file.resolve().is_relative_to(root.resolve())


def _architecture(found: MarArchive, root: Path, path: Path) -> tuple[str, str]:
    """The class that the archive's own code defines, as ``--arch`` names one; or why none is clear."""
    if not found.model_file:
        return "", ""
    file = root / found.model_file
    if file.stat().st_size > SMALL:
        raise SourceUnreadable(f"{path}: {found.model_file} is larger than the {SMALL} bytes that are read")
    classes = mar_archive.model_classes(file.read_bytes())
    if len(classes) == 1:
        return f"{file}:{classes[0]}", ""
    which = ", ".join(classes) or "none"
    return "", f"builds its model by {found.model_file}, and which class of it is the model is not clear ({which}); name it"
