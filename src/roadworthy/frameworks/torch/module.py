"""A live PyTorch module as a file: how the original itself is kept, so that any process can run it again.

The file is ours, written from a source that was inspected or trusted before; reading it runs code, so it never
comes from anywhere else. Three forms, by what the module is: a pickle (classes by value, so that an architecture
file is not needed again), a TorchScript archive, an ExportedProgram. What ``load`` of this file gives always takes
its tensors by position, in the signature's order, and gives a flat tuple of tensors in the signature's order.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle
import torch
from torch import Tensor

from roadworthy.core import codec
from roadworthy.core.errors import SourceError
from roadworthy.frameworks.pickling import by_value

PICKLE, SCRIPT, EXPORTED = "module.pt", "module.ts", "module.pt2"
CALL = "call.json"


@dataclass(frozen=True)
class FixedArgument:
    """The argument at ``position`` of the original's call; ``number`` says that it takes Python's own number, and no tensor."""

    position: int
    dtype: str
    shape: tuple[int, ...]
    value: int | float | bool
    number: bool = False

    def argument(self) -> Any:
        """What the original is given. Of one element it is a literal, whose value an exporter knows."""
        if self.number:
            return self.value
        dtype = getattr(torch, self.dtype)
        return torch.full(self.shape, self.value, dtype=dtype) if self.shape else torch.tensor(self.value, dtype=dtype)


@dataclass(frozen=True)
class TorchCall:
    """How the original is called: ``keywords`` are the parameters its inputs go to (empty: by position), ``outputs`` the
    names of what is taken from its answer, in order; ``plain`` says that it gives one bare tensor for one. Inputs in ``fixed`` have the
    same value in every call.
    """

    keywords: tuple[str, ...]
    outputs: tuple[str, ...]
    plain: bool
    fixed: tuple[FixedArgument, ...] = ()


class _InferenceModule(torch.nn.Module):  # type: ignore[misc]
    """A module that was put into inference mode, and proven, before it came here: it stays in that mode."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module
        self.training = False

    def train(self, mode: bool = True) -> Any:
        return self


class OneTensorModule(_InferenceModule):
    """A module that gives one bare tensor for one; thin enough to be scripted."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.module(x),)


class AdaptedModule(_InferenceModule):
    """Any other module: tensors by position in, a flat tuple out. For torch.export its one parameter is the tuple of all tensors."""

    def __init__(self, module: Any, call: TorchCall) -> None:
        super().__init__(module)
        self.call = call

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        arguments = with_fixed(tensors, self.call.fixed)
        options = dict(zip(self.call.keywords, arguments, strict=True)) if self.call.keywords else {}
        named = dict(flatten(self.module(**options) if options else self.module(*arguments)))
        return tuple(named[name] for name in self.call.outputs)


def with_fixed(tensors: Sequence[Tensor], fixed: tuple[FixedArgument, ...]) -> list[Any]:
    """All arguments of the original's call, in order; ``fixed`` are in the order of their positions."""
    arguments: list[Any] = list(tensors)
    for one in fixed:
        arguments.insert(one.position, one.argument())
    return arguments


def adapt(module: Any, call: TorchCall) -> _InferenceModule:
    """``module`` behind the one calling convention of Roadworthy."""
    return OneTensorModule(module) if call.plain else AdaptedModule(module, call)


def flatten(answer: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in an answer with its name, in order: keys and fields as they are, a tuple's by number, inner ones dotted.

    A single tensor is "output", a tuple's are "output_0", "output_1", ...; what is not a tensor is left out.
    """
    if isinstance(answer, Tensor):
        yield name or "output", answer
    elif isinstance(answer, Mapping):
        for key, value in answer.items():
            yield from flatten(value, f"{name}.{key}" if name else str(key))
    elif isinstance(answer, tuple) and hasattr(answer, "_fields"):
        yield from flatten(dict(zip(answer._fields, answer, strict=True)), name)
    elif isinstance(answer, tuple | list):
        for number, value in enumerate(answer):
            yield from flatten(value, f"{name}.{number}" if name else f"output_{number}")
    elif dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        yield from flatten({field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}, name)


def save(module: Any, directory: Path, *, program: Any = None, call: TorchCall | None = None) -> Path:
    """Write an nn.Module into ``directory``; the file's path.

    With ``call``, ``module`` is the bare one, to be adapted; without, it follows the convention already. A
    ScriptModule is kept as a TorchScript archive; ``program`` is the ExportedProgram that the module came from, kept
    instead of it. Raises SourceError for a module that cannot be pickled.
    """
    extra = {CALL: codec.to_json(call).decode() if call else ""}
    if program is not None:
        torch.export.save(program, directory / EXPORTED, extra_files=extra)
        return directory / EXPORTED
    if isinstance(module, torch.jit.ScriptModule):
        with _quiet():
            torch.jit.save(module, str(directory / SCRIPT), _extra_files=extra)
        return directory / SCRIPT
    try:
        with by_value():
            torch.save(adapt(module, call) if call else module, directory / PICKLE, pickle_module=cloudpickle)
    except OSError:
        raise
    except Exception as problem:
        raise SourceError(
            f"{type(module).__name__} cannot be written to a file: {str(problem).partition(chr(10))[0]}; an attribute of it "
            "holds something that only lives in its own process (a lock, an open file, a connection)",
            detail=repr(problem),
        ) from problem
    return directory / PICKLE


def load(path: Path) -> torch.nn.Module:
    """The module of a file that ``save`` wrote, on the CPU."""
    extra = {CALL: ""}
    if path.name == EXPORTED:
        module = torch.export.load(path, extra_files=extra).module()
        # torch refuses eval() here, the graph being what it is; the flag alone would say that it trains.
        for part in module.modules():
            part.training = False
    elif path.name == SCRIPT:
        with _quiet():
            module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    else:
        module = torch.load(path, map_location="cpu", weights_only=False)
        _name_modules(module)
        return module
    if not extra[CALL]:
        return module
    said = extra[CALL]
    return adapt(module, codec.from_json(TorchCall, said.encode() if isinstance(said, str) else said))


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated.*", category=DeprecationWarning)
        yield


def _name_modules(module: torch.nn.Module) -> None:
    """Give functions that came by value a module to live in: torch.export looks globals up by the module's name, and imports it.

    ``__main__`` is another program here than the one that wrote the file, so what came from it is renamed.
    """
    waiting: list[Any] = list({type(part) for part in module.modules()})
    seen: set[int] = set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, type):
            waiting += [*vars(thing).values(), *thing.__bases__]
        elif isinstance(thing, staticmethod | classmethod):
            waiting.append(thing.__func__)
        elif isinstance(thing, FunctionType):
            owner = sys.modules.get(thing.__globals__.get("__name__", ""))
            if owner is not None and (owner.__name__ != "__main__" or vars(owner) is thing.__globals__):
                continue
            name = thing.__globals__["__name__"] = thing.__globals__.get("__name__", "__main__").replace("__main__", "__original__")
            home = sys.modules.setdefault(name, ModuleType(name))
            vars(home).update({"__file__": thing.__code__.co_filename} | thing.__globals__)
            waiting += [value for value in thing.__globals__.values() if isinstance(value, type | FunctionType)]
