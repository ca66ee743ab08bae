"""A bundle to the instances that answer in one worker, and the plan they follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from roadworthy.bundle import store
from roadworthy.bundle.golden import Golden
from roadworthy.bundle.manifest import Manifest
from roadworthy.core.errors import BundleError, RoadworthyError
from roadworthy.serving.engine import batch_plan as planning
from roadworthy.serving.engine.batch_plan import Plan
from roadworthy.serving.engine.model import Model, read_golden
from roadworthy.serving.registry.repository import digest
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers.ipc import Open, Opened


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
            first, plan = _measured(root, wanted, settings, undo)
            models, notes = [first.model], first.notes
        else:
            models, plan, notes = [], wanted.plan, ()
        while len(models) < plan.instances:
            models.append(undo.enter_context(_open(root, wanted, plan.threads, plan.batch)))
        undo.pop_all()
    return Instances(tuple(models), Opened(plan, found, (*models[0].notes, *notes)))


def _open(root: Path, wanted: Open, threads: int, batch: int) -> Model:
    # A thread that spins takes the core from the event loop, and from the other instances.
    return Model.open(root, threads=threads, spin=False, batch=batch, name=wanted.name, version=wanted.version)


@dataclass(frozen=True)
class _Chosen:
    """A model on the threads that serve best here; ``notes`` say why it is not on another number of them."""

    model: Model
    threads: int
    notes: tuple[str, ...] = ()


def _measured(root: Path, wanted: Open, settings: Settings, undo: ExitStack) -> tuple[_Chosen, Plan]:
    """The first instance, by a plan measured on it. Its golden answers are right on the plan's threads at the plan's batch."""
    manifest = store.read(root)
    golden = read_golden(root, manifest)

    def opened(threads: int, batch: int) -> Model:
        return undo.enter_context(_open(root, wanted, threads, batch))

    batch = settings.batch or 1
    while True:
        chosen = _on_threads(partial(opened, batch=batch), settings, manifest, golden)
        cap, seconds = (batch, {}) if settings.batch else planning.batches(chosen.model, golden.inputs, planning.LONGEST)
        if cap > batch:
            try:
                chosen.model.prove(golden, cap)
            except BundleError:
                # Opened again to that size, it is the next variant that answers, or none.
                chosen.model.close()
                batch = cap
                continue
        return chosen, Plan(1, chosen.threads, cap, seconds)


def _on_threads(open_on: Callable[[int], Model], settings: Settings, manifest: Manifest, golden: Golden) -> _Chosen:
    """The bundle on a worker's share of the threads or on one, whichever answers rightly with the better variant, else the faster."""
    threads = settings.threads or planning.share(settings.processes, manifest.variants[0].plan.threads)
    if settings.threads is not None or threads == 1:
        return _Chosen(open_on(threads), threads)
    try:
        model = open_on(threads)
    except BundleError as problem:
        return _Chosen(open_on(1), 1, (f"it does not serve on {threads} threads: {problem.message}",))
    try:
        alone = open_on(1)
    except RoadworthyError as problem:
        return _Chosen(model, threads, (f"it does not serve on one thread: {problem.message}",))
    names = [variant.name for variant in manifest.variants]
    mine, other = names.index(model.variant.name), names.index(alone.variant.name)
    if other < mine or (other == mine and planning.one_is_enough(alone, model, golden.inputs)):
        model.close()
        return _Chosen(alone, 1, tuple(f"on {threads} threads {note}" for note in model.notes) if other < mine else ())
    alone.close()
    return _Chosen(model, threads, tuple(f"on one thread {note}" for note in alone.notes) if other > mine else ())


def described(plan: Plan, processes: int) -> Iterator[str]:
    """The plan in words, for people."""
    yield f"{processes * plan.instances} x {plan.threads} {'thread' if plan.threads == 1 else 'threads'}"
    yield f"up to {plan.batch} samples a call" if plan.batch > 1 else "one request a call"
    if 1 in plan.seconds:
        yield f"{plan.seconds[1] * 1e3:.3g} ms a sample"
