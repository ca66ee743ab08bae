"""Code of the user's that writes finds nothing of the user's to write to: by the kernel, or because it sees copies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roadworthy.core.errors import StepFailed
from roadworthy.core.isolation import confinement, isolate, landlock, scratch, worker
from roadworthy.core.isolation.confinement import Confinement
from roadworthy.core.isolation.forking import Template, Templates
from roadworthy.core.isolation.usercode import Heard
from roadworthy.core.isolation.worker import Limits, Worker
from support import isolated_steps as steps
from support.isolated_steps import Text

guarded = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock, or one that is too old")

RELATIVE = {
    "saves over it": "open('net.pt', 'wb').write(b'trained')",
    "saves by C": "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.fopen.restype = ctypes.c_void_p\nlibc.fopen(b'net.pt', b'w')",
    "deletes": "import os\nos.remove('net.pt')",
    "writes a neighbour": "open('labels.txt', 'a').write('z')\nopen('new.txt', 'w').write('z')",
    "renames over it": "import os\nopen('made.pt', 'w').write('x')\nos.rename('made.pt', 'net.pt')",
    "truncates": "import os\nos.truncate('net.pt', 0)",
    "asks another program": "import subprocess\nsubprocess.run('echo trained > net.pt', shell=True)",
    "writes beside itself": "from pathlib import Path\nPath(__file__).with_name('net.pt').write_bytes(b'trained')",
    "deletes beside itself": "from pathlib import Path\nPath(__file__).with_name('net.pt').unlink()",
    "goes home and writes": "import os\nos.chdir(os.path.dirname(__file__))\nopen('net.pt', 'w').write('trained')",
    "writes far below": "import os\nos.makedirs('deep', exist_ok=True)\nopen('deep/values.txt', 'w').write('z')",
}
ABSOLUTE = {
    "saves over it": "open({place!r}, 'wb').write(b'trained')",
    "deletes": "import os\nos.remove({place!r})",
    "truncates": "import os\nos.truncate({place!r}, 0)",
    "renames over it": "import os\nopen('made.pt', 'w').write('x')\nos.rename('made.pt', {place!r})",
    "links and writes": "import os\nos.link({place!r}, 'twin.pt')\nopen('twin.pt', 'w').write('trained')",
    "asks another program": "import subprocess\nsubprocess.run(['sh', '-c', 'echo trained > ' + {place!r}])",
    "makes a folder": "import os\nos.mkdir({place!r} + '.d')",
    "forks": "import os\npid = os.fork()\nif not pid:\n    os.system('echo x > ' + {place!r})\n    os._exit(0)\nos.waitpid(pid, 0)",
    "starts a thread": "import threading\nt = threading.Thread(target=lambda: open({place!r}, 'w').write('x'))\nt.start()\nt.join()",
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's working directory, with a checkpoint, small files and a folder of data."""
    desk = tmp_path / "desk"
    (desk / "deep").mkdir(parents=True)
    (desk / "net.pt").write_bytes(b"weights")
    (desk / "labels.txt").write_text("cat\ndog\n")
    (desk / "deep" / "values.txt").write_text("17")
    (desk / "helper.py").write_text("VALUE = 23\n")
    monkeypatch.chdir(desk)
    return desk


@pytest.fixture(params=["landlock", "copies"])
def confined(request: pytest.FixtureRequest, desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Confinement]:
    if request.param == "copies":
        monkeypatch.setattr(landlock, "version", lambda: 0)
    elif not landlock.version():
        pytest.skip("this kernel has no Landlock, or one that is too old")
    with scratch.Directory() as made:
        yield confinement.prepare(made.path, [desk], [desk / "net.pt"])


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(name: str, text: str, confined: Confinement) -> None:
    """A file of the user's, and its copy where the child sees copies: here it is written after they were made."""
    Path(name).write_text(text)
    for folder, copy in confined.copies:
        if folder == Path.cwd():
            (copy / name).write_text(text)


def run(confined: Confinement, code: str, heard: list[Heard] | None = None, template: Template | None = None) -> str:
    write("train.py", code, confined)
    before = state(Path.cwd())
    hear = heard.append if heard is not None else lambda heard: None
    found = isolate.call(steps.import_file, Text("train.py"), confinement=confined, hear=hear, template=template)
    assert state(Path.cwd()) == before
    return found.value


