"""A dataplane in the test's own process, with what a worker would have opened and nothing around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.engine.model_queue import ModelQueue
from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.registry.catalogue import Catalogue, Served, Version, order
from roadworthy.serving.registry.commands import AnyCommand
from support.waiting import PATIENT


@contextmanager
def opened(*bundles: Path, limits: ServerLimits = PATIENT, commands: list[AnyCommand] | None = None) -> Iterator[DataPlane]:
    """A dataplane over ``bundles``, several versions of a model among them; within a running event loop. Commands are kept, not done."""
    counters = Counters()

    async def manage(command: AnyCommand) -> None:
        if commands is not None:
            commands.append(command)

    async def totals() -> Counters:
        return counters

    plane = DataPlane(limits=limits, manage=manage, totals=totals, counters=counters)
    models = [LocalEngine(path) for path in bundles]
    queues = [ModelQueue((model,), counters.of(model.name, model.version), limits=limits) for model in models]
    for queue in queues:
        plane.add(queue)
    catalogue = Catalogue()
    for name in {model.name for model in models}:
        found = {model.version: str(path) for model, path in zip(models, bundles, strict=True) if model.name == name}
        versions = (Version(version=version, path=found[version], state="ready") for version in sorted(found, key=order))
        catalogue = catalogue.with_model(Served(name=name, versions=tuple(versions)))
    plane.catalogue = catalogue
    plane.opened = True
    try:
        yield plane
    finally:
        for queue in queues:
            queue.close()
