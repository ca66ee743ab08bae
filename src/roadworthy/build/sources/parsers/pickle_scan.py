"""What a pickle states, without running it: its opcodes are followed, and each object that it asks for becomes an inert record."""

from __future__ import annotations

import _compat_pickle
import io
import pickletools
import struct
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Literal, cast

from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.text import first_line
from roadworthy.core.types import TensorSpec

STEPS = 5_000_000
"""Opcodes that are followed at most."""
DEEP = 200
"""How deep tensors are looked for."""
STORAGES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32", "Short": "int16",
    "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128", "QInt8": "qint8",
    "QUInt8": "quint8", "QInt32": "qint32",
}  # fmt: skip
WEIGHTS_ONLY = frozenset({
    "collections.OrderedDict", "collections.Counter", "torch.nn.parameter.Parameter", "torch.serialization._get_layout", "torch.Size",
    "torch.Tensor", "torch.device", "_codecs.encode", "builtins.bytearray", "__builtin__.bytearray", "builtins.set", "__builtin__.set",
    "builtins.complex", "__builtin__.complex", "torch._tensor._rebuild_from_type_v2", "torch.storage.UntypedStorage",
    "torch.storage.TypedStorage",
})  # fmt: skip
DTYPES = (
    "torch.float", "torch.bfloat", "torch.int", "torch.uint", "torch.bool", "torch.complex", "torch.qint", "torch.quint",
    "torch.per_tensor_", "torch.per_channel_", "torch._utils._rebuild_",
)  # fmt: skip

RUNNERS = frozenset({
    "os", "sys", "subprocess", "importlib", "runpy", "shutil", "socket", "ctypes", "pty", "pickle", "_pickle", "cloudpickle", "dill",
    "marshal", "code", "codeop", "types", "operator", "_operator", "functools", "webbrowser", "pdb", "timeit", "multiprocessing",
    "asyncio", "pip",
})  # fmt: skip
"""Modules whose functions run code, start processes or reach files. A name outside of them may be read as data, as it is never imported."""
VALUES = frozenset({
    "dict", "list", "tuple", "set", "frozenset", "object", "int", "float", "complex", "bool", "str", "bytes", "bytearray", "slice", "range",
})  # fmt: skip
"""The builtins that are data."""


@dataclass(frozen=True)
class Global:
    """A class or function that the pickle asks for by name."""

    name: str


@dataclass(eq=False)
class CallResult:
    """In place of what a call would have returned. ``state``, ``pairs`` and ``items`` are what was put into it afterwards."""

    function: Any
    arguments: Any
    state: Any = None
    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class PersistentId:
    """A reference to something outside the pickle: for torch, a tensor's bytes."""

    key: Any


@dataclass(frozen=True, eq=False)
class PickleScan:
    """A whole pickle: its root, and each global it asks for, in order."""

    root: Any
    globals: tuple[str, ...]

    @property
    def code(self) -> tuple[str, ...]:
        """The globals that weights alone never need."""
        return tuple(name for name in self.globals if not harmless(name))


def harmless(name: str) -> bool:
    """Whether torch's weights-only reader knows ``name`` as part of plain weights."""
    return name in WEIGHTS_ONLY or name.startswith(DTYPES) or (name.startswith("torch.") and name.removesuffix("Storage")[6:] in STORAGES)


def in_python_3(name: str) -> str:
    """The name today: protocol 2 of pickle, which ``torch.save`` writes, has the names of Python 2."""
    module, _, own = name.rpartition(".")
    return ".".join(_compat_pickle.NAME_MAPPING.get((module, own), (_compat_pickle.IMPORT_MAPPING.get(module, module), own)))


def runs_code(name: str) -> bool:
    """Whether ``name`` is something that a hostile pickle calls, and no class of data that trainers keep beside weights."""
    module, _, own = in_python_3(name).rpartition(".")
    return module.partition(".")[0] in RUNNERS or (module == "builtins" and own not in VALUES) or not module or " " in module


_MARK = object()
_BROKEN = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError, struct.error, RecursionError)


