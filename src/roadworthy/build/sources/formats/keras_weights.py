"""Keras weights in an HDF5 file, without an architecture."""

from __future__ import annotations

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import keras_config_scan
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import NO_MODEL, StaticFacts
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.stages import Source

KIND = "keras_weights"
FRAMEWORK = "tensorflow"
SUFFIXES = (".weights.h5", ".h5")


def sniff(file: SourceFile) -> bool:
    """An HDF5 file with the weights of layers and no configuration."""
    return file.hdf5 is not None and file.hdf5.weights_alone


def inspect(file: SourceFile) -> StaticFacts:
    """The datasets by their names."""
    found = file.hdf5
    if found is None:
        raise SourceUnreadable(f"{file.path} is not an HDF5 file")
    return StaticFacts(found.tensors, notes=keras_config_scan.written_by(found.version), takes_arch=True, needs_arch=NO_MODEL)


def open(source: Source) -> Model:
    """The model of ``source.arch`` with the file's weights in it."""
    from roadworthy.build.sources.keras import weights_file

    return weights_file.read(source)
