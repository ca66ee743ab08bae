"""A pickled module. Reading it runs code from the file, with the user's permission, in a child process that holds nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from types import SimpleNamespace
from typing import IO, Any

import torch

from roadworthy.build.sources import user_code
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers.torch_save import MAGIC
from roadworthy.build.sources.torch import weights
from roadworthy.core.errors import SourceRefused, SourceUnreadable, UsageError
from roadworthy.core.isolation import confinement, usercode
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line
from roadworthy.frameworks.torch import traversal

PLACES = ("model", "net", "network", "module", "ema", "model_ema", "ema_model")


def read(source: Source) -> Opened:
    """The module in the file; where it holds weights alone, the architecture of ``--arch`` with these weights."""
    held = unpickle(source)
    places = [place for place in PLACES if isinstance(held, Mapping) and isinstance(held.get(place), torch.nn.Module)]
    if isinstance(held, torch.nn.Module) or places:
        module = held if isinstance(held, torch.nn.Module) else held[places[0]]
        if any(tensor.device.type != "cpu" for tensor in traversal.tensors(module)):
            module = module.to("cpu")
        return Opened(module, notes=(f"the model was taken from {places[0]!r}",) if places else ())
    if source.arch is None:
        raise UsageError(
            f"{source.path} holds no module, only a {type(held).__name__}; name the code that builds it: --arch FILE.py:CALLABLE"
        )
    module = user_code.build(source.arch)
    return Opened(module, notes=weights.fill(module, weights.find(held, source.path), source.path))


def unpickle(source: Source) -> Any:
    """The whole object in the file. Runs what the file asks for, so only for a trusted source."""
    if not source.trust:
        raise SourceRefused(f"{source.path} would run code when it is read; pass --trust if you know where it comes from")
    usercode.search(confinement.home())
    fallback = user_code.module(source.arch) if source.arch else None

    class Unpickler(pickle.Unpickler):
        # A model saved by a script has its classes in that script's __main__: they are looked for in --arch.
        def find_class(self, module: str, name: str) -> Any:
            try:
                return super().find_class(module, name)
            except (ImportError, AttributeError):
                if fallback is not None and hasattr(fallback, name):
                    return getattr(fallback, name)
                raise

    reader = SimpleNamespace(Unpickler=Unpickler, load=lambda file, **options: Unpickler(file, **options).load(), __name__="pickle")
    try:
        with usercode.running(source.path.name), open(source.path, "rb") as file:
            if _is_torchs(file):
                return torch.load(file, map_location="cpu", weights_only=False, pickle_module=reader)
            return Unpickler(file).load()
    except (ImportError, AttributeError) as problem:
        raise SourceUnreadable(
            f"{source.path} needs code that is not here: {first_line(problem)}; run where it can be imported, or name the file "
            "that defines it: --arch FILE.py:CLASS",
            detail=repr(problem),
        ) from problem
    except Exception as problem:
        raise SourceUnreadable(
            f"{source.path} cannot be unpickled: {first_line(problem)}{confinement.explained(problem)}", detail=repr(problem)
        ) from problem


def _is_torchs(file: IO[bytes]) -> bool:
    head = file.read(2 + len(MAGIC))
    file.seek(0)
    return head.startswith(b"PK") or head[2:] == MAGIC
