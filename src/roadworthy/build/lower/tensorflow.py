"""TensorFlow's own forms of a model: a ``tf.function``, frozen or not; the original as it is needs no plan, it is the baseline."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from roadworthy.build.lower import _graphdef
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("keras", "saved_model", "graphdef")


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """A ``tf.function`` over the model, and one over the model with its variables made constants.

    A graph that came frozen is both already.
    """
    if graph.format != "graphdef":
        yield Plan("tensorflow", threads=host.cores, flavour="function")
        yield Plan("tensorflow", threads=host.cores, flavour="frozen")


def forms(graph: Graph, host: Host) -> Iterable[Plan]:
    """A Keras model's SavedModel, called by its signature: what TensorFlow's own server does, and never faster than the function."""
    if graph.format == "keras":
        yield Plan("tensorflow", threads=host.cores, flavour="signature")


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Copy the model's directory; for ``frozen`` write it as a frozen graph, for ``signature`` as a SavedModel.

    Raises StepFailed where it can be neither.
    """
    if plan.flavour == "frozen":
        _graphdef.freeze(graph, out, plan)
    elif plan.flavour == "signature" and graph.format == "keras":
        _graphdef.export(graph, out, plan)
    else:
        shutil.copytree(graph.path, out, dirs_exist_ok=True)
