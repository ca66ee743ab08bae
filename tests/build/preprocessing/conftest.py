"""One child process compares with the real Keras and TensorFlow, and writes the files that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.core.isolation import isolate
from support.models import keras_preprocessing
from support.models.keras_preprocessing import Compared, Made


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Compared, Path]:
    folder = tmp_path_factory.mktemp("keras")
    return isolate.call(keras_preprocessing.compare, Made(folder)), folder
