"""Hostile model files: nothing in them runs, and any damage to their bytes gives one of our own errors."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from roadworthy.build import sources
from roadworthy.build.sources import LoadRequest
from roadworthy.core.errors import RoadworthyError, SourceError, SourceRefused, SourceUnreadable

NET = "from torch import nn\ndef build():\n    return nn.Linear(4, 2)\n"


class Payload:
    """Touches a marker file when it is unpickled."""

    def __init__(self, marker: Path, how: str = "os") -> None:
        self.marker, self.how = marker, how

    def __reduce__(self) -> Any:
        if self.how == "os":
            return os.system, (f"touch {self.marker}",)
        return eval, (f"open({str(self.marker)!r}, 'w').close()",)


def state() -> dict[str, torch.Tensor]:
    return nn.Linear(4, 2).state_dict()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def hidden_in(place: str, payload: Payload) -> Any:
    if place == "root":
        return payload
    if place == "beside":
        return {"state_dict": state(), "hparams": payload}
    if place == "deep":
        return {"state_dict": state(), "a": [{"b": ({"c": payload},)}]}
    held = OrderedDict(state())
    held["weight"] = payload  # type: ignore[assignment]
    return held


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["root", "beside", "deep", "inside"])
@pytest.mark.parametrize(("how", "asked"), [("os", "os.system"), ("eval", "builtins.eval|__builtin__.eval")])
def test_a_pickle_that_would_run_code_is_refused_by_name_and_does_not_run(
    place: str, zipped: bool, how: str, asked: str, marker: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    torch.save(hidden_in(place, Payload(marker, how)), path, _use_new_zipfile_serialization=zipped)
    (tmp_path / "net.py").write_text(NET)
    assert any(name in asked.split("|") for name in sources.inspect(path).executes)
    with pytest.raises(SourceRefused, match=f"({asked}).*--trust"):
        sources.identify(path, arch=f"{tmp_path / 'net.py'}:build")
    assert not marker.exists()


def test_the_payload_works_where_it_is_trusted(marker: Path, tmp_path: Path) -> None:
    """Otherwise the tests above would prove nothing."""
    torch.save({"state_dict": state(), "hparams": Payload(marker)}, tmp_path / "model.pt")
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("place", ["root", "beside"])
def test_a_source_that_lies_about_itself_still_runs_nothing(place: str, marker: Path, tmp_path: Path) -> None:
    """Where the static inspection is deceived, the reader itself refuses: it reads weights only."""
    from dataclasses import replace

    (tmp_path / "net.py").write_text(NET)
    torch.save(state(), tmp_path / "good.pt")
    source = sources.identify(tmp_path / "good.pt", arch=f"{tmp_path / 'net.py'}:build")
    torch.save(hidden_in(place, Payload(marker)), tmp_path / "bad.pt")
    for kind in ("checkpoint", "pickled", "jit", "exported"):
        with pytest.raises(SourceError):
            sources.load(LoadRequest(replace(source, path=tmp_path / "bad.pt", kind=kind), (), None, tmp_path))
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_of_any_protocol(protocol: int, marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Payload(marker), protocol))
    with pytest.raises(SourceError):
        sources.identify(path)
    assert not marker.exists()


def test_code_in_the_preamble_of_the_old_format(marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(state(), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    assert data.startswith(magic)
    path.write_bytes(magic + pickle.dumps(Payload(marker), 2) + data[len(magic) :])
    with pytest.raises(SourceRefused, match=r"os\.system"):
        sources.identify(path, arch="x.y:z")
    assert not marker.exists()


@pytest.mark.parametrize(
    "stream",
    [
        b"\x80\x02cos\nsystem\n.",  # a global alone
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x80\x02(S'x'\nios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\nS'x'\no.",  # OBJ
        b"\x80\x02cos\nsystem\n)\x81.",  # NEWOBJ
        b"\x80\x04cos\nsystem\n)}\x92.",  # NEWOBJ_EX
        b"\x80\x02cposix\nsystem\nX\x01\x00\x00\x00x\x85R.",
        b"\x80\x02}cos\nsystem\n0.",  # asked for and thrown away
    ],
)
def test_every_opcode_that_asks_for_a_name_is_seen(stream: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(stream)
    with pytest.raises(SourceRefused, match=r"os\.system"):
        sources.identify(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "stream",
    [
        b"\x80\x02N" + b"r\xff\xff\xff\x7f.",  # LONG_BINPUT at 2 ** 31: a memo of 16 GiB, were it an array
        b"\x80\x04\x96" + struct.pack("<Q", 2**40) + b".",  # BYTEARRAY8 of 1 TiB
        b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b".",  # BINBYTES8
        b"\x80\x02" + b"(" * 200_000 + b"l" * 200_000 + b".",  # deep nesting
        b"\x80\x02]" + b"2a" * 1000 + b".",  # a list in itself
        b"\x80\x02)" + b"2\x86" * 5000 + b".",  # a tuple whose text would be 2 ** 5000 long
        b"\x80\x02}" + b")" + b"2\x86" * 500 + b"Ns.",  # the same as a key
        b"\x80\x02.",  # nothing on the stack
        b"\x80\x02t.",  # no mark
        b"\x80\x02h\x07.",  # no such memo
        b"\x80\x02I" + b"9" * 100_000 + b"\n.",  # a number of 100,000 digits
        b"\x80\x02\x82\x01.",  # an extension code
    ],
)
def test_pickles_that_attack_the_reader_itself(stream: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(stream)
    with pytest.raises(SourceError) as caught:
        sources.identify(tmp_path / "model.pt")
    assert len(caught.value.message) < 1000


def program(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(nn.Linear(4, 2).eval(), (torch.randn(2, 4),)), path)
    return path


def test_an_exported_program_with_a_pickle_among_its_weights(marker: Path, tmp_path: Path) -> None:
    path, evil = program(tmp_path), tmp_path / "evil.pt2"
    payload = io.BytesIO()
    torch.save(Payload(marker), payload)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(evil, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("model_weights_config.json"):
                data = data.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
            new.writestr(name, payload.getvalue() if name.endswith("weights/weight_0") else data)
    assert "a pickle, data/weights/weight_0" in sources.inspect(evil).executes
    with pytest.raises(SourceRefused, match=r"data/weights/weight_0.*--trust"):
        sources.identify(evil)
    assert not marker.exists()
    with pytest.raises(Exception):  # noqa: B017  (torch's own business: it ran the payload first)
        torch.export.load(evil)
    assert marker.exists()


def test_a_compiled_package_is_native_code_and_stays_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("m/data/aotinductor/model/a.so", b"\x7fELF")
        archive.writestr("m/archive_format", b"pt2")
    with pytest.raises(SourceError, match="native code"):
        sources.identify(tmp_path / "model.pt2", trust=True)


def archived(path: Path, members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["m/../../data.pkl", "/etc/data.pkl", "m\\..\\data.pkl"])
def test_member_names_that_lead_out_of_the_archive(name: str, tmp_path: Path) -> None:
    path = archived(tmp_path / "model.pt", [("m/data.pkl", pickle.dumps({}, 2)), (name, b"x")])
    with pytest.raises(SourceUnreadable, match="leads out of the archive"):
        sources.identify(path)


def test_decompression_bombs(tmp_path: Path) -> None:
    path = archived(tmp_path / "model.pt", [("m/data.pkl", bytes(80 * 2**20))], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    with pytest.raises(SourceUnreadable, match="a decompression bomb"):
        sources.identify(path)


def test_two_members_of_one_name(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = archived(tmp_path / "model.pt", [("m/data.pkl", pickle.dumps({}, 2)), ("m/data.pkl", b"x")])
    with pytest.raises(SourceUnreadable, match="two members of one name"):
        sources.identify(path)


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    """The decompression bomb without nesting (Fifield 2019): many entries in the directory for one member."""
    path = archived(tmp_path / "model.pt", [("m/data.pkl", bytes(5000)), *((f"m/{n:03}", b"") for n in range(50))])
    data = bytearray(path.read_bytes())
    at, sizes = data.find(b"PK\x01\x02"), data[data.find(b"PK\x01\x02") + 16 : data.find(b"PK\x01\x02") + 28]
    while (at := data.find(b"PK\x01\x02", at + 1)) > 0:
        data[at + 16 : at + 28] = sizes
    path.write_bytes(data)
    with pytest.raises(SourceUnreadable, match="a decompression bomb"):
        sources.identify(path)


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


def entry(start: int, stop: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (safetensors({"a": entry(0, 8, [2])}, bytes(8), length=10**6), "cut short"),
        (safetensors({"a": entry(0, 8, [2])}, bytes(8), length=2**62), "claims 4611686018427387904 bytes"),
        (safetensors({"a": entry(0, 8, [2])}, bytes(8), length=5), "the header"),
        (safetensors({"a": entry(0, 8, [2])}, bytes(4)), "cut short or added to"),
        (safetensors({"a": entry(0, 8, [2])}, bytes(80)), "cut short or added to"),
        (safetensors({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, bytes(12)), "overlap"),
        (safetensors({"a": entry(0, 8, [2]), "b": entry(12, 20, [2])}, bytes(20)), "hole"),
        (safetensors({"a": entry(0, 8, [2]), "b": entry(0, 8, [2])}, bytes(8)), "overlap"),
        (safetensors({"a": entry(0, 8, [3])}, bytes(8)), "do not agree"),
        (safetensors({"a": entry(0, 8, [-1, -2])}, bytes(8)), "integer `-1`"),
        (safetensors({"a": entry(-8, 0, [2])}, bytes(8)), "integer `-8`"),
        (safetensors({"a": entry(0, 8, [2**62, 2**62])}, bytes(8)), "do not agree"),
        (safetensors({"a": entry(0, 8, [2], "EVIL")}, bytes(8)), "unknown variant `EVIL`"),
        (safetensors({"a": {"dtype": "F32"}}, bytes(8)), "missing field `shape`"),
        (safetensors(b"{" + b'"a":[' * 5000, bytes(8)), "header"),
        (safetensors(b"{" + b"\xff" * 20), "header"),
    ],
)
def test_a_safetensors_header_that_lies(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(SourceUnreadable, match=says):
        sources.identify(tmp_path / "model.safetensors", arch="x.y:z")


def test_an_object_array_in_an_npz(marker: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", weight=np.array([Payload(marker)], dtype=object), bias=np.zeros(2))
    source = sources.identify(tmp_path / "m.npz")
    with pytest.raises(SourceError):
        sources.load(LoadRequest(source, (), None, tmp_path))
    assert not marker.exists()


def samples_of_each_kind(folder: Path) -> dict[str, bytes]:
    from safetensors.torch import save

    zipped, legacy, whole = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": state(), "epoch": 3}, zipped)
    torch.save(state(), legacy, _use_new_zipfile_serialization=False)
    torch.save(nn.Linear(4, 2), whole)
    np.savez(folder / "m.npz", weight=np.ones((4, 2)), bias=np.zeros(2))
    return {
        "zipped": zipped.getvalue(),
        "legacy": legacy.getvalue(),
        "whole": whole.getvalue(),
        "safetensors": save(state()),
        "exported": program(folder).read_bytes(),
        "npz": (folder / "m.npz").read_bytes(),
    }


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A valid file of each kind."""
    return samples_of_each_kind(tmp_path_factory.mktemp("kinds"))


