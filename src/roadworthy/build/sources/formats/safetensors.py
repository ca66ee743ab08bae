"""A safetensors file: weights, which cannot be anything else, without an architecture."""

from __future__ import annotations

from roadworthy.build.sources.hub import folder as hub
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers import safetensors as parsers_safetensors
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.stages import Source

KIND = "safetensors"
FRAMEWORK = "torch"
SUFFIXES = (".safetensors",)


def sniff(file: SourceFile) -> bool:
    """A JSON object behind the eight bytes of its length; in a FlatBuffer the last four of these are its format's name."""
    return file.head[8:9] == b"{" and file.head[4:8] != b"TFL3"


def inspect(file: SourceFile) -> StaticFacts:
    """The tensors by the file's header."""
    return StaticFacts(parsers_safetensors.read(file.path), takes_arch=True, takes_weights=True, needs_arch=hub.weights_alone(file.path))


def open(source: Source) -> Opened:
    """The architecture of ``source.arch`` with the file's weights in it."""
    from roadworthy.build.sources.torch import safetensors

    return safetensors.read(source)
