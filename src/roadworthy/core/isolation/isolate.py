"""Run a step in a process of its own with limits of time and memory.

Arguments and results are dataclasses that cross as JSON (``codec``), never as pickles: a child that reads an untrusted model cannot
hand its parent an object that runs code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from roadworthy.core.isolation.confinement import Confinement
from roadworthy.core.isolation.forking import Template
from roadworthy.core.isolation.worker import USUAL, Hear, Limits, Worker

A = TypeVar("A")
R = TypeVar("R")


def call(
    function: Callable[[A], R],
    argument: A,
    *,
    limits: Limits = USUAL,
    log: Path | None = None,
    confinement: Confinement | None = None,
    hear: Hear = lambda heard: None,
    template: Template | None = None,
) -> R:
    """``function(argument)`` in a process of its own: a fork of ``template``, or a fresh one.

    ``function`` is a module-level function of one annotated dataclass, with an annotated result. Our own errors
    come back as themselves; anything else raises StepFailed with one line that says what happened. ``confinement`` says where the
    process works and what it may write; ``hear`` gets what the user's code says meanwhile, in the calling thread.
    """
    with Worker(limits=limits, log=log, confinement=confinement, hear=hear, template=template) as worker:
        return worker.ask(function, argument)


def call_named(target: str, argument: object, result: type[R], *, limits: Limits = USUAL, log: Path | None = None) -> R:
    """As ``call``, for a step that the caller may not import: ``target`` is ``module:function``, and ``result`` its result's type."""
    with Worker(limits=limits, log=log) as worker:
        return worker.ask_named(target, argument, result)


def stop_all() -> None:
    """Kill every child of this process that is still running; for an interrupt that finds steps in several threads."""
    for worker in list(Worker.running):
        worker.kill()
