"""A whole Keras model in an HDF5 file, architecture and weights."""

from __future__ import annotations

from dataclasses import replace

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import keras_config_scan
from roadworthy.build.sources.parsers.untrusted import json
from roadworthy.build.sources.pixels import adapted, keras_layers
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.stages import Source

KIND = "hdf5"
FRAMEWORK = "tensorflow"
SUFFIXES = (".h5", ".hdf5")


def sniff(file: SourceFile) -> bool:
    """Any HDF5 file that does not hold Keras weights alone (``formats/keras_weights.py``)."""
    return file.hdf5 is not None and not file.hdf5.weights_alone


def inspect(file: SourceFile) -> StaticFacts:
    """The configuration in the file's attributes; SourceUnreadable where there is none."""
    found = file.hdf5
    if found is None or not found.config:
        raise SourceUnreadable(f"{file.path} is an HDF5 file that holds neither a Keras model nor its weights")
    model = json(found.config, f"{file.path}: model_config")
    first = adapted.filled(keras_layers.read(model), found.statistics)
    facts = keras_config_scan.facts(keras_config_scan.walk(model), found.tensors, found.version)
    return replace(facts, inner=first.layers, models=first.models)


def open(source: Source) -> Model:
    """The model of the file, read by the Keras that gives its configuration the meaning that its writer gave it."""
    from roadworthy.build.sources.keras import reader

    return reader.read(source)
