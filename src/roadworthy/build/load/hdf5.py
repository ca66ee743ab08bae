"""A whole Keras model in an HDF5 file, architecture and weights: read by the Keras that means what its writer meant."""

from __future__ import annotations

from roadworthy.build.load import keras_file
from roadworthy.build.load.opened import Model
from roadworthy.core.stages import Source


def read(source: Source) -> Model:
    """The model of the file; see ``keras_file.read`` for what it raises."""
    return keras_file.read(source)
