"""TorchServe's model archive, packed or unpacked: it holds a model file of another format, which is what is deployed."""

from __future__ import annotations

import shlex
from pathlib import Path

from roadworthy.build.sources import mar_archive
from roadworthy.build.sources.hub import folder as hub
from roadworthy.build.sources.mar_archive import FOLDER, MANIFEST, MarArchive
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.errors import SourceError
from roadworthy.core.stages import Source

KIND = "mar"
FRAMEWORK = "torch"
SUFFIXES = (".mar",)


def sniff(file: SourceFile) -> bool:
    """MAR-INF/MANIFEST.json in a zip archive or a folder."""
    # A folder of a hub's model is deployed as that, whatever else lies in it.
    unpacked = (file.path / FOLDER / MANIFEST).is_file() and hub.read(file.path) is None
    return f"{FOLDER}/{MANIFEST}" in file.members or unpacked


def inspect(file: SourceFile) -> StaticFacts:
    """Why it is not deployed itself, with the command that deploys what it holds."""
    found = mar_archive.read(file.path)
    assert found is not None
    return StaticFacts(unsupported=_instead(found))


def open(source: Source) -> Opened:
    """Always SourceError."""
    raise SourceError(f"{source.path} {inspect(SourceFile(source.path, b'')).unsupported}")


def _instead(archive: MarArchive) -> str:
    """What is inside, and how to deploy that: the predicate of a sentence."""
    code = f", its architecture {archive.model_file}" if archive.model_file else ""
    inside = f"is a TorchServe archive of {archive.weights or 'no model file'}{code} and the handler {archive.handler}"
    if not archive.weights:
        return f"{inside}; deploy the model that the handler loads"
    folder = archive.path if archive.path.is_dir() else Path(archive.path.stem)
    unpack = "" if archive.path.is_dir() else f"python -m zipfile -e {shlex.quote(str(archive.path))} {shlex.quote(str(folder))} && "
    deploy = f"roadworthy deploy {shlex.quote(str(folder / archive.weights))}"
    if archive.model_file:
        name = archive.classes[0] if len(archive.classes) == 1 else "CALLABLE"
        deploy += f" --arch {shlex.quote(f'{folder / archive.model_file}:{name}')}"
    deploy += f" -o {shlex.quote(f'{folder.name}.bundle')}"
    return (
        f"{inside}; deploy the model inside, beside which the preprocessing of TorchServe's own image handlers is found: {unpack}{deploy}"
    )
