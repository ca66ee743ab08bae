"""A model as C++ that was generated for it: one shared library, with code for three levels of x86-64, which needs the C library alone."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from roadworthy.core import cpu_mask
from roadworthy.core.errors import EnvironmentFault, StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Arrays, Signature

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("numpy",)
FRAMEWORK = False
NATIVE = False

LIBRARY = "model.so"
PRECISIONS = ("fp32", "int8")


def load(path: Path, signature: Signature, plan: Plan) -> GeneratedSession:
    """The session of the library in ``path`` on ``plan.threads`` threads.

    Raises UsageError for another precision than fp32 and int8, EnvironmentFault where this CPU has none of the levels, StepFailed for a
    file that does not load.
    """
    if plan.precision not in PRECISIONS:
        raise UsageError(f"generated code computes in {' or '.join(PRECISIONS)}, and {plan.precision} was asked for; choose one of these")
    if plan.spin:
        raise UsageError("generated code has no choice of spinning threads; leave spin out of the plan")
    file = path / LIBRARY
    if not file.is_file():
        raise StepFailed(f"{path} holds no {LIBRARY}")
    try:
        library = ctypes.CDLL(str(file.absolute()))
        session = GeneratedSession(library, signature, plan.threads)
    except (OSError, AttributeError) as problem:
        raise StepFailed(f"the compiled library {file} does not load: {problem}") from problem
    library.model_error.restype = library.model_level.restype = ctypes.c_char_p
    if library.model_open_at(_highest().encode(), plan.threads):
        raise EnvironmentFault(f"the compiled library {file} cannot be used here: {_error(library)}")
    return session


def _highest() -> str:
    """The highest level of x86-64 that the mask of this process leaves; empty where there is no mask."""
    if not (name := cpu_mask.mask()):
        return ""
    features = cpu_mask.LEVELS[name].features
    return "v4" if "avx512bw" in features else "v3" if "avx2" in features else "v2"


def _error(library: ctypes.CDLL) -> str:
    words: bytes = library.model_error()
    return words.decode(errors="replace")


class GeneratedSession:
    """One library. The call leaves Python's lock; it reads the feeds and writes the answers where they are."""

    def __init__(self, library: ctypes.CDLL, signature: Signature, threads: int) -> None:
        self._library = library
        self._call = library.model_run_on
        self._call.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._threads = threads
        self._names = tuple(spec.name for spec in signature.inputs)
        self._outputs = tuple((spec.name, tuple(int(size) for size in spec.sample_shape)) for spec in signature.outputs)
        self._pointers = ctypes.c_void_p * len(self._names), ctypes.c_void_p * len(self._outputs)

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name, in memory of their own; raises StepFailed where there is no memory."""
        samples = len(feeds[self._names[0]])
        answers: dict[str, Array] = {name: np.empty((samples, *shape), np.float32) for name, shape in self._outputs}
        inputs = self._pointers[0](*[_address(feeds[name]) for name in self._names])
        outputs = self._pointers[1](*map(_address, answers.values()))
        if self._call(inputs, outputs, samples, self._threads):
            raise StepFailed(f"generated code failed: {_error(self._library)}")
        return answers

    @property
    def level(self) -> str:
        """The level of x86-64 whose code runs."""
        words: bytes = self._library.model_level()
        return words.decode()

    def close(self) -> None:
        """The library stays loaded until the process ends: other sessions may have it too."""


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
