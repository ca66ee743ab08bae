"""A bundle to the instances that answer in one worker, and the plan they follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from roadworthy.core.errors import BundleError
from roadworthy.serve import plan as planning
from roadworthy.serve.control import Open, Opened
from roadworthy.serve.model import Model, golden_inputs
from roadworthy.serve.plan import Plan
from roadworthy.serve.repository import digest
from roadworthy.serve.settings import Settings


@dataclass(frozen=True)
class Instances:
    """A version's instances in this worker, each proven by its golden samples."""

    models: tuple[Model, ...]
    opened: Opened


def open_instances(wanted: Open, settings: Settings) -> Instances:
    """Open what is ``wanted``; raises BundleError, also for a bundle that is not the one it was, and BackendMissing."""
    root = Path(wanted.path)
    found = digest(root)
    if wanted.digest not in (None, found):
        raise BundleError(f"{root} is another bundle than the one that was loaded as {wanted.name} version {wanted.version}; load it again")
    with ExitStack() as undo:
        if wanted.plan is None:
            models, plan = _measured(root, wanted, settings, undo)
        else:
            models, plan = [], wanted.plan
        while len(models) < plan.instances:
            models.append(undo.enter_context(_open(root, wanted, plan.threads)))
        undo.pop_all()
    return Instances(tuple(models), Opened(plan, found, models[0].notes))


def _open(root: Path, wanted: Open, threads: int) -> Model:
    # A thread that spins takes the core from the event loop, and from the other instances.
    return Model.open(root, threads=threads, spin=False, name=wanted.name, version=wanted.version)


def _measured(root: Path, wanted: Open, settings: Settings, undo: ExitStack) -> tuple[list[Model], Plan]:
    """The first instance, on the threads that serve best here, with what was measured on it."""
    certified = planning.certified_threads(root)
    threads = settings.threads or planning.share(settings.processes, certified)
    model = undo.enter_context(_open(root, wanted, threads))
    feeds = golden_inputs(root)
    if settings.threads is None and threads > 1:
        alone = undo.enter_context(_open(root, wanted, 1))
        if planning.one_is_enough(alone, model, feeds):
            model, alone, threads = alone, model, 1
        alone.close()
    cap, seconds = (settings.batch, {}) if settings.batch else planning.batches(model, feeds, planning.LONGEST)
    return [model], Plan(1, threads, cap, seconds)


def described(plan: Plan, processes: int) -> Iterator[str]:
    """The plan in words, for people."""
    yield f"{processes * plan.instances} x {plan.threads} {'thread' if plan.threads == 1 else 'threads'}"
    yield f"up to {plan.batch} samples a call" if plan.batch > 1 else "one request a call"
    if 1 in plan.seconds:
        yield f"{plan.seconds[1] * 1e3:.3g} ms a sample"
