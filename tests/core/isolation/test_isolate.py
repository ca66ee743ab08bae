"""A child that crashes, hangs, hoards or raises gives its parent one sentence, and nothing is left running."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from roadworthy.core.errors import OutOfSpace, SourceRefused, StepFailed
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.forking import Template, Templates
from roadworthy.core.isolation.worker import Limits, Worker
from support import isolated_steps as steps
from support.isolated_steps import Number
from support.waiting import HANG_SECONDS


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    """A process that has imported what steps need, and is forked for each."""
    with Templates() as templates:
        yield cast(Template, templates.of(("roadworthy.core.errors",)))


def test_an_answer_comes_back_typed_from_another_process() -> None:
    assert isolate.call(steps.double, Number(21)) == Number(42)
    assert isolate.call(steps.process_id, Number(0)).value != os.getpid()


def test_sets_of_words_have_one_order_in_every_child_so_that_one_source_gives_the_same_files() -> None:
    assert isolate.call(steps.order_of_a_set, Number(200)) == isolate.call(steps.order_of_a_set, Number(200))


@pytest.mark.parametrize(
    ("step", "argument", "says"),
    [
        (steps.die, signal.SIGSEGV, "crashed with SIGSEGV"),
        (steps.die, signal.SIGABRT, "crashed with SIGABRT"),
        (steps.die, signal.SIGKILL, "was killed"),
        (steps.leave, 3, "exit code 3"),
        (steps.sleep, 60, "longer than 2 s"),
        (steps.hang_up_on_signals, 60, "longer than 2 s"),
        (steps.sleep_in_a_grandchild, 0, "longer than 2 s"),
        (steps.fill, 0, "more than 300 MiB"),
        (steps.fill_at_once, 30_000, "ran out of memory"),
        (steps.stumble, 0, "ZeroDivisionError: by nothing"),
    ],
)
@pytest.mark.parametrize("forked", [False, True], ids=["fresh", "forked"])
def test_each_way_to_fail_is_one_sentence(
    step: Callable[[Number], Number], argument: int, says: str, template: Template, forked: bool
) -> None:
    before = set(Worker.running)
    with pytest.raises(StepFailed) as caught:
        limits = Limits(seconds=2 if "longer" in says else HANG_SECONDS, memory_mb=300)
        isolate.call(step, Number(int(argument)), limits=limits, template=template if forked else None)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert Worker.running == before


def test_our_own_errors_cross_as_themselves() -> None:
    with pytest.raises(SourceRefused, match=r"os\.system") as caught:
        isolate.call(steps.refuse, Number(0))
    assert caught.value.detail == "deep"
    with pytest.raises(OutOfSpace):
        isolate.call(steps.full, Number(0))


def test_a_worker_keeps_its_process_and_survives_an_exception() -> None:
    with Worker() as worker:
        first = worker.ask(steps.process_id, Number(0))
        with pytest.raises(StepFailed):
            worker.ask(steps.stumble, Number(0))
        assert worker.ask(steps.process_id, Number(0)) == first
    with pytest.raises(ProcessLookupError):
        os.kill(first.value, 0)


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, pathlib\n"
        f"sys.path.insert(0, {str(Path(steps.__file__).parents[1])!r})\n"
        "from roadworthy.core.isolation.worker import Worker\nfrom support import isolated_steps as steps\n"
        "worker = Worker()\nprint(worker.ask(steps.process_id, steps.Number(0)).value, flush=True)\n"
        "worker.ask(steps.sleep, steps.Number(60))\n"
    )
    import subprocess

    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + HANG_SECONDS
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def test_what_a_step_leaves_in_the_temporary_directory_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Worker() as worker:
        worker.ask(steps.leave_a_file, Number(1))
        assert [path.name[:12] for path in tmp_path.rglob("left-behind-*")] == ["left-behind-"]
    assert list(tmp_path.iterdir()) == []
