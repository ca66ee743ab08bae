"""Which Keras wrote a model's file: its version, its backend, and so what the names in the file mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from roadworthy.build.sources.keras.config import Config
from roadworthy.build.sources.parsers import keras_config_scan
from roadworthy.core.errors import SourceError

KERAS_1 = frozenset({"W_regularizer", "init", "gamma_init", "nb_filter", "border_mode", "dim_ordering", "inner_activation"})
"""Arguments that Keras 2 renamed, in the configuration of nearly every layer of Keras 1."""
KERAS_3 = frozenset({"batch_shape"})
"""What the input layers of Keras 3 call the shape that Keras 2 calls ``batch_input_shape``."""


@dataclass(frozen=True)
class KerasWriter:
    """``version`` as the file states it, empty where it does not; ``number`` are its first three numbers, ``(0,)`` where there are none.

    ``bundled`` says that it was the Keras inside TensorFlow (``2.2.4-tf``), ``backend`` what Keras computed with.
    """

    generation: Literal[1, 2, 3]
    version: str = ""
    number: tuple[int, ...] = (0,)
    bundled: bool = False
    backend: str = "tensorflow"

    def __str__(self) -> str:
        return f"Keras {self.version}" if self.version else f"Keras {self.generation} (the file does not state which version)"


def of(config: Config) -> KerasWriter:
    """The writer of the file that ``config`` is from. Without a version, the names of the layers' arguments tell the generation."""
    backend = config.backend.lower() or "tensorflow"
    found = re.match(r"\d+(?:\.\d+){0,2}", config.version)
    if found is None:
        return KerasWriter(_by_arguments(config.model), backend=backend)
    number = tuple(map(int, found[0].split(".")))
    generation: Literal[1, 2, 3] = 1 if number[0] < 2 else 2 if number[0] == 2 else 3
    return KerasWriter(generation, config.version, number, config.version.endswith("-tf"), backend)


def refuse_keras_1(writer: KerasWriter, path: Path) -> None:
    """SourceError for a file of Keras 1, whose arguments neither Keras 3 nor tf-keras takes."""
    if writer.generation == 1:
        raise SourceError(
            f"{path} was written by {writer}, which neither Keras 3 nor tf-keras reads; "
            "load it with Keras 2.2.4 (pip install 'keras==2.2.4' 'tensorflow<2'), save it there, and deploy that file"
        )


def _by_arguments(model: Any) -> Literal[1, 2, 3]:
    arguments: set[str] = set()
    for node, _, _ in keras_config_scan.objects(model):
        inner = node.get("config")
        arguments.update(inner if isinstance(inner, dict) else ())
    return 1 if arguments & KERAS_1 else 3 if arguments & KERAS_3 else 2
