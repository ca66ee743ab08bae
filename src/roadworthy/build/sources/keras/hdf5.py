"""A whole Keras model in an HDF5 file, architecture and weights: read by the Keras that means what its writer meant."""

from __future__ import annotations

from roadworthy.build.sources.keras import reader
from roadworthy.build.sources.model import Model
from roadworthy.core.stages import Source


def read(source: Source) -> Model:
    """The model of the file; see ``keras_file.read`` for what it raises."""
    return reader.read(source)
