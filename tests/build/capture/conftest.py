"""One child that holds TensorFlow for all tests of this folder that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roadworthy.build import capture
from roadworthy.core.isolation.worker import Worker
from support.models.tensorflow_captures import Order, Original, make


@pytest.fixture(scope="module")
def tensorflow() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


@pytest.fixture(scope="module")
def made(tensorflow: Worker, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Original]:
    """The original of a name, made once."""
    root, known = tmp_path_factory.mktemp("originals"), dict[str, Original]()

    def get(name: str) -> Original:
        if name not in known:
            known[name] = tensorflow.ask(make, Order(name, root / name.replace(" ", "-")))
        return known[name]

    return get


@pytest.fixture
def captured(tensorflow: Worker, tmp_path: Path) -> Callable[..., capture.Captured]:
    """Capture an original as a format, in the child."""

    def do(original: Original, format: str, exported: Path | None = None) -> capture.Captured:
        request = capture.CaptureRequest(original.graph, format, original.samples, tmp_path / format, (), exported)
        return tensorflow.ask(capture.capture, request)

    return do
