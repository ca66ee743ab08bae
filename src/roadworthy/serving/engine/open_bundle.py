"""Opens a bundle for serving: one or more engines in this worker, and the batch plan that they follow."""

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
from roadworthy.serving.engine.batch_plan import BatchPlan
from roadworthy.serving.engine.golden_check import read_golden
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
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
            first, plan = _measured(root, wanted, settings, undo)
            engines, notes = [first.engine], first.notes
        else:
            engines, plan, notes = [], wanted.plan, ()
        while len(engines) < plan.instances:
            engines.append(undo.enter_context(_open(root, wanted, plan.threads, plan.batch)))
        undo.pop_all()
    return OpenEngines(tuple(engines), VersionOpened(plan, found, (*engines[0].notes, *notes)))


def _open(root: Path, wanted: OpenVersion, threads: int, batch: int) -> LocalEngine:
    # A thread that spins takes the core from the event loop and from the other engines.
    return LocalEngine(root, threads=threads, spin=False, batch=batch, name=wanted.name, version=wanted.version)


@dataclass(frozen=True)
class _OnBestThreads:
    """An engine on the number of threads that serves best here; ``notes`` say why another number is not used."""

    engine: LocalEngine
    threads: int
    notes: tuple[str, ...] = ()


def _measured(root: Path, wanted: OpenVersion, settings: Settings, undo: ExitStack) -> tuple[_OnBestThreads, BatchPlan]:
    """The first engine, and a plan measured on it. Its golden answers are checked on the plan's threads at the plan's batch."""
    manifest = store.read(root)
    golden = read_golden(root, manifest)

    def opened(threads: int, batch: int) -> LocalEngine:
        return undo.enter_context(_open(root, wanted, threads, batch))

    batch = settings.batch or 1
    while True:
        chosen = _on_threads(partial(opened, batch=batch), settings, manifest, golden)
        cap, seconds = (batch, {}) if settings.batch else planning.batches(chosen.engine, golden.inputs, planning.LONGEST_CALL_SECONDS)
        if cap > batch:
            try:
                chosen.engine.check_batches(golden, cap)
            except BundleError:
                # Opened again with calls of that size, the next variant answers, or none does.
                chosen.engine.close()
                batch = cap
                continue
        return chosen, BatchPlan(1, chosen.threads, cap, seconds)


def _on_threads(open_on: Callable[[int], LocalEngine], settings: Settings, manifest: Manifest, golden: Golden) -> _OnBestThreads:
    """The bundle on the worker's share of the threads, or on one thread: the one that answers with the better variant, else the faster."""
    threads = settings.threads or planning.share(settings.processes, manifest.variants[0].plan.threads)
    if settings.threads is not None or threads == 1:
        return _OnBestThreads(open_on(threads), threads)
    try:
        several = open_on(threads)
    except BundleError as problem:
        return _OnBestThreads(open_on(1), 1, (f"it does not serve on {threads} threads: {problem.message}",))
    try:
        single = open_on(1)
    except RoadworthyError as problem:
        return _OnBestThreads(several, threads, (f"it does not serve on one thread: {problem.message}",))
    names = [variant.name for variant in manifest.variants]
    rank_several, rank_single = names.index(several.variant.name), names.index(single.variant.name)
    if rank_single < rank_several or (rank_single == rank_several and planning.one_is_enough(single, several, golden.inputs)):
        several.close()
        notes = tuple(f"on {threads} threads {note}" for note in several.notes) if rank_single < rank_several else ()
        return _OnBestThreads(single, 1, notes)
    single.close()
    notes = tuple(f"on one thread {note}" for note in single.notes) if rank_single > rank_several else ()
    return _OnBestThreads(several, threads, notes)


def described(plan: BatchPlan, processes: int) -> Iterator[str]:
    """The plan in words, for the log."""
    yield f"{processes * plan.instances} x {plan.threads} {'thread' if plan.threads == 1 else 'threads'}"
    yield f"up to {plan.batch} samples a call" if plan.batch > 1 else "one request a call"
    if 1 in plan.seconds:
        yield f"{plan.seconds[1] * 1e3:.3g} ms a sample"
