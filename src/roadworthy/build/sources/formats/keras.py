"""A ``.keras`` archive, of Keras 3 or of the last Keras 2: read in safe mode, without running anything of its own."""

from __future__ import annotations

from dataclasses import replace

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import hdf5, keras_config_scan
from roadworthy.build.sources.parsers.keras_config_scan import EMBEDDED
from roadworthy.build.sources.parsers.untrusted import json, listed
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.build.sources.pixels import adapted, keras_layers
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.stages import Source

KIND = "keras"
FRAMEWORK = "tensorflow"
SUFFIXES = (".keras",)


def sniff(file: SourceFile) -> bool:
    """The two JSON files that every ``.keras`` archive has."""
    return "config.json" in file.members and "metadata.json" in file.members


def inspect(file: SourceFile) -> StaticFacts:
    """Its configuration, and its weights by the table of the HDF5 file inside."""
    path = file.path
    with Archive(path) as archive:
        model = json(archive.read("config.json"), f"{path}: config.json")
        config = keras_config_scan.walk(model)
        metadata = json(archive.read("metadata.json"), f"{path}: metadata.json")
        version = metadata.get("keras_version") if isinstance(metadata, dict) else None
        weights = [hdf5.read_member(archive, name, path) for name in archive.names if name.endswith((".h5", ".hdf5"))]
    if EMBEDDED in file.members:
        # A live model was saved by Roadworthy with its classes beside it.
        config = replace(config, needs=(), executes=(*config.executes, f"the pickled classes in {EMBEDDED}"))
    facts = keras_config_scan.facts(config, tuple(spec for one in weights for spec in one.tensors), str(version or ""))
    # A file of Keras 3 says which of its classes are not Keras's own. Of an older file only its reader can tell.
    why = f"was made with classes that are not Keras's own ({listed(facts.needs)}); name the code that defines them"
    first = adapted.filled(keras_layers.read(model), {name: value for one in weights for name, value in one.statistics.items()})
    return replace(facts, needs_arch=why if facts.needs else "", inner=first.layers, models=first.models)


def open(source: Source) -> Model:
    """The model of the archive; see ``keras_file.read`` for what it raises."""
    from roadworthy.build.sources.keras import reader

    return reader.read(source)
