"""TorchServe's archives as sources: the model inside is read by its own format, code needs ``--trust``, and attacks are refused."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from roadworthy.build import sources
from roadworthy.core.errors import SourceError, SourceRefused, SourceUnreadable, UsageError
from roadworthy.core.isolation import unchanged
from roadworthy.core.stages import Source
from support.files import onnx_files

NET = b"""
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x):
        return self.linear(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return self.block(x)
"""
RUN = b"raise SystemExit('code of the archive ran')\n"
Packer = Callable[[Path, dict[str, bytes]], Path]


def members(model: dict[str, Any], **files: bytes) -> dict[str, bytes]:
    stated = {"createdOn": "", "runtime": "python", "model": {"modelName": "m", "modelVersion": "1.0", "handler": "handler.py", **model}}
    return {"MAR-INF/MANIFEST.json": json.dumps(stated).encode(), "handler.py": RUN, **files}


def zipped(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "m.mar"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(folder: Path, files: dict[str, bytes], name: str = "m.tar.gz") -> Path:
    path = folder / name
    with tarfile.open(path, "w:gz") as archive:
        for member, data in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def unpacked(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / "m" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / "m"


def onnx_model(tmp_path: Path) -> bytes:
    return onnx_files.linear(tmp_path / "inner.onnx").read_bytes()


def identified(path: Path, **options: Any) -> Source:
    return sources.identify(path, unpacked=path.parent / "unpacked", **options)


@pytest.mark.parametrize("pack", [zipped, tarred, unpacked])
def test_each_form_of_the_archive_holds_the_same_model(tmp_path: Path, pack: Packer) -> None:
    path = pack(tmp_path, members({"serializedFile": "m.onnx"}, **{"m.onnx": onnx_model(tmp_path)}))
    found = identified(path)
    assert found.kind == "onnx" and found.named == path.absolute() and found.path.name == "m.onnx"
    assert [str(spec) for spec in found.takes] == ["x:float32[batch,8]"]
    assert "handler.py" in found.notes[0] and "is never run" in found.notes[0]
    inspected = sources.inspect(path)
    assert inspected.kind == "mar" and inspected.signature is not None and "is never run" in inspected.notes[0]


def test_what_is_checked_for_changes_is_the_archive_and_what_came_out_of_it(tmp_path: Path) -> None:
    path = zipped(tmp_path, members({"serializedFile": "m.onnx"}, **{"m.onnx": onnx_model(tmp_path)}))
    found = identified(path)
    assert found.sha256 == unchanged.sum_of(path) and found.size == path.stat().st_size
    unchanged.refuse_changed(found)
    for file in (found.path, path):
        kept = file.read_bytes()
        file.write_bytes(kept + b"x")
        with pytest.raises(SourceError, match="was changed"):
            unchanged.refuse_changed(found)
        file.write_bytes(kept)


def state_dict(tmp_path: Path) -> bytes:
    names: dict[str, Any] = {}
    exec(NET, names)
    torch.manual_seed(0)
    torch.save(names["Net"]().state_dict(), tmp_path / "m.pt")
    return (tmp_path / "m.pt").read_bytes()


@pytest.mark.parametrize("pack", [zipped, tarred, unpacked])
def test_weights_need_trust_for_the_code_that_builds_them(tmp_path: Path, pack: Packer) -> None:
    path = pack(tmp_path, members({"serializedFile": "m.pt", "modelFile": "net.py"}, **{"m.pt": state_dict(tmp_path), "net.py": NET}))
    with pytest.raises(SourceRefused, match=r"net\.py, the code that builds their model; name code that you know with --arch"):
        identified(path)
    assert sources.inspect(path).executes == ("net.py (the code that builds the model)",)
    trusted = sources.identify(path, trust=True, unpacked=tmp_path / "again")
    assert trusted.arch is not None and trusted.arch.endswith("net.py:Net") and any(file.path.name == "net.py" for file in trusted.files)
    (tmp_path / "own.py").write_bytes(NET)
    assert sources.identify(path, arch=f"{tmp_path / 'own.py'}:Net", unpacked=tmp_path / "own").arch == f"{tmp_path / 'own.py'}:Net"


@pytest.mark.slow
def test_the_model_of_an_archive_is_built_by_its_own_class(tmp_path: Path) -> None:
    path = zipped(tmp_path, members({"serializedFile": "m.pt", "modelFile": "net.py"}, **{"m.pt": state_dict(tmp_path), "net.py": NET}))
    loaded = sources.load(sources.LoadRequest(identified(path, trust=True), (), None, tmp_path / "out"))
    assert [spec.name for spec in loaded.signature.inputs] == ["x"] and loaded.parameters == 36
    assert "is never run" in loaded.notes[0]


def test_a_class_that_is_not_clear_is_asked_for(tmp_path: Path) -> None:
    code = NET + b"\nclass Other(nn.Module):\n    pass\n"
    path = zipped(tmp_path, members({"serializedFile": "m.pt", "modelFile": "net.py"}, **{"m.pt": state_dict(tmp_path), "net.py": code}))
    with pytest.raises(UsageError, match=r"which class of it is the model is not clear \(Net, Other\); name it: --arch FILE.py:CALLABLE"):
        identified(path, trust=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_program_inside_needs_trust(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(8, 4)).save(str(tmp_path / "m.ts"))
    path = zipped(tmp_path, members({"serializedFile": "m.ts"}, **{"m.ts": (tmp_path / "m.ts").read_bytes()}))
    with pytest.raises(SourceRefused, match=r"m\.ts in .*m\.mar is a TorchScript program .*pass --trust"):
        identified(path)
    assert sources.identify(path, trust=True, unpacked=tmp_path / "again").kind == "jit"


def test_an_archive_with_a_bundle_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path, members({}, **{"bundle/manifest.json": b"{}"}))
    with pytest.raises(SourceError, match="holds a bundle of Roadworthy, which is deployed already"):
        identified(path)


def test_an_archive_in_an_archive_is_refused(tmp_path: Path) -> None:
    inner = zipped(tmp_path, members({"serializedFile": "m.onnx"}, **{"m.onnx": onnx_model(tmp_path)})).read_bytes()
    path = zipped(tmp_path, members({"serializedFile": "inner.mar"}, **{"inner.mar": inner}))
    for read in (identified, sources.inspect):
        with pytest.raises(SourceError, match="is an archive or a repository itself"):
            read(path)


def linked(kind: bytes, target: str = "/etc/passwd") -> Callable[[tarfile.TarFile], None]:
    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("m.onnx")
        info.type, info.linkname = kind, target
        archive.addfile(info)

    return add


def named(name: str, times: int = 1) -> Callable[[tarfile.TarFile], None]:
    def add(archive: tarfile.TarFile) -> None:
        for _ in range(times):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))

    return add


@pytest.mark.parametrize(
    ("add", "says"),
    [
        (named("../out"), "leads out of the archive"),
        (named("/tmp/out"), "leads out of the archive"),
        (named("a\\..\\out"), "leads out of the archive"),
        (named("twice", 2), "two members of one name"),
        (linked(tarfile.SYMTYPE), "is neither a file nor a folder|neither a file nor a folder"),
        (linked(tarfile.LNKTYPE, "handler.py"), "neither a file nor a folder"),
        (linked(tarfile.CHRTYPE), "neither a file nor a folder"),
        (linked(tarfile.FIFOTYPE), "neither a file nor a folder"),
    ],
)
def test_attacks_by_a_tar_archive_are_refused(tmp_path: Path, add: Callable[[tarfile.TarFile], None], says: str) -> None:
    path = tmp_path / "m.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        named("MAR-INF/MANIFEST.json")(archive)
        add(archive)
    with pytest.raises(SourceUnreadable, match=says):
        identified(path)
    assert not (tmp_path / "out").exists() and not Path("/tmp/out").exists()


def test_a_tar_archive_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("big")
        info.size = 64 * 2**20
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(SourceUnreadable, match="decompression bomb"):
        identified(path)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """A PAX header states its own size, which a reader would take into memory."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2**33
    (tmp_path / "m.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024), compresslevel=0))
    with pytest.raises(SourceUnreadable):
        identified(tmp_path / "m.tar.gz")


@pytest.mark.parametrize("cut", [3, 40, 200])
def test_a_tar_archive_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = tarred(tmp_path, members({"serializedFile": "m.onnx"}, **{"m.onnx": np.random.default_rng(0).bytes(4000)}))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(SourceUnreadable):
        identified(path)


def test_a_link_in_a_zip_archive_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, members({"serializedFile": "m.onnx"}))
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("m.onnx")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceUnreadable, match=r"'m\.onnx', which is neither a file nor a folder"):
        identified(path)


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, members({"serializedFile": "m.onnx"}, **{"m.onnx": b"x", "m.onnx/inside": b"y"}))
    with pytest.raises(SourceUnreadable, match="below a member that is not a folder"):
        identified(path)


def test_a_link_out_of_an_unpacked_archive_is_refused(tmp_path: Path) -> None:
    onnx_files.linear(tmp_path / "elsewhere.onnx")
    folder = unpacked(tmp_path, members({"serializedFile": "m.onnx"}))
    (folder / "m.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(SourceUnreadable, match=r"m\.onnx is a link that leads out of the archive"):
        identified(folder)


def test_any_other_file_that_gzip_has_packed_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"text"))
    with pytest.raises(SourceUnreadable, match="is not a model file of a known format"):
        identified(tmp_path / "x.gz")
