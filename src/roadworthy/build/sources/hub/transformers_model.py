"""A folder of transformers: the class that its configuration names, with the weights of its files."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from roadworthy.build.sources.hub import offline, tensors
from roadworthy.build.sources.hub.folder import HubFolder
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers.untrusted import listed
from roadworthy.core.errors import ArchitectureMismatch, BackendMissing, SourceError
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line
from roadworthy.core.types import BATCH, TensorSpec

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
TEXT = ("input_ids", "attention_mask")
"""What a model of texts takes; its other inputs follow from these where they are left out."""
COUNTER = "num_batches_tracked"


def read(folder: HubFolder, source: Source) -> Opened:
    """The model in float32 and in inference mode.

    Raises SourceError for a class that this version of transformers does not have or cannot build, ArchitectureMismatch where the weights
    are not exactly those of the class: transformers itself makes missing ones up.
    """
    offline.prepare()
    try:
        import transformers
    except ImportError as problem:
        raise BackendMissing(f"{source.path} {folder.not_installed or f'needs transformers: {first_line(problem)}'}") from problem
    named: Any = getattr(transformers, folder.architecture, None)
    if not _is_model(named, transformers.PreTrainedModel):
        raise SourceError(f"{source.path} is a {folder.architecture}, which transformers {transformers.__version__} does not have")
    held = tensors.read(folder, source)
    try:
        config = named.config_class.from_dict(dict(folder.config))
        module, found = named.from_pretrained(
            None, config=config, state_dict=dict(held), dtype=torch.float32, output_loading_info=True, local_files_only=True,
            ignore_mismatched_sizes=True,
        )  # fmt: skip
    except Exception as problem:
        said = first_line(problem)
        raise SourceError(
            f"{source.path}: transformers {transformers.__version__} cannot build it: {said}", detail=repr(problem)
        ) from problem
    _refuse_mismatch(folder, found)
    kinds = sorted({str(one.dtype).removeprefix("torch.") for one in held.values() if one.is_floating_point()} - {"float32"})
    notes = (f"weights in {', '.join(kinds)} were made float32",) if kinds else ()
    proof = f"the {len(held)} tensors of the files are those of {folder.architecture}, and none of its tensors is missing in them"
    return Opened(module, () if source.inputs else _inputs(module, folder), proofs=(proof,), notes=notes)


def _is_model(named: Any, base: type) -> bool:
    return isinstance(named, type) and issubclass(named, base) and getattr(named, "config_class", None) is not None


def _refuse_mismatch(folder: HubFolder, found: Mapping[str, Iterable[Any]]) -> None:
    missing = sorted(name for name in found["missing_keys"] if not name.endswith(COUNTER))
    unexpected = sorted(found["unexpected_keys"])
    other = sorted(str(one[0] if isinstance(one, tuple) else one) for one in found["mismatched_keys"])
    parts = [
        f"{what}: {listed(tuple(names))}"
        for what, names in (("missing in the files", missing), ("unexpected in the files", unexpected), ("of another shape", other))
        if names
    ]
    if parts:
        raise ArchitectureMismatch(
            f"the weights of {folder.path} do not fit {folder.architecture}, the class that config.json names; {'; '.join(parts)}; "
            "name the class that was trained under architectures there"
        )


def _inputs(module: Any, folder: HubFolder) -> tuple[TensorSpec, ...]:
    """What the model takes, as far as its configuration says it: nothing where the image processor decides the size."""
    main, taken = module.main_input_name, inspect.signature(module.forward).parameters
    if main == "pixel_values" and main in taken:
        return _pixels(module.config, folder)
    if main == TEXT[0]:
        return tuple(TensorSpec(name, "int64", (BATCH, "sequence")) for name in TEXT if name in taken)
    return ()


def _pixels(config: Any, folder: HubFolder) -> tuple[TensorSpec, ...]:
    channels = getattr(config, "num_channels", 3)
    size = getattr(config, "image_size", None)
    if isinstance(size, int):
        size = (size, size)
    if not isinstance(size, list | tuple) or len(size) != 2 or any((folder.path / name).is_file() for name in PROCESSORS):
        return ()
    return (TensorSpec("pixel_values", "float32", (BATCH, channels, *size)),)
