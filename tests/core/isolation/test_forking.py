"""A step that is a fork of a process with its imports done is what a fresh one is: alone, limited, confined, with state of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roadworthy.core.errors import StepFailed
from roadworthy.core.isolation import forking, isolate
from roadworthy.core.isolation.forking import Template, Templates
from roadworthy.core.isolation.worker import Worker
from support import isolated_steps as steps
from support.isolated_steps import Number, Text
from support.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux is a step a fork")


@pytest.fixture
def templates() -> Iterator[Templates]:
    with Templates() as started:
        yield started


def template_of(templates: Templates, *modules: str) -> Template:
    found = templates.of(modules)
    assert found is not None
    return found


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_steps_are_forks_of_one_process_that_has_the_imports(templates: Templates) -> None:
    template = template_of(templates, "numpy")
    parents = {isolate.call(steps.parent_id, Number(0), template=template).value for _ in range(2)}
    assert len(parents) == 1
    assert os.getpid() not in parents
    assert isolate.call(steps.is_imported, Text("numpy"), template=template) == Number(1)
    assert isolate.call(steps.is_imported, Text("numpy"), template=template_of(templates, "json")) == Number(0)
    templates.close()
    assert not running(parents.pop())


def test_what_a_step_changes_is_changed_in_no_other(templates: Templates) -> None:
    template = template_of(templates, "json")
    for _ in range(2):
        with Worker(template=template) as worker:
            assert [worker.ask(steps.calls, Number(0)).value for _ in range(2)] == [1, 3]


def test_a_step_has_the_descriptors_of_a_fresh_process_and_no_others(templates: Templates) -> None:
    template = template_of(templates, "numpy")

    def kinds(worker: Worker) -> list[str]:
        # A pipe and a file without a name have a number behind these.
        return [re.split("[:#]", line.partition(" ")[2])[0] for line in worker.ask(steps.descriptors, Number(0)).value.splitlines()]

    with Worker() as fresh, Worker(template=template) as first, Worker(template=template) as second:
        assert kinds(first) == kinds(fresh)
        assert kinds(second) == kinds(fresh)
        listed = [set(worker.ask(steps.descriptors, Number(0)).value.splitlines()) for worker in (first, second)]
        pipes = [{line.partition(" ")[2] for line in lines if "pipe:" in line} for lines in listed]
        assert len(pipes[0]) == 2
        assert not pipes[0] & pipes[1]


def test_a_step_draws_random_numbers_of_its_own(templates: Templates) -> None:
    template = template_of(templates, "numpy", "numpy.random")
    pairs = [isolate.call(steps.drawn, Number(0), template=template).value.split() for _ in range(2)]
    assert all(first != second for first, second in zip(*pairs, strict=True))


def test_a_step_has_the_variables_the_folder_and_the_modules_of_a_fresh_one(
    templates: Templates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template_of(templates, "json")
    monkeypatch.setenv("A_VARIABLE", "set later")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("FOUND = __import__('os').getcwd()")
    template = template_of(templates, "json")
    assert isolate.call(steps.variable, Text("A_VARIABLE"), template=template) == Text("set later")
    assert isolate.call(steps.import_file, Text("mine.py"), template=template) == Text(str(tmp_path))
    assert isolate.call(steps.search_path, Number(0), template=template) == isolate.call(steps.search_path, Number(0))
    places = {isolate.call(steps.temporary, Number(0), template=template).value for _ in range(2)}
    assert len(places) == 2
    assert not any(Path(place).exists() for place in places)
    assert all(Path(place).parent == Path(tempfile.gettempdir()) for place in places)


def test_what_a_library_keeps_in_the_temporary_directory_of_the_imports_is_kept_in_that_of_the_step(
    templates: Templates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, "keeps_files", "import os, tempfile\nos.environ['KEEPS_FILES_IN'] = tempfile.gettempdir() + '/kept'\n")
    template = template_of(templates, "keeps_files")
    assert isolate.call(steps.is_imported, Text("keeps_files"), template=template) == Number(1)
    assert isolate.call(steps.variable, Text("KEEPS_FILES_IN"), template=template) == Text("")


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    """A module as an installed package has it."""
    folder = tmp_path / "site-packages"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))


def test_a_template_with_a_thread_is_not_forked(templates: Templates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(
        tmp_path,
        monkeypatch,
        "has_a_thread",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n",
    )
    template = template_of(templates, "has_a_thread")
    assert isolate.call(steps.parent_id, Number(0), template=template) == Number(os.getpid())
    assert isolate.call(steps.is_imported, Text("has_a_thread"), template=template) == Number(0)


def test_a_module_that_cannot_be_imported_is_left_to_the_step(
    templates: Templates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, "is_broken", "raise RuntimeError('broken')\n")
    template = template_of(templates, "is_broken", "is_absent", "numpy")
    assert isolate.call(steps.parent_id, Number(0), template=template) != Number(os.getpid())
    assert isolate.call(steps.is_imported, Text("numpy"), template=template) == Number(1)


def test_no_module_of_the_users_is_imported_before_the_fork(templates: Templates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "marker"
    for name in ("onnx", "numpy"):
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    template = template_of(templates, "onnx", "numpy")
    assert isolate.call(steps.parent_id, Number(0), template=template) != Number(os.getpid())
    assert not marker.exists()


@pytest.mark.parametrize("step", [steps.kill_the_parent, steps.kill_the_parents_group])
def test_after_a_template_was_killed_steps_start_afresh(templates: Templates, step: Callable[[Number], Number]) -> None:
    template = template_of(templates, "json")
    with pytest.raises(StepFailed, match="was killed"):
        isolate.call(step, Number(0), template=template)
    assert isolate.call(steps.parent_id, Number(0), template=template) == Number(os.getpid())


def test_a_template_serves_after_the_thread_that_started_it_has_ended(templates: Templates) -> None:
    found: list[Template] = []
    thread = threading.Thread(target=lambda: found.append(template_of(templates, "json")))
    thread.start()
    thread.join()
    first = isolate.call(steps.parent_id, Number(0), template=found[0])
    assert first != Number(os.getpid())
    assert isolate.call(steps.parent_id, Number(0), template=found[0]) == first


def test_steps_of_several_threads_are_forked_at_once(templates: Templates) -> None:
    template = template_of(templates, "json")
    answers: dict[int, Number] = {}

    def ask(value: int) -> None:
        answers[value] = isolate.call(steps.double, Number(value), template=template)

    threads = [threading.Thread(target=ask, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {value: Number(2 * value) for value in range(8)}


def test_closing_ends_a_template_that_still_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, "is_slow", f"open({str(tmp_path / 'began')!r}, 'w').close()\n__import__('time').sleep(600)\n")
    templates = Templates()
    template = template_of(templates, "is_slow")
    asked: list[Number] = []
    waiting = threading.Thread(target=lambda: asked.append(isolate.call(steps.parent_id, Number(0), template=template)))
    waiting.start()
    until((tmp_path / "began").exists, "the import began")
    templates.close()
    waiting.join(HANG_SECONDS)
    assert asked == [Number(os.getpid())]


def test_the_template_and_its_forks_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    # No `if __name__ == "__main__"` stands in it.
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(steps.__file__).parents[1])!r})\n"
        "from roadworthy.core.isolation.forking import Templates\nfrom roadworthy.core.isolation.worker import Worker\n"
        "from support import isolated_steps as steps\n"
        "worker = Worker(template=Templates().of(('json',)))\n"
        "print(worker.pid, worker.ask(steps.parent_id, steps.Number(0)).value, flush=True)\nworker.ask(steps.sleep, steps.Number(600))\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert all(map(running, pids))
        assert parent.pid not in pids
        parent.kill()
    until(lambda: not any(map(running, pids)), "the template and its fork ended")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "module"),
    [
        (steps.convolved, "roadworthy.frameworks.torch.preload"),
        (steps.convolved_by_tensorflow, "roadworthy.frameworks.tensorflow.preload"),
    ],
)
def test_a_framework_answers_the_same_on_the_threads_that_the_step_asks_for(
    templates: Templates, step: Callable[[Number], Text], module: str
) -> None:
    template = template_of(templates, module)
    assert isolate.call(steps.parent_id, Number(0), template=template) != Number(os.getpid())
    for threads in (1, 2):
        forked = isolate.call(step, Number(threads), template=template)
        assert forked.value.split()[1] == str(threads)
        assert not forked.value.endswith("False")
        if threads == 2:
            assert forked == isolate.call(step, Number(threads))


def test_a_template_finds_a_copy_of_roadworthy_that_is_not_installed(tmp_path: Path) -> None:
    own = str(Path(forking.__file__).parents[3])
    kept = forking._without_users(os.pathsep.join([own, str(tmp_path)])).split(os.pathsep)
    assert own in kept
    assert str(tmp_path) not in kept
