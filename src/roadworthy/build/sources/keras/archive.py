"""A ``.keras`` archive, of Keras 3 or of the last Keras 2: read in safe mode, without running anything of its own."""

from __future__ import annotations

from roadworthy.build.sources.keras import reader
from roadworthy.build.sources.model import Model
from roadworthy.core.stages import Source


def read(source: Source) -> Model:
    """The model of the archive; see ``keras_file.read`` for what it raises."""
    return reader.read(source)
