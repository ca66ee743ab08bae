"""A TorchScript archive: a program of its own."""

from __future__ import annotations

import io

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers import pickle_scan
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import Refusal, StaticFacts
from roadworthy.core.stages import Source

KIND = "jit"
FRAMEWORK = "torch"
SUFFIXES = (".pt", ".ts")


def sniff(file: SourceFile) -> bool:
    """The archive's constants, and source files in ``code/``."""
    return "constants.pkl" in file.members and any(name.startswith("code/") for name in file.members)


def inspect(file: SourceFile) -> StaticFacts:
    """The tensors of ``data.pkl``; the program itself is what runs."""
    with Archive(file.path) as archive:
        walked = pickle_scan.walk(io.BytesIO(archive.read("data.pkl")), f"{file.path}: data.pkl")
    tensors = tuple(one.spec for one in pickle_scan.tensors(walked.root))
    files = sum(name.startswith("code/") and name.endswith(".py") for name in file.members)
    program = f"a TorchScript program ({files} source files in code/)"
    return StaticFacts(tensors, executes=(program,), refusal=Refusal(f"is {program}, which runs when the model does"))


def open(source: Source) -> Opened:
    """The ScriptModule on the CPU."""
    from roadworthy.build.sources.torch import torchscript

    return torchscript.read(source)
