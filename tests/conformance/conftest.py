"""The bench: every backend with every model that it takes, lowered once for all tests, in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from conformance.gaps import GAPS
from conformance.models import MODELS, Captured, capture
from roadworthy.build import lower
from roadworthy.core import registry, samples
from roadworthy.core.host import this_host
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph, Plan
from roadworthy.runtimes import CheckedSession, open_session
from support import hosts

ALONE = "ROADWORTHY_TENSORFLOW_SESSIONS" in os.environ
"""TensorFlow takes its number of threads once for a process, and other tests use it: ``test_tensorflow_sessions`` starts one for these."""


class Bench:
    """``plans`` and ``opened`` for one backend; what is lowered is kept for the session."""

    def __init__(self, folder: Path, worker: Worker, builder: Worker) -> None:
        self._folder, self._worker, self._builder = folder, worker, builder
        self.captured = cache(self._capture)
        self._candidate = cache(self._lower)

    def plans(self, backend: str, model: str) -> list[Plan]:
        """Every plan that this CPU can carry out for the model, simplest first."""
        return list(registry.lowering(backend).plans(self._graph(backend, model), hosts.true_host()))

    def exact(self, backend: str, model: str, form: str = "") -> Plan | None:
        """The first plan that computes in the graph's own precision; it is the same on every CPU. None where all of them change it."""
        graph = self.captured(model).graphs[form] if form else self._graph(backend, model)
        offered = registry.lowering(backend).plans(graph, this_host())
        return next((plan for plan in offered if plan.precision == graph.precision), None)

    def simplest(self, backend: str, model: str, *, threads: int = 1) -> CheckedSession:
        """A session of the exact plan; where there is none, of the graph as it was captured."""
        plan = self.exact(backend, model)
        return self.opened(plan, model, threads=threads) if plan else self.as_captured(backend, model, threads=threads)[0]

    def as_captured(self, backend: str, model: str, *, threads: int = 1) -> list[CheckedSession]:
        """A session for each captured graph that the runtime takes as it is."""
        graphs = self.captured(model).graphs
        plan = Plan(backend, threads=threads)
        return [open_session(graphs[form].path, graphs[form].signature, plan) for form in registry.runtime(backend).RUNS if form in graphs]

    def opened(self, plan: Plan, model: str, *, threads: int = 1, form: str = "") -> CheckedSession:
        """A session of the plan, lowered at its first use; from the graph of the format ``form``, or from the one it likes best."""
        graph = self.captured(model).graphs[form] if form else self._graph(plan.runtime, model)
        candidate = self._candidate(replace(plan, threads=1, spin=False), model, graph.format)
        return open_session(candidate.path, candidate.signature, replace(plan, threads=threads, spin=False))

    def _graph(self, backend: str, model: str) -> Graph:
        graphs = self.captured(model).graphs
        return next(graphs[wanted] for wanted in registry.lowering(backend).ACCEPTS if wanted in graphs)

    def _capture(self, model: str) -> Captured:
        folder = self._folder / model
        folder.mkdir()
        return capture(model, folder, self._builder)

    def _lower(self, plan: Plan, model: str, form: str) -> Candidate:
        out = self._folder / model / "candidates" / form / plan.artefact
        return self._worker.ask(lower.lower, lower.LowerRequest(self.captured(model).graphs[form], plan, self._calibration(model), out))

    def _calibration(self, model: str) -> SampleSet:
        path, feeds = self._folder / model / "calibration", MODELS[model].feeds(32, seed=1)
        return SampleSet(path, tuple(feeds), 32) if path.exists() else samples.write(path, feeds)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    # Two, because TensorFlow takes its number of threads once for a process: models are built on any, and lowered on the plan's.
    with Worker() as worker, Worker() as builder:
        yield Bench(tmp_path_factory.mktemp("conformance"), worker, builder)


def models_of(backend: str) -> tuple[str, ...]:
    """What the backend is tried on; one model where each is compiled to machine code, which takes long."""
    accepts = set(registry.lowering(backend).ACCEPTS)
    taken = tuple(name for name, model in MODELS.items() if accepts & set(model.formats))
    return taken[:1] if registry.facts(backend).native else taken


def backends() -> tuple[str, ...]:
    """Every backend of the registry; those that answer with TensorFlow only in a process of their own (see ``ALONE``)."""
    return tuple(name for name in registry.names(registry.LOWERINGS) if ("tensorflow-cpu" in registry.facts(name).packages) == ALONE)


@pytest.fixture
def main(backend: str) -> str:
    """The model on which a backend shows what does not depend on the model."""
    return models_of(backend)[0]


@pytest.fixture
def session(bench: Bench, backend: str, main: str) -> Iterator[CheckedSession]:
    """The simplest that the backend offers, open."""
    with bench.simplest(backend, main) as session:
        yield session


@pytest.fixture
def captured(bench: Bench, main: str) -> Captured:
    return bench.captured(main)


@pytest.fixture
def again(bench: Bench, backend: str, main: str) -> Callable[..., CheckedSession]:
    """Another session of the same plan."""
    return lambda **changes: bench.simplest(backend, main, **changes)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every backend of the registry, with every model that it takes where the test asks for one, and every graph of it likewise."""
    names = backends()
    if "form" in metafunc.fixturenames:
        triples = [(name, model, form) for name in names for model in models_of(name) for form in _others(name, model)]
        metafunc.parametrize(("backend", "model", "form"), triples)
    elif "model" in metafunc.fixturenames:
        metafunc.parametrize(("backend", "model"), [(name, model) for name in names for model in models_of(name)])
    elif "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", names)


def _others(backend: str, model: str) -> list[str]:
    return [form for form in registry.lowering(backend).ACCEPTS if form in MODELS[model].formats][1:]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A gap is a test that must fail. The hook gets the tests of every folder, and marks those of this one."""
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        of = "-".join(parameters[key] for key in ("model", "form") if key in parameters)
        name = item.originalname + (f"[{of}]" if of else "") if isinstance(item, pytest.Function) else ""
        for (backend, test), reason in GAPS.items():
            if parameters.get("backend") == backend and test in (name, name.partition("[")[0]):
                item.add_marker(pytest.mark.xfail(strict=True, reason=reason))
