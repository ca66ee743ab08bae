"""Opens a bundle for serving: one or more engines in this worker, by the plan that was proven for the worker's share of the cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from roadworthy.bundle import store
from roadworthy.bundle.golden import Golden
from roadworthy.bundle.manifest import Manifest
from roadworthy.bundle.shares import share_of
from roadworthy.core.errors import BundleError, RoadworthyError
from roadworthy.core.host import this_host
from roadworthy.serving.engine import batch_plan as planning
from roadworthy.serving.engine.batch_plan import BatchPlan
from roadworthy.serving.engine.golden_check import read_golden
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.engine.variant import RunOptions, is_certified_class
from roadworthy.serving.registry.repository import digest
from roadworthy.serving.settings import Settings


@dataclass(frozen=True)
class OpenEngines:
    """The engines of one version in this worker, each checked with its golden samples, and the answer to who asked for them."""

    engines: tuple[LocalEngine, ...]
    opened: VersionOpened


def open_engines(wanted: OpenVersion, settings: Settings) -> OpenEngines:
    """Open what is ``wanted``; raises BundleError, also where the bundle at that path has another digest, and BackendMissing."""
    root = Path(wanted.path)
    found = digest(root)
    if wanted.digest not in (None, found):
        raise BundleError(f"{root} is another bundle than the one that was loaded as {wanted.name} version {wanted.version}; load it again")
    with ExitStack() as undo:
        if wanted.plan is None:
            first, plan = _planned(root, wanted, settings, undo)
            engines, notes = [first.engine], first.notes
        else:
            engines, plan, notes = [], wanted.plan, ()
        while len(engines) < plan.instances:
            pinned = settings.processes * plan.instances == 1
            engines.append(undo.enter_context(_open(root, wanted, RunOptions(plan.threads, pinned=pinned, batch=plan.batch))))
        undo.pop_all()
    return OpenEngines(tuple(engines), VersionOpened(plan, found, (*engines[0].notes, *notes)))


def _open(root: Path, wanted: OpenVersion, options: RunOptions) -> LocalEngine:
    # A thread that spins takes the core from the event loop and from the other engines.
    return LocalEngine(root, options=replace(options, spin=False), name=wanted.name, version=wanted.version)


@dataclass(frozen=True)
class _OnBestThreads:
    """An engine on the number of threads that serves best here; ``notes`` say why another number is not used."""

    engine: LocalEngine
    notes: tuple[str, ...] = ()


OpenOn = Callable[[RunOptions], LocalEngine]


def _planned(root: Path, wanted: OpenVersion, settings: Settings, undo: ExitStack) -> tuple[_OnBestThreads, BatchPlan]:
    """The first engine, and a plan for all others. Its golden answers are checked on the plan's threads at the plan's batch.

    The threads are those that the build host has proven for a worker's share of the cores. Where it has not, or on another CPU, they are
    measured here; so is the batch.
    """
    manifest = store.read(root)
    golden = read_golden(root, manifest)
    certified = is_certified_class(root, this_host())

    def opened(options: RunOptions, batch: int) -> LocalEngine:
        return undo.enter_context(_open(root, wanted, replace(options, pinned=settings.processes == 1, batch=batch)))

    batch = settings.batch or 1
    while True:
        chosen = _on_threads(partial(opened, batch=batch), settings, manifest, golden, certified)
        cap, seconds = (batch, {}) if settings.batch else planning.batches(chosen.engine, golden.inputs, planning.LONGEST_CALL_SECONDS)
        if cap > batch:
            try:
                chosen.engine.check_batches(golden, cap)
            except BundleError:
                # Opened again with calls of that size, the next variant answers, or none does.
                chosen.engine.close()
                batch = cap
                continue
        return chosen, BatchPlan(1, chosen.engine.plan.threads, cap, seconds)


def _on_threads(open_on: OpenOn, settings: Settings, manifest: Manifest, golden: Golden, certified: bool) -> _OnBestThreads:
    """The bundle on its worker's share of the cores; on more threads than that where it answers on no fewer."""
    if settings.threads is not None:
        return _noted(_OnBestThreads(open_on(RunOptions(settings.threads))), certified)
    cores, raced = planning.share(settings.processes), manifest.variants[0].plan.threads
    try:
        if certified and share_of(manifest.variants[0].shares, cores):
            return _noted(_OnBestThreads(open_on(RunOptions(cores=cores))), certified)
        return _noted(_measured(open_on, min(raced, cores), manifest, golden), certified)
    except BundleError as problem:
        if raced <= cores:
            raise
        engine = open_on(RunOptions(raced))
        return _OnBestThreads(engine, (f"it runs on {raced} threads, more than the {cores} of its worker's share: {problem.message}",))


def _noted(found: _OnBestThreads, certified: bool) -> _OnBestThreads:
    """``found`` with a note where the CPU is the certified one, and yet the build host has not compared what runs here."""
    if found.engine.proven or not certified:
        return found
    plan = found.engine.plan.name
    return replace(found, notes=(*found.notes, f"{plan} was not verified when the bundle was made; here it gives the golden answers"))


def _measured(open_on: OpenOn, threads: int, manifest: Manifest, golden: Golden) -> _OnBestThreads:
    """The bundle on ``threads`` or on one thread: the one that answers with the better variant, else the faster."""
    if threads == 1:
        return _OnBestThreads(open_on(RunOptions(1)))
    try:
        several = open_on(RunOptions(threads))
    except BundleError as problem:
        return _OnBestThreads(open_on(RunOptions(1)), (f"it does not serve on {threads} threads: {problem.message}",))
    try:
        single = open_on(RunOptions(1))
    except RoadworthyError as problem:
        return _OnBestThreads(several, (f"it does not serve on one thread: {problem.message}",))
    names = [variant.name for variant in manifest.variants]
    rank_several, rank_single = names.index(several.variant.name), names.index(single.variant.name)
    if rank_single < rank_several or (rank_single == rank_several and planning.one_is_enough(single, several, golden.inputs)):
        several.close()
        notes = tuple(f"on {threads} threads {note}" for note in several.notes) if rank_single < rank_several else ()
        return _OnBestThreads(single, notes)
    single.close()
    notes = tuple(f"on one thread {note}" for note in single.notes) if rank_single > rank_several else ()
    return _OnBestThreads(several, notes)


def described(plan: BatchPlan, processes: int) -> Iterator[str]:
    """The plan in words, for the log."""
    yield f"{processes * plan.instances} x {plan.threads} {'thread' if plan.threads == 1 else 'threads'}"
    yield f"up to {plan.batch} samples a call" if plan.batch > 1 else "one request a call"
    if 1 in plan.seconds:
        yield f"{plan.seconds[1] * 1e3:.3g} ms a sample"
