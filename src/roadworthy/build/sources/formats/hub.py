"""A folder of Hugging Face's transformers or of timm: ``config.json`` says the architecture, files beside it hold the weights."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.sources.hub import folder
from roadworthy.build.sources.hub.folder import HubFolder
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers.untrusted import listed, shown
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import Refusal, StaticFacts
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.stages import Source

KIND = "hub"
FRAMEWORK = "torch"
SUFFIXES = ()


def sniff(file: SourceFile) -> bool:
    """A directory whose ``config.json`` is of one of the libraries."""
    return file.path.is_dir() and folder.read(file.path) is not None


def inspect(file: SourceFile) -> StaticFacts:
    """The architecture's name and the tensors; neither library is imported, and no code in the folder."""
    found = _read(file.path)
    saved = found.pickles
    unsafe = tuple(name for one in saved for name in one.unsafe)
    why = f"asks for code beside its weights when it is read: {listed(unsafe)}"
    return StaticFacts(
        found.tensors,
        executes=tuple(name for one in saved for name in one.code),
        notes=tuple(_notes(found)),
        unsupported=found.obstacle,
        not_installed=found.not_installed,
        refusal=Refusal(why, "save it again with save_pretrained, which writes model.safetensors") if unsafe else None,
        labels=found.labels,
    )


def open(source: Source) -> Opened:
    """The model that the library builds, with the weights in it; see ``hub.transformers_model.read`` and ``hub.timm_model.read``."""
    found = _read(source.path)
    if found.library == "timm":
        from roadworthy.build.sources.hub import timm_model

        return timm_model.read(found, source)
    from roadworthy.build.sources.hub import transformers_model

    return transformers_model.read(found, source)


def locate(path: Path) -> Path | None:
    """The folder of the ``config.json`` that ``path`` names. A file of weights stays one: ``--arch`` may have a meaning for it."""
    return path.parent if path.name == folder.CONFIG and folder.read(path.parent) is not None else None


def _read(path: Path) -> HubFolder:
    found = folder.read(path)
    if found is None:
        raise SourceUnreadable(f"{path / folder.CONFIG} is not a configuration of transformers or timm")
    return found


def _notes(found: HubFolder) -> list[str]:
    notes = [f"a model of {found.library}: {found.architecture or 'of no class that is named'}"]
    if found.weights:
        notes.append(f"weights: {listed(tuple(path.name for path in found.weights))}")
    if found.labels:
        notes.append(f"{len(found.labels)} classes: {', '.join(map(shown, found.labels[:3]))}{', ...' if len(found.labels) > 3 else ''}")
    if code := sorted(path.name for path in found.path.glob("*.py")):
        notes.append(f"code that is never run: {listed(tuple(map(shown, code)))}")
    return notes
