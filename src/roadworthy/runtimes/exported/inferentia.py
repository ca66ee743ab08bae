"""An export for Inferentia: the compiled model where there are a Neuron device and AWS's packages, else the same file on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from roadworthy.bundle.export_evidence import Tool
from roadworthy.core import registry
from roadworthy.core.interfaces import Session
from roadworthy.core.stages import Plan
from roadworthy.core.types import Arrays, Signature
from roadworthy.runtimes.exported._on_target import inferentia_model as neuron

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("torch", "numpy")
FRAMEWORK = True
NATIVE = False
ON_TARGET = False
"""The machine decides: a session says by ``on_target`` whether Inferentia itself answers."""

lacking = neuron.lacking


def load(path: Path, signature: Signature, plan: Plan) -> InferentiaSession:
    """The session of the folder ``path``; the model is compiled there at first use. Raises what the runtime raises."""
    if neuron.lacking():
        file = path / neuron.MODEL
        return InferentiaSession(
            registry.runtime("torchscript").load(file, signature, replace(plan, runtime="torchscript")), on_target=False
        )
    return InferentiaSession(neuron.NeuronModel(path), on_target=True)


class InferentiaSession:
    """``on_target`` says whether Inferentia itself answers; ``device`` and ``tools`` then say what it was."""

    def __init__(self, session: Session, *, on_target: bool) -> None:
        self.on_target = on_target
        self.device = neuron.device() if on_target else ""
        self.tools = tuple(Tool(name, version) for name, version in neuron.versions().items()) if on_target else ()
        self._session = session

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name."""
        return self._session.run(feeds)

    def close(self) -> None:
        self._session.close()
