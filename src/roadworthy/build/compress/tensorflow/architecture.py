"""A compressed Keras model for those who deploy it elsewhere: the file that plain Keras opens, its architecture inside."""

from __future__ import annotations

import shutil
from pathlib import Path

from roadworthy.core.stages import Graph
from roadworthy.frameworks.tensorflow import keras_model


def write(graph: Graph, arch: str, out: Path) -> tuple[Path, ...]:
    """The "keras" ``graph`` as one file in the existing directory ``out``; its path.

    ``keras.models.load_model`` opens a ``.keras`` file, ``tf_keras.models.load_model`` that of a Keras 2 model, in the form that the
    original had. ``arch``, a user's own architecture file, is not needed: the file holds the configuration. A model with classes of the
    user's own is opened with ``custom_objects``, as the original was.
    """
    file = keras_model.record(graph.path).file
    return (Path(shutil.copyfile(graph.path / file, out / file)),)
