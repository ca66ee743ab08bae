"""The cache of results on disk: whole entries or none, none that a step could have planted, and no failure of a deployment through it."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from roadworthy.build.reuse import open_reuse, store
from roadworthy.build.reuse.store import ENTRY, FILES, Entry, KeptFile, NotUsable, Store
from roadworthy.core import codec
from roadworthy.core.errors import EnvironmentFault

KEY = "a" * 64
ENTRY_OF_NOW = Entry("2026-11-30T08:00:00+00:00", '{"path":"out"}', ())


@pytest.fixture
def here() -> Store:
    return store.open_store()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What a step wrote."""
    folder = tmp_path / "made"
    (folder / "inner").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph" * 100)
    (folder / "inner" / "weights.bin").write_bytes(bytes(range(256)))
    return folder


def kept() -> Path:
    """The folder of the entry under ``KEY``."""
    return store.places()[0] / KEY


def test_an_entry_gives_its_result_and_all_of_its_files(here: Store, out: Path, tmp_path: Path) -> None:
    here.put(KEY, ENTRY_OF_NOW, out)
    found = here.get(KEY, tmp_path / "again")
    assert found is not None and (found.made, found.result) == (ENTRY_OF_NOW.made, ENTRY_OF_NOW.result)
    assert (tmp_path / "again" / "model.onnx").read_bytes() == b"graph" * 100
    assert (tmp_path / "again" / "inner" / "weights.bin").read_bytes() == bytes(range(256))
    assert here.get("b" * 64, tmp_path / "other") is None and not (tmp_path / "other").exists()
    # What a later step writes to its copy does not reach the entry.
    (tmp_path / "again" / "model.onnx").write_bytes(b"changed")
    assert here.get(KEY, tmp_path / "third") is not None
    assert (tmp_path / "third" / "model.onnx").read_bytes() == b"graph" * 100


def change_a_byte(entry: Path) -> None:
    data = bytearray((entry / FILES / "model.onnx").read_bytes())
    data[7] ^= 1
    (entry / FILES / "model.onnx").write_bytes(data)


def cut_a_file(entry: Path) -> None:
    os.truncate(entry / FILES / "inner" / "weights.bin", 100)


def remove_a_file(entry: Path) -> None:
    (entry / FILES / "model.onnx").unlink()


def link_a_file(entry: Path) -> None:
    file = entry / FILES / "model.onnx"
    shutil.move(file, entry / "elsewhere")
    file.symlink_to(entry / "elsewhere")


def put_a_pipe(entry: Path) -> None:
    (entry / FILES / "model.onnx").unlink()
    os.mkfifo(entry / FILES / "model.onnx")


def change_the_result(entry: Path) -> None:
    (entry / ENTRY).write_bytes((entry / ENTRY).read_bytes().replace(b"2026", b"2027"))


def forge_all_of_it(entry: Path) -> None:
    """As code of a model could, which may write to the user's cache: the digests of the planted files are right."""
    planted = b"other weights"
    (entry / FILES / "model.onnx").write_bytes(planted)
    file = KeptFile("model.onnx", len(planted), hashlib.sha256(planted).hexdigest())
    (entry / ENTRY).write_bytes(codec.to_json(Entry(ENTRY_OF_NOW.made, ENTRY_OF_NOW.result, (file,))))


def lose_the_entry(entry: Path) -> None:
    shutil.rmtree(entry)