def walk(file: IO[bytes], what: str) -> PickleScan:
    """Follow one pickle from the position of ``file`` to its end; SourceUnreadable, naming ``what``, when it is broken."""
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            # An escape without a meaning in an old text opcode gives a warning that is of no use to the user.
            warnings.simplefilter("ignore")
            for step, (code, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], _Bounded(file)))):
                if step > STEPS:
                    raise SourceUnreadable(f"{what} is a pickle of more than {STEPS} opcodes, and no more are read")
                machine.step(code.name, argument)
        return PickleScan(machine.stack[-1], tuple(machine.globals))
    except _BROKEN as problem:
        raise SourceUnreadable(
            f"{what} is a pickle that is cut short or damaged ({first_line(problem, longest=120)}); fetch it again"
        ) from None


class _Bounded:
    """A file of which no more bytes are asked for than it has, whatever length a pickle claims."""

    def __init__(self, file: IO[bytes]) -> None:
        self.tell, self.readline, self._read = file.tell, file.readline, file.read
        at = file.tell()
        self._end = file.seek(0, io.SEEK_END)
        file.seek(at)

    def read(self, count: int) -> bytes:
        return self._read(min(count, self._end - self.tell()))


class _Machine:
    """The virtual machine of pickle, without imports and without calls."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[str, None] = {}

    def step(self, op: str, argument: Any) -> None:
        stack = self.stack
        if op in _NOTHING:
            return
        if op in _CONSTANTS:
            stack.append(_CONSTANTS[op]())
        elif op == "MARK":
            stack.append(_MARK)
        elif op in ("POP", "POP_MARK"):
            self._marked() if op == "POP_MARK" else stack.pop()
        elif op == "DUP":
            stack.append(stack[-1])
        elif op in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif op in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if op == "MEMOIZE" else int(argument)] = stack[-1]
        elif op in _BUILD:
            self._collect(op)
        elif op in _CALLS:
            self._call(op, argument)
        elif op in ("PERSID", "BINPERSID"):
            stack.append(PersistentId(argument if op == "PERSID" else stack.pop()))
        elif op.startswith("EXT"):
            stack.append(self._global(f"extension {argument}"))
        else:
            stack.append(argument)

    def _collect(self, op: str) -> None:
        stack = self.stack
        if op.startswith("TUPLE") and op != "TUPLE":
            count = int(op[-1])
            stack[-count:] = [tuple(stack[-count:])]
            return
        single = {"APPEND": 1, "SETITEM": 2}.get(op)
        items = self._marked() if single is None else [stack.pop(-number) for number in range(single, 0, -1)]
        if op in ("TUPLE", "LIST", "FROZENSET"):
            stack.append(tuple(items) if op == "TUPLE" else items)
        elif op == "DICT":
            stack.append(CallResult(Global("builtins.dict"), (), pairs=_pairs(items)))
        elif isinstance(stack[-1], CallResult):
            target = stack[-1].pairs if op.startswith("SETITEM") else stack[-1].items
            target.extend(_pairs(items) if op.startswith("SETITEM") else items)
        else:
            stack[-1].extend(items)

    def _call(self, op: str, argument: Any) -> None:
        stack = self.stack
        if op == "GLOBAL":
            stack.append(self._global(str(argument).replace(" ", ".", 1)))
        elif op == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            known = isinstance(name, str) and isinstance(module, str)
            stack.append(self._global(f"{module}.{name}" if known else "a name that is computed while it is read"))
        elif op == "INST":
            arguments = tuple(self._marked())
            stack.append(CallResult(self._global(str(argument).replace(" ", ".", 1)), arguments))
        elif op == "OBJ":
            function, *rest = self._marked()
            stack.append(CallResult(function, tuple(rest)))
        elif op == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], CallResult):
                stack[-1].state = state
        else:
            if op == "NEWOBJ_EX":
                stack.pop()
            arguments = stack.pop()
            stack.append(CallResult(stack.pop(), arguments))

    def _global(self, name: str) -> Global:
        module, dot, rest = name.partition(".")
        name = f"os.{rest}" if dot and module in ("posix", "nt") else name
        self.globals[name] = None
        return Global(name)

    def _marked(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark on the stack")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items


_NOTHING = frozenset({"PROTO", "FRAME", "STOP", "READONLY_BUFFER"})
_CONSTANTS: dict[str, Any] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list, "EMPTY_DICT": lambda: CallResult(Global("builtins.dict"), ()),
}  # fmt: skip
_BUILD = frozenset({
    "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "LIST", "DICT", "FROZENSET", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS",
})  # fmt: skip
_CALLS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"})


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))


Within = Literal["names", "numbers", "object"]
"""What lies around a tensor: dictionaries with names and lists alone, a dictionary with numbers for keys too, or an object of a class."""


@dataclass(frozen=True)
class FoundTensor:
    """A torch tensor with its dotted name; ``place`` is the dotted name of the dictionary or list that it is in."""

    spec: TensorSpec
    place: str
    within: Within


def tensors(root: Any) -> Iterator[FoundTensor]:
    """Every torch tensor below ``root``, in the order of the file."""
    waiting: list[tuple[str, str, Any, Within, int]] = [("", "", root, "names", 0)]
    seen: set[int] = set()
    while waiting:
        name, place, value, within, depth = waiting.pop()
        if isinstance(value, CallResult) and (spec := _tensor(name, value)):
            yield FoundTensor(spec, place, within)
            continue
        if not isinstance(value, CallResult | list | tuple) or id(value) in seen or depth > DEEP:
            continue
        seen.add(id(value))
        inside = reversed(list(_inside(value)))
        waiting.extend((_join(name, key), name, inner, max(within, kind, key=_ORDER.index), depth + 1) for key, inner, kind in inside)


_ORDER: tuple[Within, ...] = ("names", "numbers", "object")


def _inside(value: Any) -> Iterator[tuple[Any, Any, Within]]:
    if not isinstance(value, CallResult):
        yield from ((number, item, "names") for number, item in enumerate(value))
        return
    yield from ((key, item, "names" if isinstance(key, str) else "numbers") for key, item in value.pairs)
    yield from ((number, item, "names") for number, item in enumerate(value.items))
    # The state of an OrderedDict is its metadata; the state of any other object is its attributes.
    states = value.state if isinstance(value.state, tuple) else (value.state,)
    for state in states if value.function != Global("collections.OrderedDict") else ():
        if isinstance(state, CallResult):
            yield from (("" if key in ("_parameters", "_buffers", "_modules") else key, item, "object") for key, item in state.pairs)


def forms(root: Any, names: Iterable[str]) -> dict[str, Form]:
    """What the results of calling each of ``names`` are filled with, anywhere below ``root``."""
    found: dict[str, Form] = dict.fromkeys(names, "record")
    waiting, seen = [root], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, list | tuple):
            waiting.extend(value)
        elif isinstance(value, CallResult):
            name = value.function.name if isinstance(value.function, Global) else ""
            if name in found and (value.pairs or value.items):
                found[name] = "pairs" if value.pairs else "items"
            waiting.extend((value.function, value.arguments, value.state, *value.items))
            waiting.extend(item for pair in value.pairs for item in pair)
    return found


Form = Literal["record", "pairs", "items"]


def _join(name: str, key: Any) -> str:
    # The text of any other key could be exponentially longer than the pickle.
    own = str(key)[:200] if isinstance(key, str | int) else "?"
    return f"{name}.{own}" if name and own else name or own


def _tensor(name: str, value: CallResult) -> TensorSpec | None:
    function = value.function.name if isinstance(value.function, Global) else ""
    arguments = value.arguments if isinstance(value.arguments, tuple) else ()
    if function in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state") and arguments:
        return _tensor(name, arguments[0]) if isinstance(arguments[0], CallResult) else None
    if function not in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"):
        return None
    if len(arguments) < 4 or not isinstance(arguments[0], PersistentId) or not isinstance(arguments[2], tuple):
        return None
    key, shape = arguments[0].key, arguments[2]
    storage = key[1].name.rpartition(".")[2] if isinstance(key, tuple) and len(key) > 1 and isinstance(key[1], Global) else ""
    dtype = STORAGES.get(storage.removesuffix("Storage"), "unknown")
    if function.endswith("v3") and len(arguments) > 6 and isinstance(arguments[6], Global):
        dtype = arguments[6].name.removeprefix("torch.")
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
        return None
    return TensorSpec(name, dtype, shape)
