"""A live PyTorch module as a file: how the original itself is kept, so that any process can run it again.

The file is ours, written from a source that was inspected or trusted before; reading it runs code, so it never
comes from anywhere else. Three forms, by what the module is: a pickle (classes by value, so that an architecture
file is not needed again), a TorchScript archive, an ExportedProgram. What ``load`` of this file gives always takes
its tensors by position, in the signature's order, and gives a flat tuple of tensors in the signature's order.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from roadworthy.core import codec
from roadworthy.core.errors import SourceError
from roadworthy.core.text import first_line
from roadworthy.frameworks.pickling import by_value
from roadworthy.frameworks.torch import traversal
from roadworthy.frameworks.torch.calling import Arguments, Leaf, TorchCall, adapt
from roadworthy.frameworks.torch.pickles import Pickler
from roadworthy.frameworks.torch.script import quiet

PICKLE, SCRIPT, EXPORTED = "module.pt", "module.ts", "module.pt2"
CALL = "call.json"
_PICKLING = SimpleNamespace(Pickler=Pickler, __name__="cloudpickle")


@dataclass(frozen=True)
class _StoredCall:
    """A TorchCall in an archive. The tree of a program's arguments is the program's own, and empty here."""

    tree: str
    leaves: tuple[Leaf, ...]
    outputs: tuple[str, ...]
    plain: bool


def save(module: Any, directory: Path, *, program: Any = None, call: TorchCall | None = None) -> Path:
    """Write an nn.Module into ``directory``; the file's path.

    With ``call``, ``module`` is the bare one, to be adapted; without, it follows the convention already. A
    ScriptModule is kept as a TorchScript archive; ``program`` is the ExportedProgram that the module came from, kept
    instead of it. Raises SourceError for a module that cannot be pickled.
    """
    if program is not None:
        torch.export.save(program, directory / EXPORTED, extra_files={CALL: _stored(call, tree=False) if call else ""})
        return directory / EXPORTED
    if isinstance(module, torch.jit.ScriptModule):
        with quiet():
            torch.jit.save(module, str(directory / SCRIPT), _extra_files={CALL: _stored(call, tree=True) if call else ""})
        return directory / SCRIPT
    try:
        with by_value():
            torch.save(adapt(module, call) if call else module, directory / PICKLE, pickle_module=_PICKLING)
    except OSError:
        raise
    except Exception as problem:
        raise SourceError(
            f"{type(module).__name__} cannot be written to a file: {first_line(problem)}; an attribute of it "
            "holds something that only lives in its own process (a lock, an open file, a connection)",
            detail=repr(problem),
        ) from problem
    return directory / PICKLE


def load(path: Path) -> torch.nn.Module:
    """The module of a file that ``save`` wrote, on the CPU."""
    extra: dict[str, Any] = {CALL: ""}
    if path.name == EXPORTED:
        program = torch.export.load(path, extra_files=extra)
        module, tree = inference_module(program), program.call_spec.in_spec
    elif path.name == SCRIPT:
        with quiet():
            module, tree = torch.jit.load(str(path), map_location="cpu", _extra_files=extra), None
    else:
        module = torch.load(path, map_location="cpu", weights_only=False)
        _name_modules(module)
        return module
    return adapt(module, _call(extra[CALL], tree)) if extra[CALL] else module


def inference_module(program: Any) -> torch.nn.Module:
    """The module of an ExportedProgram. torch refuses eval() here, the graph being what it is; the flag alone would say that it trains."""
    module: torch.nn.Module = program.module()
    for part in traversal.parts(module):
        part.training = False
    return module


def _stored(call: TorchCall, *, tree: bool) -> str:
    leaves, structure = pytree.tree_flatten((call.arguments.positional, dict(call.arguments.keywords)))
    stored = _StoredCall(pytree.treespec_dumps(structure) if tree else "", tuple(leaves), call.outputs, call.plain)
    return codec.to_json(stored).decode()


def _call(text: str | bytes, tree: Any) -> TorchCall:
    stored = codec.from_json(_StoredCall, text.encode() if isinstance(text, str) else text)
    positional, keywords = pytree.tree_unflatten(stored.leaves, pytree.treespec_loads(stored.tree) if stored.tree else tree)
    return TorchCall(Arguments(positional, keywords), stored.outputs, stored.plain)


def _name_modules(module: torch.nn.Module) -> None:
    """Give functions that came by value a module to live in: torch.export looks globals up by the module's name, and imports it.

    ``__main__`` is another program here than the one that wrote the file, so what came from it is renamed.
    """
    waiting: list[Any] = list({type(part) for part in traversal.parts(module)})
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
