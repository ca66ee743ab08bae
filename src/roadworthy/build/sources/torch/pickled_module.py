"""A pickled module. Reading it runs code from the file, with the user's permission, in a child process that holds nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
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

DEEP = 4


def read(source: Source) -> Opened:
    """The module in the file; where it holds weights alone, the architecture of ``--arch`` with these weights."""
    held = unpickle(source)
    modules = dict(_modules(held, "", 0))
    if modules:
        place = _chosen(modules, source)
        module = modules[place]
        if any(tensor.device.type != "cpu" for tensor in traversal.tensors(module)):
            module = module.to("cpu")
        return Opened(module, notes=_taken(place, modules))
    if source.arch is None:
        raise UsageError(
            f"{source.path} holds no module, only a {type(held).__name__}; name the code that builds it: --arch FILE.py:CALLABLE"
        )
    module = user_code.build(source.arch)
    return Opened(module, notes=weights.fill(module, held, source.path, source.weights))


def _modules(held: object, place: str, depth: int) -> Iterator[tuple[str, Any]]:
    """The outermost modules in ``held``, each with the dotted keys that lead to it. A loss is not a model."""
    if isinstance(held, torch.nn.Module):
        if not isinstance(held, torch.nn.modules.loss._Loss):
            yield place, held
    elif isinstance(held, Mapping | list | tuple) and depth < DEEP:
        for key, item in held.items() if isinstance(held, Mapping) else enumerate(held):
            yield from _modules(item, f"{place}.{key}" if place else str(key), depth + 1)


def _chosen(modules: Mapping[str, Any], source: Source) -> str:
    """The place that --weights names, or that of the one model that is not for training alone; UsageError where there are several."""
    if source.weights and source.weights not in modules:
        raise UsageError(f"{source.path} holds no model in {source.weights!r}; it holds models in {', '.join(map(repr, modules))}")
    trained = [place for place in modules if not weights.of_training(f"{place}.")] or list(modules)
    if not source.weights and len(trained) > 1:
        raise UsageError(
            f"{source.path} holds {len(trained)} models: {', '.join(map(repr, trained))}; say which one to deploy, for example "
            f"--weights {trained[0]}"
        )
    return source.weights or trained[0]


def _taken(place: str, modules: Mapping[str, Any]) -> tuple[str, ...]:
    others = [other for other in modules if other != place]
    if not others:
        return (f"the model was taken from {place!r}",) if place else ()
    return (f"the model was taken from {place!r}; the file also has {', '.join(map(repr, others))}: --weights {others[0]} takes that",)


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
