"""Preprocessing of Hugging Face's transformers: ``preprocessor_config.json``, ``processor_config.json``, or a live image processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.huggingface import steps
from roadworthy.build.preprocessing.huggingface.fields import KIND_FIELDS, Backend, Fields
from roadworthy.build.sources.parsers import untrusted
from roadworthy.core.errors import DataError, SourceUnreadable
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import Layout

PROCESSOR, IMAGES, MODEL = "processor_config.json", "preprocessor_config.json", "config.json"
NESTED = "image_processor"
SOUND = "sampling_rate"
DIFFER = "transformers' two backends give pixels that differ by up to 2 levels"
NAMED = {
    "pillow": "the pixels are those of transformers' processors for Pillow",
    "torch": "the pixels are those of transformers' processors for torchvision's tensors",
}


def of_path(path: Path, layout: Layout) -> Found | None:
    """A file of an image processor, or a folder that holds one."""
    if path.is_dir():
        return _of_folder(path, layout)
    if path.suffix != ".json":
        return None
    values = _json(path)
    found = values.get(NESTED, values)
    # A feature extractor of sound has a file of the same name.
    if not isinstance(found, Mapping) or SOUND in found:
        return None
    if path.name not in (PROCESSOR, IMAGES) and not any(field in found for field in KIND_FIELDS):
        return None
    return _read(found, path.name, path.parent, layout)


def of_object(value: Any, layout: Layout) -> Found | None:
    """A live image processor, or a processor that has one.

    Raises DataError for a class that is not transformers' own: what its methods do is not known.
    """
    roots = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if "transformers" not in roots:
        return None
    inner = getattr(value, NESTED, None)
    value = value if inner is None else inner
    if not any(base.__module__ == "transformers.image_processing_base" for base in type(value).__mro__):
        return None
    name = type(value).__name__
    if not type(value).__module__.startswith("transformers."):
        raise DataError(f"{name} is a class of your own, and what it changes is not known; write the steps as a TOML file")
    fields = Fields({**value.to_dict(), KIND_FIELDS[0]: name}, name)
    backend: Backend = "torch" if getattr(value, "backend", "") == "torchvision" else "pillow"
    return _found(fields, backend, (Note(f"{NAMED[backend]}, by the class {name}"),), f"a live {name} of transformers", layout)


def on_model(model: Any, layout: Layout) -> Found | None:
    """The image processor in the folder that a live model of transformers was loaded from."""
    if not any(base.__module__ == "transformers.modeling_utils" for base in type(model).__mro__):
        return None
    folder = getattr(model, "name_or_path", "")
    return _of_folder(Path(folder), layout) if folder and Path(folder).is_dir() else None


def beside(source: Source, layout: Layout) -> Found | None:
    """The image processor in the folder of the model."""
    return _of_folder(source.path if source.path.is_dir() else source.path.parent, layout)


def _of_folder(folder: Path, layout: Layout) -> Found | None:
    nested = _json(folder / PROCESSOR).get(NESTED) if (folder / PROCESSOR).is_file() else None
    if isinstance(nested, Mapping):
        return _read(nested, PROCESSOR, folder, layout)
    if not (folder / IMAGES).is_file():
        return None
    values = _json(folder / IMAGES)
    return None if SOUND in values else _read(values, IMAGES, folder, layout)


def _read(values: Mapping[str, Any], name: str, folder: Path, layout: Layout) -> Found:
    model = _json(folder / MODEL) if (folder / MODEL).is_file() else {}
    fields = Fields(values, name, str(model.get("model_type", "")))
    backend, note = _backend(fields, str(model.get("transformers_version", "")))
    return _found(fields, backend, (note,), f"{name} ({fields.name})", layout)


def _found(fields: Fields, backend: Backend, notes: tuple[Note, ...], origin: str, layout: Layout) -> Found:
    image, further = steps.read(fields, backend, layout)
    contract = Contract(image)
    contract.check()
    return Found(contract, origin, (*notes, *further))


def _backend(fields: Fields, version: str) -> tuple[Backend, Note]:
    """Whose pixels the model was trained on, as far as the files say it: the class's name, the version that wrote them, old fields."""
    if fields.suffix:
        backend: Backend = "torch" if fields.suffix == "Fast" else "pillow"
        return backend, Note(f"{NAMED[backend]}, by the class {fields.name}{fields.suffix}; {DIFFER}")
    own = str(fields.values.get("transformers_version") or "")
    if (major := (own or version).partition(".")[0]).isdecimal():
        backend = "torch" if int(major) >= 5 else "pillow"
        where = fields.what if own else MODEL
        return backend, Note(f"{NAMED[backend]}, the default of version {own or version}, which wrote {where}; {DIFFER}")
    if fields.values.get("feature_extractor_type") or any(value is None for value in fields.values.values()):
        return "pillow", Note(f"{NAMED['pillow']}, by fields of {fields.what} that version 4 wrote; {DIFFER}")
    said = f"{fields.what} does not say which version wrote it: {NAMED['pillow']}, the default of version 4"
    return "pillow", Note(f'{said}; {DIFFER}: for version 5\'s, write a TOML file with like = "torch" under [image.resize]', warning=True)


def _json(path: Path) -> dict[str, Any]:
    try:
        return untrusted.json_object(path)
    except SourceUnreadable as problem:
        raise DataError(problem.message) from None