@pytest.mark.parametrize(
    "harm",
    [change_a_byte, cut_a_file, remove_a_file, link_a_file, put_a_pipe, change_the_result, forge_all_of_it, lose_the_entry],
    ids=lambda harm: harm.__name__,
)
def test_what_is_not_as_it_was_kept_is_no_entry_and_leaves(here: Store, out: Path, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    here.put(KEY, ENTRY_OF_NOW, out)
    harm(kept())
    assert here.get(KEY, tmp_path / "again") is None
    assert not (tmp_path / "again").exists() and not kept().exists() and here.state().entries == 0
    here.put(KEY, ENTRY_OF_NOW, out)
    assert here.get(KEY, tmp_path / "again") is not None


def test_an_entry_that_the_ledger_does_not_know_is_none(here: Store, out: Path, tmp_path: Path) -> None:
    kept().mkdir(parents=True)
    shutil.copytree(out, kept() / FILES)
    forge_all_of_it(kept())
    assert here.get(KEY, tmp_path / "again") is None
    store.open_store()
    assert not kept().exists()


def test_a_link_in_place_of_an_entry_is_replaced_and_not_followed(here: Store, out: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").touch()
    kept().symlink_to(tmp_path / "victim")
    here.put(KEY, ENTRY_OF_NOW, out)
    assert here.get(KEY, tmp_path / "again") is not None
    assert not kept().is_symlink() and (tmp_path / "victim" / "file").exists()


@pytest.mark.parametrize("place", [0, 1], ids=["cache", "ledger"])
@pytest.mark.parametrize(
    ("mode", "says"), [(0o777, "other users can write"), (0o770, "other users can write"), (None, "is a link"), (0o700, "another user")]
)
def test_a_folder_that_others_could_have_filled_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, mode: int | None, says: str
) -> None:
    folder = store.places()[place]
    folder.parent.mkdir(parents=True, exist_ok=True)
    if mode is None:
        (tmp_path / "theirs").mkdir()
        folder.symlink_to(tmp_path / "theirs")
    else:
        folder.mkdir()
        folder.chmod(mode)
    if says == "another user":
        monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(NotUsable, match=says):
        store.open_store()
    assert says in store.state().fault
    with pytest.raises(EnvironmentFault, match=says):
        store.clear()


def test_the_folders_are_the_users_alone(here: Store) -> None:
    assert [place.stat().st_mode & 0o777 for place in store.places()] == [0o700, 0o700]


def test_a_ledger_that_steps_may_write_to_is_not_used() -> None:
    ledger = store.places()[1]
    with pytest.raises(NotUsable, match="set XDG_STATE_HOME"):
        store.open_store((ledger.parent,))


def test_a_place_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(NotUsable, match="cannot be made"):
        store.open_store()


def test_names_that_are_not_absolute_are_no_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.places()[0] == tmp_path / ".cache" / "roadworthy"


def test_several_deployments_at_once_find_whole_entries_or_none(out: Path, tmp_path: Path) -> None:
    wrong: list[str] = []

    def deploys(number: int) -> None:
        mine = store.open_store()
        for turn in range(12):
            key = f"{turn % 3}" * 64
            mine.put(key, ENTRY_OF_NOW, out)
            again = tmp_path / f"again-{number}-{turn}"
            found = mine.get(key, again)
            if (found is not None) != again.exists():
                wrong.append(f"{again} is half there")
            elif found and (again / "model.onnx").read_bytes() != b"graph" * 100:
                wrong.append(f"{again} has other content")

    threads = [threading.Thread(target=deploys, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    last = store.open_store()
    assert last.state().entries == 3 and last.get("0" * 64, tmp_path / "last") is not None


def test_no_deployment_sweeps_an_entry_away_while_another_one_writes_it(
    here: Store, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = threading.Thread(target=here.sweep)
    plain = store._write

    def write_late(path: Path, text: str) -> None:
        """The entry is in its place, and the ledger does not know it yet."""
        other.start()
        other.join(0.5)
        plain(path, text)

    monkeypatch.setattr(store, "_write", write_late)
    here.put(KEY, ENTRY_OF_NOW, out)
    other.join()
    assert here.get(KEY, tmp_path / "again") is not None


def test_an_interrupt_while_an_entry_is_written_leaves_none(
    here: Store, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    copies: list[Path] = []

    def interrupted_copy(source: Path, target: Path) -> tuple[int, str]:
        copies.append(source)
        if len(copies) == 2:
            raise KeyboardInterrupt
        return plain(source, target)

    plain = store._copy
    for name, at in (("_copy", interrupted_copy), ("_write", interrupted)):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(store, name, at)
            here.put(KEY, ENTRY_OF_NOW, out)
        assert here.get(KEY, tmp_path / "again") is None
        assert not list(store.places()[0].glob("*.partial"))
    store.open_store()
    assert not list(store.places()[0].iterdir())


def test_what_a_killed_deployment_left_is_removed_by_the_next(here: Store) -> None:
    left = store.places()[0] / "abc.partial"
    left.mkdir()
    (left / ENTRY).write_text("{")
    store.open_store()
    assert not left.exists()


def test_the_entry_that_was_not_used_for_the_longest_time_leaves(
    here: Store, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LARGEST", 1600)
    ledger = store.places()[1]
    for age, key in ((30, "1" * 64), (20, "2" * 64)):
        here.put(key, ENTRY_OF_NOW, out)
        os.utime(ledger / key, (ledger.stat().st_mtime - age, ledger.stat().st_mtime - age))
    assert here.get("1" * 64, tmp_path / "used") is not None
    here.put("3" * 64, ENTRY_OF_NOW, out)
    assert [here.get(key * 64, tmp_path / key) is not None for key in "123"] == [True, False, True]
    assert here.state().size <= 1600
    monkeypatch.setattr(store, "LARGEST", 700)
    here.put("4" * 64, ENTRY_OF_NOW, out)
    assert here.get("4" * 64, tmp_path / "4") is None


def test_a_full_disk_keeps_nothing_and_fails_nothing(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk / "cache"))
    monkeypatch.setattr(store, "SHARE", 10.0)
    here = store.open_store()
    big = tmp_path / "big"
    big.mkdir()
    (big / "weights.bin").write_bytes(bytes(3 * 2**20))
    here.put(KEY, ENTRY_OF_NOW, big)
    assert here.get(KEY, tmp_path / "again") is None
    assert not list(store.places()[0].iterdir())


def test_a_disk_that_fills_while_an_entry_is_taken_out_is_a_miss(here: Store, out: Path, small_disk: Path) -> None:
    (out / "weights.bin").write_bytes(bytes(3 * 2**20))
    here.put(KEY, ENTRY_OF_NOW, out)
    assert here.get(KEY, small_disk / "again") is None
    assert not (small_disk / "again").exists()


def test_links_among_the_files_of_a_step_are_not_kept(here: Store, out: Path, tmp_path: Path) -> None:
    (out / "link").symlink_to("/etc/passwd")
    here.put(KEY, ENTRY_OF_NOW, out)
    assert here.get(KEY, tmp_path / "again") is None


def test_the_cache_can_be_cleared(here: Store, out: Path, tmp_path: Path) -> None:
    here.put(KEY, ENTRY_OF_NOW, out)
    assert here.state().entries == 1 and here.state().size == 756
    store.clear()
    assert store.state().entries == 0 and here.get(KEY, tmp_path / "again") is None


def test_what_an_interrupted_step_left_is_there_for_the_next_run_and_is_no_result(out: Path, tmp_path: Path) -> None:
    reuse, fault = open_reuse(tmp_path, (), wanted=True)
    assert not fault
    again, other = tmp_path / "again", tmp_path / "other"
    again.mkdir()
    other.mkdir()
    reuse.find_unfinished(KEY, again)
    assert not list(again.iterdir()), "nothing was interrupted yet"
    reuse.keep_unfinished(KEY, out)
    assert store.open_store().get(KEY, tmp_path / "result") is None
    reuse.find_unfinished(KEY, again)
    assert (again / "model.onnx").read_bytes() == b"graph" * 100
    reuse.find_unfinished("b" * 64, other)
    assert not list(other.iterdir())
    without, _ = open_reuse(tmp_path, (), wanted=False)
    without.keep_unfinished(KEY, out)
    without.find_unfinished(KEY, other)
    assert not list(other.iterdir())
