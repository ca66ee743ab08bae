"""Bundles that are damaged or from the future: refused before they are ready, by the file's name, while the others serve."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from dependability.harness import Server, ask, record, row, write_breaker
from roadworthy.bundle.manifest import FORMAT
from support.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.slow


def flipped(bundle: Path) -> str:
    """One bit of the weights is another."""
    (file,) = bundle.glob("variants/*/model.npz")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return "model.npz"


def truncated(bundle: Path) -> str:
    """The golden samples end early."""
    file = bundle / "golden.npz"
    file.write_bytes(file.read_bytes()[:-100])
    return "golden.npz"


def newer(bundle: Path) -> str:
    """The manifest is of a format that does not exist yet, and sealed."""
    file = bundle / "manifest.json"
    text = json.dumps(json.loads(file.read_text()) | {"format": FORMAT + 1}).encode()
    file.write_bytes(text)
    (bundle / "manifest.json.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")
    return f"bundle format {FORMAT + 1}"


@pytest.mark.parametrize("damage", [flipped, truncated, newer])
def test_a_damaged_bundle_beside_a_whole_one(serve: Callable[..., Server], tmp_path: Path, damage: Callable[[Path], str]) -> None:
    whole = write_breaker(tmp_path / "whole" / "1", name="whole")
    broken = write_breaker(tmp_path / "broken" / "1", name="broken")
    file = damage(broken)
    server = serve(tmp_path)
    url = server.wait_ready()
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        until(lambda: client.get("/v2/health/live").status_code == 200, "live")
        assert ask(client, row(), name="whole").status_code == 200
        refused = ask(client, row(), name="broken")
        index = client.post("/v2/repository/index", json={}).json()
        (reason,) = [one.get("reason", "") for one in index if one["name"] == "broken"]
    record(
        "bundle",
        damage.__name__,
        injected=damage.__doc__,
        held="refused by the file's name before ready; the other model serves",
        reason=reason,
        status=refused.status_code,
    )
    assert refused.status_code in (404, 503)
    assert file in reason
    assert server.stop() == 0
    assert file in server.errors() and "Traceback" not in server.errors()
    assert whole.exists()


@pytest.mark.parametrize("damage", [flipped, truncated, newer])
def test_a_damaged_bundle_alone(serve: Callable[..., Server], tmp_path: Path, damage: Callable[[Path], str]) -> None:
    """Nothing can be served: it ends by itself, with the bundle's exit code and one sentence."""
    broken = write_breaker(tmp_path / "broken", name="broken")
    file = damage(broken)
    server = serve(broken)
    assert server.ended() == 6
    assert file in server.errors() and "Traceback" not in server.errors()


@pytest.mark.parametrize("damage", [flipped, truncated, newer])
def test_a_damaged_new_version(serve: Callable[..., Server], tmp_path: Path, damage: Callable[[Path], str]) -> None:
    """Loaded at run time it is refused with its reason, and the old version goes on."""
    write_breaker(tmp_path / "breaker" / "1", "plus1")
    server = serve(tmp_path)
    url = server.wait_ready()
    file = damage(write_breaker(tmp_path / "breaker" / "2", "plus2", version="2"))
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        refused = client.post("/v2/repository/models/breaker/load", json={})
        answered = ask(client, row()).json()
        assert client.get("/v2/health/ready").status_code == 200
    record(
        "bundle",
        f"swap-{damage.__name__}",
        injected=f"a new version is loaded: {damage.__doc__}",
        held="refused with its reason; the old one serves",
        status=refused.status_code,
        reason=refused.json()["error"],
    )
    assert 400 <= refused.status_code < 500 and file in refused.json()["error"]
    assert answered["model_version"] == "1" and answered["outputs"][0]["data"] == [1, 1, 1]
