"""The weights of a folder of transformers or timm as tensors on the CPU, read without running anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from roadworthy.build.sources import source_file
from roadworthy.build.sources.hub.folder import HubFolder
from roadworthy.build.sources.parsers import safetensors
from roadworthy.build.sources.torch import pickled_module, state_dict, weight_sets
from roadworthy.core.errors import SourceRefused, SourceUnreadable
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line


def read(folder: HubFolder, source: Source) -> dict[str, Any]:
    """Every tensor by its name, of all files.

    Raises SourceUnreadable for a damaged file, SourceRefused for a pickle that asks for code, unless ``source`` is trusted.
    """
    found: dict[str, Any] = {}
    for path in folder.weights:
        own = _safe(path) if path.suffix == ".safetensors" else _pickled(replace(source, path=path))
        if again := sorted(found.keys() & own.keys()):
            raise SourceUnreadable(f"{path} holds {again[0]!r}, which another file of {folder.path} holds too; fetch the folder again")
        found |= own
    return found


def _safe(path: Path) -> dict[str, Any]:
    safetensors.read(path)
    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, OSError, ValueError, KeyError) as problem:
        raise SourceUnreadable(f"{path} is damaged ({first_line(problem)}); fetch it again") from problem


def _pickled(source: Source) -> dict[str, Any]:
    scan = source_file.read(source.path).pickle
    if scan is None:
        raise SourceUnreadable(f"{source.path} was not written by torch.save; fetch it again")
    try:
        held = state_dict.weights_only(source.path, scan)
    except SourceRefused:
        if not source.trust:
            raise
        held = pickled_module.unpickle(source)
    return {one.full: one.tensor for one in weight_sets.read(held).tensors}