KINDS = st.sampled_from(["zipped", "legacy", "whole", "safetensors", "exported", "npz"])
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def look(path: Path, data: bytes) -> None:
    """Look at the bytes and, where that is allowed, load them: nothing but our own errors may come out."""
    path.write_bytes(data)
    (path.parent / "net.py").write_text(NET)
    for arch in (f"{path.parent / 'net.py'}:build", None):
        try:
            source = sources.identify(path, arch=arch)
            sources.load(LoadRequest(source, (), None, path.parent))
        except RoadworthyError as problem:
            assert "\n" not in problem.message
            assert len(problem.message) < 3000


@QUICK
@given(kind=KINDS, share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_one_of_our_errors(kind: str, share: float, kinds: dict[str, bytes], tmp_path: Path) -> None:
    data = kinds[kind]
    look(tmp_path / "model.bin", data[: int(len(data) * share)])


@QUICK
@given(kind=KINDS, share=st.floats(0, 1, exclude_max=True), patch=st.binary(min_size=1, max_size=8))
def test_a_file_changed_anywhere_is_one_of_our_errors(
    kind: str, share: float, patch: bytes, kinds: dict[str, bytes], tmp_path: Path
) -> None:
    data, at = kinds[kind], int(len(kinds[kind]) * share)
    look(tmp_path / "model.bin", data[:at] + patch + data[at + len(patch) :])


@QUICK
@given(
    data=st.binary(min_size=1, max_size=400),
    start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04", bytes(8) + b"{", b"\x08\x01"]),
)
def test_noise_is_one_of_our_errors(data: bytes, start: bytes, tmp_path: Path) -> None:
    look(tmp_path / "model.bin", start + data)


def test_a_static_look_imports_no_framework(kinds: dict[str, bytes], tmp_path: Path) -> None:
    for kind, data in kinds.items():
        (tmp_path / kind).write_bytes(data)
    program = (
        "import sys; from pathlib import Path; from roadworthy.build.sources.inspect import inspect\n"
        "for name in sys.argv[1:]: inspect(Path(name))\n"
        "print([name for name in ('torch', 'cloudpickle') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(str(tmp_path / kind) for kind in kinds)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
