"""Whatever a step of a deployment finds out has a reader: what nothing reads is evidence that is lost without a word."""

from __future__ import annotations

import sys
import threading
import typing
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build import deploy
from roadworthy.build.job import Job
from roadworthy.cli.console.deployment import show_deployment
from roadworthy.core.isolation import isolate

pytestmark = pytest.mark.slow

UNREAD = {
    "Answer.top_k": "the server reads it",
    "Draw.high": "for deployments without data",
    "Draw.kind": "for deployments without data",
    "Draw.low": "for deployments without data",
    "Fill.name": "for deployments without data",
    "Fill.shown": "for deployments without data",
    "Fill.spans": "for deployments without data",
    "Fill.stated": "for deployments without data",
    "Found.fits_input": "the step that reads preprocessing reads it before it ends",
    "FirstLook.least": "the runtimes and plans are named here, so none leaves for being slow",
    **{f"InnerLayer.{name}": "for models that normalise pixels" for name in ("name", "offset", "scale", "size", "stated", "words")},
    "Loaded.fills": "for deployments without data",
    "Loaded.samples": "for deployments without data",
    "Note.text": "nothing is noticed here",
    "Note.warning": "nothing is noticed here",
    "Quantization.scale": "nothing here is quantised",
    "Quantization.zero_point": "nothing here is quantised",
    "SizeRange.least": "no axis beside the batch is open here",
    "SizeRange.most": "no axis beside the batch is open here",
    "SizeRange.multiple": "no axis beside the batch is open here",
    "SizeRange.sizes": "no axis beside the batch is open here",
    "SizeRange.symbol": "no axis beside the batch is open here",
    "SizedReference.path": "no axis beside the batch is open here",
    "SizedReference.samples": "no axis beside the batch is open here",
    "SizedReference.sizes": "no axis beside the batch is open here",
    "Source.arch": "for sources that are weights alone",
    "Source.inputs": "for sources that do not say where they are fed",
    "Source.outputs": "for graphs that do not say what they answer with",
    "Source.signature": "for sources with several signatures",
    "Source.weights": "for sources with several sets of weights",
    "Verified.choosing": "for evaluations of which a part is kept for the winner's figure",
}
"""Fields that these two deployments have no use for, each with its reason."""


class Readings:
    """Which fields of which dataclasses are read, and what the steps give; a field that is only copied or encoded is not read."""

    def __init__(self) -> None:
        self.read: dict[type, set[str]] = {}
        self.results: set[type] = set()
        self.one = threading.Lock()

    def call(self, function: Callable[[Any], Any], argument: Any, **options: Any) -> Any:
        """In place of ``isolate.call``: the step runs here, where its readings are seen."""
        result = typing.get_type_hints(function)["return"]
        for kind in dataclasses_in(result):
            self.results.add(kind)
            self.watch(kind)
        # A framework that has a process of its own need not be safe for threads.
        with self.one:
            return function(argument)

    def watch(self, kind: type) -> None:
        if kind in self.read:
            return
        seen = self.read[kind] = set()

        def reading(instance: object, name: str) -> Any:
            caller = sys._getframe(1).f_code.co_filename
            if caller != "<string>" and not caller.endswith(("dataclasses.py", "codec.py", "copy.py")):
                seen.add(name)
            return object.__getattribute__(instance, name)

        kind.__getattribute__ = reading  # type: ignore[assignment, method-assign]

    def forget(self) -> None:
        for kind in self.read:
            del kind.__getattribute__


def dataclasses_in(annotation: Any) -> Iterator[type]:
    """Every dataclass of ours that a value of ``annotation`` may hold."""
    pending, found = [annotation], set()
    while pending:
        one = pending.pop()
        pending.extend(typing.get_args(one))
        if is_dataclass(one) and isinstance(one, type) and one not in found:
            found.add(one)
            yield one
            pending.extend(typing.get_type_hints(one).values())


# The steps run in this process here; in theirs, what a framework warns of goes to a log.
@pytest.mark.filterwarnings("ignore")
def test_every_field_of_a_steps_result_has_a_reader(
    linear: Path, planted_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    folder = tmp_path / "torch"
    folder.mkdir()
    torch.jit.script(torch.nn.Sequential(torch.nn.Linear(6, 3))).save(folder / "net.pt")
    features = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    np.savez(folder / "data.npz", x=features, y=features[:, :3].argmax(1))
    readings = Readings()
    monkeypatch.setattr(isolate, "call", readings.call)
    job = Job(
        folder / "net.pt", folder / "net.bundle", trust=True, data=str(folder / "data.npz"),
        runtimes=("torchscript", "pytorch"), allow_framework=True, seconds=120,
    )  # fmt: skip
    rejecting = Job(
        linear / "model.npz", tmp_path / "linear.bundle", data=str(linear / "data.npz"), plans=("planted-fp32-errs by=0.5-t1",), seconds=120
    )
    try:
        for one in (job, rejecting):
            deployment = deploy.deploy(one)
            show_deployment(deployment.bundle, deployment.certificate, as_json=False)
        assert deployment.certificate.rejected
    finally:
        readings.forget()
    unread = {
        f"{kind.__name__}.{field.name}" for kind in readings.results for field in fields(kind) if field.name not in readings.read[kind]
    }
    assert not (unread - set(UNREAD)), ", ".join(sorted(unread))
