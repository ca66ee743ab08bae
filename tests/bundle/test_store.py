"""Writing is all or nothing, whatever happens at whatever moment; reading sees one bundle whole."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roadworthy.bundle import store
from roadworthy.bundle.manifest import File, Manifest
from roadworthy.core.errors import BundleError, OutOfSpace, RoadworthyError, UsageError
from support.models import bundles


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["nothing", "older bundle"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a bundle is to be: a place with nothing, or with an older bundle."""
    place = tmp_path / "shelf" / "bundle"
    place.parent.mkdir()
    if request.param == "older bundle":
        bundles.write_bundle(place, version="old")
    return place


@contextmanager
def untouched(target: Path) -> Iterator[None]:
    """Afterwards all is as before: the same bundle or none, and nothing beside it."""
    before = {path: path.read_bytes() for path in target.parent.rglob("*") if path.is_file()}
    yield
    assert {path: path.read_bytes() for path in target.parent.rglob("*") if path.is_file()} == before
    assert entries(target.parent) in ([], ["bundle"])


@pytest.mark.parametrize("failure", [ValueError("a bug"), KeyboardInterrupt(), SystemExit(3), MemoryError()], ids=repr)
def test_an_exception_while_writing_changes_nothing(target: Path, failure: BaseException) -> None:
    with untouched(target), pytest.raises(type(failure)), store.writing(target) as stage:
        (stage / "half").write_text("written")
        raise failure


@pytest.mark.parametrize("function", ["fsync", "rename"])
@pytest.mark.parametrize("when", range(6))
def test_a_failure_while_it_takes_its_place_changes_nothing(
    target: Path, monkeypatch: pytest.MonkeyPatch, function: str, when: int
) -> None:
    """The n-th call of what syncs and renames is interrupted; without an exchange, so that every rename is passed."""
    monkeypatch.setattr(store, "_exchange", lambda one, other: False)
    real, calls = getattr(os, function), iter(range(1000))

    def failing(*arguments: object, **options: object) -> object:
        if next(calls) == when:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    before = store.read(target).version if target.exists() else None
    with monkeypatch.context() as patch:
        patch.setattr(os, function, failing)
        try:
            bundles.write_bundle(target, version="new")
        except KeyboardInterrupt:
            pass
    found = store.read(target).version if target.exists() else None
    assert found in (before, "new")
    assert entries(target.parent) in ([], ["bundle"])


def test_a_terminated_process_leaves_the_old_bundle(tmp_path: Path) -> None:
    """Ctrl-C as the terminal sends it, to a real process in the middle of packing."""
    target = bundles.write_bundle(tmp_path / "bundle", version="old")
    code = f"""
import signal
from pathlib import Path
from roadworthy.bundle import store
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would inherit that it is ignored
with store.writing(Path({str(target)!r})) as stage:
    (stage / "half").write_text("x")
    print("writing", flush=True)
    import time; time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout and process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert store.read(target).version == "old"
    assert entries(tmp_path) == ["bundle"]


def test_a_process_killed_outright_leaves_no_half_bundle(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    code = f"""
import os, signal
from pathlib import Path
from roadworthy.bundle import store
with store.writing(Path({str(target)!r})) as stage:
    (stage / "manifest.json").write_text("{{}}")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], timeout=30)
    assert not target.exists()
    (left,) = entries(tmp_path)
    assert left.startswith(".bundle.") and left.endswith(".partial")
    assert bundles.write_bundle(target).is_dir()


def test_a_full_disk_says_so_and_changes_nothing(small_disk: Path) -> None:
    target = bundles.write_bundle(small_disk / "bundle", version="old")
    with untouched(target), pytest.raises(OutOfSpace, match="the disk filled up"), store.writing(target) as stage:
        (stage / "weights").write_bytes(b"\0" * 3_000_000)


def test_a_limit_on_file_size_says_so_and_changes_nothing(target: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with untouched(target), pytest.raises(OutOfSpace), store.writing(target) as stage:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            (stage / "weights").write_bytes(b"\0" * 2_000_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_an_exchange_two_renames_do_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_exchange", lambda one, other: False)
    for version in ("1", "2"):
        bundles.write_bundle(tmp_path / "bundle", version=version)
    assert store.read(tmp_path / "bundle").version == "2"
    assert entries(tmp_path) == ["bundle"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two directories in one step")
def test_readers_see_one_bundle_whole_while_others_take_its_place(tmp_path: Path) -> None:
    target = bundles.write_bundle(tmp_path / "bundle", version="0")
    seen: list[str] = []
    wrong: list[RoadworthyError] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                seen.append(store.read(target).version)
            except RoadworthyError as problem:
                wrong.append(problem)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(1, 30):
        bundles.write_bundle(target, version=str(version), golden=bundles.linear_golden(count=1 + version % 7))
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert len(set(seen)) > 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two directories in one step")
def test_on_linux_the_old_bundle_never_steps_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_step_aside", lambda stage, target: pytest.fail("there was a moment without a bundle"))
    for version in ("1", "2"):
        bundles.write_bundle(tmp_path / "bundle", version=version)
    assert store.read(tmp_path / "bundle").version == "2"


def test_a_bundle_replaced_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = bundles.write_bundle(tmp_path / "bundle", version="1")
    real, looks = store._check, iter(range(10))

    def check(root: Path, manifest: Manifest, files: Iterable[File]) -> None:
        if next(looks) == 0:
            bundles.write_bundle(target, version="2", golden=bundles.linear_golden(count=3))
        real(root, manifest, files)

    monkeypatch.setattr(store, "_check", check)
    assert store.read(target).version == "2"


def test_a_directory_that_is_not_a_bundle_is_never_replaced(tmp_path: Path) -> None:
    holiday = tmp_path / "holiday"
    holiday.mkdir()
    (holiday / "manifest.json").write_text("a web extension")
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(holiday)
    for place in ("holiday", "file", "link"):
        with pytest.raises(UsageError, match="exists and is not"), store.writing(tmp_path / place):
            pytest.fail("the block must not run")
    assert (holiday / "manifest.json").read_text() == "a web extension"
    assert entries(tmp_path) == ["file", "holiday", "link"]


def test_an_empty_directory_and_missing_parents_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "new" / "deeper" / "bundle"):
        bundles.write_bundle(place)
        store.read(place)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(UsageError, match=r"cannot be written: .*; choose another output"), store.writing(tmp_path / "file" / "bundle"):
        pytest.fail("the block must not run")


def test_an_error_elsewhere_inside_the_block_names_its_own_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No such file or directory \(/nonexistent/weights\)"), store.writing(tmp_path / "bundle"):
        Path("/nonexistent/weights").stat()


def test_a_link_is_never_sealed(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="weights is a link"), store.writing(tmp_path / "bundle") as stage:
        (stage / "weights").symlink_to("/etc/hostname")
        store.seal(stage, store.read(bundles.write_bundle(tmp_path / "other")))
    assert entries(tmp_path) == ["other"]


def test_quota_counts_as_a_full_disk() -> None:
    assert isinstance(store._translate(OSError(errno.EDQUOT, "quota"), Path("bundle")), OutOfSpace)
