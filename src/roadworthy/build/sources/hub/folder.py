"""What a folder of transformers or timm states, read without the library: architecture, files of weights, names of classes."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from roadworthy.build.sources import source_file
from roadworthy.build.sources.parsers import safetensors, untrusted
from roadworthy.build.sources.parsers.torch_save import TorchSave
from roadworthy.build.sources.static_facts import NO_MODEL
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.types import TensorSpec

Library: TypeAlias = Literal["transformers", "timm"]

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Best first, as both libraries choose."""
INDEX = ".index.json"
NOT_OURS = ("saved_model.pb",)
"""A folder with one of these is of another source format."""
EXTRA: dict[Library, str] = {"transformers": "huggingface", "timm": "timm"}
CODE = ("auto_map", "custom_pipelines")
"""Where a configuration names code of its own."""
OUTSIDE = "checkpoint_path"
"""timm's argument for a file of weights beside those that were inspected; transformers hands it on from ``model_args``."""
ATTENTION = ("eager", "sdpa")
"""The implementations of attention that are part of torch; others are packages, or code that the library fetches."""
CLASS = re.compile(r"[A-Za-z]\w*")
TIMM_MODEL = re.compile(r"[a-z0-9_]+(\.[\w\-]+)?")
UNNAMED = re.compile(r"LABEL_\d+")
"""The names that transformers gives to classes without any."""


@dataclass(frozen=True)
class HubFolder:
    """A folder with its parsed ``config.json``. ``library`` is the one that its models are of."""

    path: Path
    config: Mapping[str, Any]
    library: Library

    @property
    def architecture(self) -> str:
        """The class of transformers, or timm's name of the model; empty where the configuration states none that can be one."""
        if self.library == "timm":
            found, form = self.config.get("architecture"), TIMM_MODEL
        else:
            several = self.config.get("architectures")
            found, form = several[0] if isinstance(several, list) and several else None, CLASS
        return found if isinstance(found, str) and form.fullmatch(found) else ""

    @cached_property
    def weights(self) -> tuple[Path, ...]:
        """The files of the weights, all of one kind; empty where there are none.

        Raises SourceUnreadable where an index is damaged, names a file outside the folder, or one that is not there.
        """
        first = next((self.path / name for name in WEIGHTS if (self.path / name).is_file()), None)
        if first is None:
            return ()
        if not first.name.endswith(INDEX):
            return (first,)
        by_tensor = untrusted.json(first.read_bytes(), str(first))
        names = by_tensor.get("weight_map") if isinstance(by_tensor, dict) else None
        if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
            raise SourceUnreadable(f"{first} is not an index of weights: it has no weight_map; fetch it again")
        files = sorted(set(names.values()))
        if stray := [name for name in files if Path(name).name != name]:
            raise SourceUnreadable(f"{first} names a file outside its folder: {untrusted.shown(stray[0])}")
        if missing := [name for name in files if not (self.path / name).is_file()]:
            raise SourceUnreadable(f"{first} names {untrusted.shown(missing[0])}, which is not beside it; fetch the whole folder")
        return tuple(self.path / name for name in files)

    @cached_property
    def pickles(self) -> tuple[TorchSave, ...]:
        """What is in the files that torch.save wrote."""
        found = []
        for path in self.weights:
            if path.suffix != ".safetensors":
                if (saved := source_file.read(path).pickle) is None:
                    raise SourceUnreadable(f"{path} was not written by torch.save; fetch it again")
                found.append(saved)
        return tuple(found)

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The weights, file by file."""
        safe = [spec for path in self.weights if path.suffix == ".safetensors" for spec in safetensors.read(path)]
        return (*safe, *(spec for saved in self.pickles for spec in saved.tensors))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes in the order of the outputs; empty where the configuration names none, or not all."""
        own = self.config.get("pretrained_cfg")
        return labels_in({**(own if isinstance(own, Mapping) else {}), **self.config})

    @property
    def obstacle(self) -> str:
        """Why it cannot be deployed: the predicate of a sentence; empty where nothing in the folder says so."""
        instead = "build the model in a file of your own and give it with the weights: --arch FILE.py:CALLABLE"
        if code := next(_named(self.config, CODE), ""):
            return f"names code of its own ({code}), which is never run; {instead}"
        if other := next(_named(self.config, (OUTSIDE,)), ""):
            return f"names a file of weights of its own ({other}), which is never read; remove it from {CONFIG}"
        if not self.architecture:
            field = "architecture" if self.library == "timm" else "architectures"
            return f"does not state in {CONFIG} which model it is ({field}); {instead}"
        if not self.weights:
            return f"holds no weights of PyTorch; known are {', '.join(WEIGHTS)}: save it again with save_pretrained"
        if "quantization_config" in self.config:
            return "holds quantised weights (quantization_config), which need a library of their own; save the float32 model"
        attention = next((self.config[key] for key in ("attn_implementation", "_attn_implementation") if self.config.get(key)), "eager")
        if attention not in ATTENTION:
            return f"asks for the attention {untrusted.shown(str(attention))!r} ({CONFIG}), which is not torch's own; set eager there"
        return ""

    @property
    def not_installed(self) -> str:
        """What to install before it can be deployed: the predicate of a sentence; empty where the library is there."""
        if importlib.util.find_spec(self.library) is not None:
            return ""
        return f"is a model of {self.library}, which is not installed: pip install 'roadworthy[{EXTRA[self.library]}]'"


def read(path: Path) -> HubFolder | None:
    """The folder at ``path``; None where it is none of these."""
    config = path / CONFIG
    if not config.is_file() or any((path / name).exists() for name in NOT_OURS):
        return None
    try:
        found = untrusted.json_object(config)
    except SourceUnreadable:
        return None
    if isinstance(found.get("architecture"), str) and "model_type" not in found:
        return HubFolder(path, found, "timm")
    return HubFolder(path, found, "transformers") if "architectures" in found or "model_type" in found else None


def weights_alone(path: Path) -> str:
    """Why the file of weights at ``path`` needs an architecture, and where there is one: in the folder of a hub's model."""
    found = read(path.parent)
    try:
        known = found is not None and not found.obstacle and path in found.weights
    except SourceUnreadable:
        # What is wrong with the folder is not wrong with this file.
        known = False
    if not known:
        return NO_MODEL
    why, _, instead = NO_MODEL.partition("; ")
    return f"{why}; give its folder {path.parent}, whose {CONFIG} says the model, or {instead}"


def labels_in(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes that a configuration states in the order of the outputs.

    Empty where it states none or not all, a single one (that of a number), or those that transformers makes up.
    """
    found = config.get("id2label") or config.get("label_names")
    if isinstance(found, Mapping):
        try:
            found = [name for _, name in sorted((int(index), name) for index, name in found.items())] if _counted(found) else None
        except (TypeError, ValueError):
            return ()
    if not isinstance(found, list | tuple) or len(found) < 2 or not all(isinstance(name, str) and name for name in found):
        return ()
    return () if all(map(UNNAMED.fullmatch, found)) else tuple(found)


def _counted(found: Mapping[Any, Any]) -> bool:
    return sorted(int(index) for index in found) == list(range(len(found)))


def _named(config: Any, keys: Collection[str]) -> Iterator[str]:
    """What a configuration, or one inside it, has under one of ``keys``."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            yield from (f"{key} {untrusted.shown(str(item))}" for key, item in value.items() if key in keys and item)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