@pytest.mark.parametrize("code", RELATIVE.values(), ids=RELATIVE)
def test_what_is_written_by_a_relative_name_or_beside_the_code_changes_nothing(
    desk: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for without in (False, True):
        if without:
            monkeypatch.setattr(landlock, "version", lambda: 0)
        with scratch.Directory() as made:
            run(confinement.prepare(made.path, [desk], [desk / "net.pt"]), code)


@guarded
@pytest.mark.parametrize("code", ABSOLUTE.values(), ids=ABSOLUTE)
def test_the_kernel_refuses_what_is_written_by_an_absolute_name(desk: Path, code: str) -> None:
    with scratch.Directory() as made, Templates() as templates:
        given = confinement.prepare(made.path, [desk], [desk / "net.pt"])
        for template in (None, templates.of(("roadworthy.core.errors",))):
            run(given, code.format(place=str(desk / "net.pt")), template=template)


@guarded
def test_a_refused_write_is_explained(desk: Path) -> None:
    with scratch.Directory() as made:
        said = run(confinement.prepare(made.path, [desk], []), f"open({str(desk / 'net.pt')!r}, 'w')")
    assert said.startswith("PermissionError; meanwhile user code may write to its working directory, which is a scratch copy,")


def test_what_lies_in_the_working_directory_is_read_as_before(confined: Confinement, desk: Path) -> None:
    code = (
        "import tempfile\nfrom pathlib import Path\nfrom helper import VALUE\n"
        "with tempfile.NamedTemporaryFile('w') as file:\n    file.write('x')\n"
        "beside = Path(__file__).with_name('labels.txt').exists()\n"
        "FOUND = open('labels.txt').read().split(), open('deep/values.txt').read(), VALUE, beside\n"
    )
    assert run(confined, code) == "(['cat', 'dog'], '17', 23, True)"


@guarded
def test_a_large_file_is_read_where_it_lies(desk: Path) -> None:
    (desk / "net.pt").write_bytes(b"x" * (confinement.SMALL + 1))
    with scratch.Directory() as made:
        given = confinement.prepare(made.path, [desk], [desk / "net.pt"])
        assert run(given, "FOUND = len(open('net.pt', 'rb').read())") == str(confinement.SMALL + 1)
        assert run(given, "open('net.pt', 'wb')").startswith("PermissionError")


def test_without_the_kernel_a_large_file_is_not_there_and_this_is_said(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    (desk / "net.pt").write_bytes(b"x" * (confinement.SMALL + 1))
    with scratch.Directory() as made:
        said = run(confinement.prepare(made.path, [desk], []), "open('net.pt', 'rb')")
    assert "copy of its folder without large files: name what it reads by an absolute path" in said


def test_code_in_another_folder_sees_its_neighbours(tmp_path: Path, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other" / "package"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    (other / "sizes.py").write_text("SIZE = 5\n")
    (other / "net.py").write_text(
        "from pathlib import Path\nfrom .sizes import SIZE as FOUND\nPath(__file__).with_name('sizes.py').unlink()\n"
    )
    for without in (False, True):
        if without:
            monkeypatch.setattr(landlock, "version", lambda: 0)
        with scratch.Directory() as made:
            given = confinement.prepare(made.path, [other.parent], [])
            isolate.call(steps.import_file, Text(str(other / "net.py")), confinement=given)
        assert (other / "sizes.py").is_file()


@guarded
def test_a_cache_may_be_written_unless_the_source_lies_in_it(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    code = f"open({str(cache / 'weights.bin')!r}, 'w').write('x')"
    with scratch.Directory() as made:
        run(confinement.prepare(made.path, [desk], [desk / "net.pt"]), code)
    assert (cache / "weights.bin").is_file()
    with scratch.Directory() as made:
        assert run(confinement.prepare(made.path, [desk], [cache / "weights.bin"]), code).startswith("PermissionError")


def test_what_it_writes_in_the_working_directory_is_named(confined: Confinement, desk: Path) -> None:
    before = confined.listing()
    run(confined, "open('net.pt', 'wb').write(b'trained')\nopen('log.txt', 'w').write('x')")
    (said,) = confined.written(before)
    assert "net.pt" in said
    assert "log.txt" in said
    assert "thrown away" in said


def test_what_it_prints_is_heard_line_by_line_and_bounded(confined: Confinement, desk: Path) -> None:
    heard: list[Heard] = []
    code = (
        "import sys\nprint('loss', 0.5)\nsys.stderr.write('10%\\r50%\\r100%\\n')\nprint('x' * 5000)\n"
        "for number in range(5000): print(number)\nprint('end', end='')\nsys.stdout.flush()\n"
    )
    run(confined, code, heard)
    lines = [one.text for one in heard if one.kind == "print"]
    assert lines[:2] == ["train.py | loss 0.5", "train.py | 100%"]
    assert len(lines) <= 1002
    assert max(map(len, lines)) < 400


def test_work_at_import_is_said_before_it_runs_in_a_neighbour_too(confined: Confinement, desk: Path) -> None:
    write("other.py", "def train():\n    print('training')\n\ntrain()\n", confined)
    heard: list[Heard] = []
    run(confined, "import other\n", heard)
    assert [(one.kind, one.text.partition(":")[0]) for one in heard] == [
        ("note", "other.py runs code when it is imported"),
        ("print", "train.py | training"),
    ]


def test_code_that_runs_long_is_named_and_can_be_interrupted(confined: Confinement, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE", 0.0)
    heard: list[Heard] = []

    def hear(one: Heard) -> None:
        heard.append(one)
        if one.kind == "slow" and "line 2" in one.text:
            raise KeyboardInterrupt

    write("train.py", "x = 1\nwhile True: pass\n", confined)
    with pytest.raises(KeyboardInterrupt):
        isolate.call(steps.import_file, Text("train.py"), confinement=confined, hear=hear)
    assert not Worker.running
    assert "train.py is still running; it may be training while it is imported; see line 2 of train.py" in heard[-1].text


def test_code_that_prints_without_end_is_stopped_by_the_time_limit(confined: Confinement, desk: Path) -> None:
    write("train.py", "while True: print('.')\n", confined)
    with pytest.raises(StepFailed, match="longer than 2 s"):
        isolate.call(steps.import_file, Text("train.py"), confinement=confined, limits=Limits(seconds=2))


def test_nothing_is_copied_where_no_code_of_the_users_runs(desk: Path) -> None:
    with scratch.Directory() as made:
        given = confinement.prepare(made.path, [], [desk / "net.pt"])
        assert given.working is not None
        assert list(given.working.iterdir()) == []
