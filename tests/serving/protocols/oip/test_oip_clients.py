"""The Open Inference Protocol over HTTP to the clients that people have: tritonclient, sync and asyncio, and perf_analyzer."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.serving.engine.local import LocalEngine
from support.clients.environments import client_python, drive, run_in
from support.servers.serving import Server

pytestmark = pytest.mark.slow

EVERYTHING = "linear", "many", "picture", "echo", "files"
CODINGS = (None, "gzip", "deflate")


@pytest.fixture(scope="module")
def server(null_bundle: Path, many_bundle: Path, picture_bundle: Path, steady_bundle: Path, files_bundle: Path) -> Iterator[str]:
    """A server process with these models; its address."""
    server = Server(null_bundle, many_bundle, picture_bundle, steady_bundle, files_bundle)
    try:
        yield server.wait_ready()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def seen(server: str, png: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What tritonclient saw."""
    image = tmp_path_factory.mktemp("images") / "image.png"
    image.write_bytes(png)
    return drive(client_python("triton-http", "tritonclient[http]==2.73.0"), "triton_http.py", server, image)


def test_the_server_and_its_models_describe_themselves(seen: dict[str, Any]) -> None:
    state = seen["state"]
    assert state["live"] and state["ready"] and state["model_ready"] == [True, True, False]
    assert state["server"]["name"] == "roadworthy" and "binary_tensor_data" in state["server"]["extensions"]
    assert [tensor["name"] for tensor in state["metadata"]["inputs"]] == ["a", "b"]
    assert state["config"]["input"][0] == {"name": "a", "data_type": "TYPE_FP32", "dims": [2]}
    assert {entry["name"]: entry["state"] for entry in state["index"]} == dict.fromkeys(EVERYTHING, "READY")


def test_statistics_count_the_whole_server(seen: dict[str, Any]) -> None:
    (linear,) = seen["state"]["statistics"]["model_stats"]
    # Nine compressed ones, a plain one and eight at a time.
    assert linear["inference_stats"]["success"]["count"] == 18 and linear["inference_count"] == 10 * 300 + 36
    assert linear["execution_count"] == sum(batch["compute_infer"]["count"] for batch in linear["batch_stats"]) <= 18
    assert [model["name"] for model in seen["state"]["all_statistics"]["model_stats"]] == sorted(EVERYTHING)


def test_inference_in_every_form(seen: dict[str, Any], null_bundle: Path, picture_bundle: Path, png: bytes) -> None:
    answers = seen["answers"]
    assert answers["many_True"] == answers["many_False"] == [[[-6, -5], [2**40, 2**40]], [-14, 2**41], "7"]
    assert answers["everything"]["flag"] == [False, True] and answers["everything"]["half"] == [[1, 2], [3, 4]]
    assert answers["bytes"] == ["grün".encode().hex(), "ff00", ""]
    assert answers["async"] == list(range(1, 9))
    with LocalEngine(null_bundle) as model:
        total = float(model(np.arange(3600, dtype=np.float32).reshape(300, 12) / 24).outputs["y"].sum())
    assert answers["plain"] == pytest.approx(total, rel=1e-5)
    for up in CODINGS:
        for down in CODINGS:
            shape, sum_ = answers[f"coding_{up}_{down}"]
            assert shape == [300, 4] and sum_ == pytest.approx(total, rel=1e-5), (up, down)
    with LocalEngine(picture_bundle) as model:
        best = model(png)
    (row,) = answers["classes"]
    assert [text.split(":")[2] for text in row] == [ranked.label for ranked in best.ranked[0]]
    assert float(row[0].split(":")[0]) == pytest.approx(float(best.outputs["logits"].max()))


def test_what_is_no_request_is_refused(seen: dict[str, Any]) -> None:
    refusals = seen["refusals"]
    want = dict.fromkeys(refusals, "400") | {"model": "404", "version": "404", "metadata": "404", "late": "504"}
    assert {name: status for name, (status, _) in refusals.items()} == want
    assert all("\n" not in message for _, message in refusals.values())
    assert "parameter config is refused" in refusals["config"][1]


def test_an_event_loop_sees_the_same(seen: dict[str, Any]) -> None:
    found, state = seen["asyncio"], seen["state"]
    assert found["live"] and found["ready"] == [True, True] and found["statistics"] == "many"
    for name in ("metadata", "config", "index"):
        assert found[name] == state[name]
    assert found["async"] == list(range(1, 9)) and found["shape"][0] == "400"
    for coding in CODINGS:
        assert found[f"coding_{coding}"] == pytest.approx(seen["answers"]["plain"], rel=1e-5)


def test_a_model_is_unloaded_and_loaded(seen: dict[str, Any]) -> None:
    found = seen["management"]
    assert found["before"] == found["loaded"] == [["READY"], True]
    assert found["unloaded"] == [["UNAVAILABLE"], False] and found["gone"][0] == "404"
    assert found["answers"] == [[0, 0]]
    assert found["never"][0] in ("400", "404")


def test_perf_analyzer_measures_the_server(server: str, tmp_path: Path) -> None:
    # The last tritonclient that had it within; beside it, what its binary is linked with and a pip can bring.
    python = client_python("perf-analyzer", no_deps=("tritonclient==2.49.0", "nvidia-cuda-runtime-cu12==12.6.77"))
    binary = python.with_name("perf_analyzer")
    (libraries,) = {file.parent for file in python.parents[1].glob("lib/python*/site-packages/nvidia/cuda_runtime/lib/libcudart.so*")}
    if (tried := run_in(binary, "--version", LD_LIBRARY_PATH=str(libraries))).returncode:
        pytest.skip(f"perf_analyzer does not start here: {tried.stderr.strip()}")
    window = ("--measurement-mode", "count_windows", "--measurement-request-count", "50", "-r", "3", "-s", "999")
    where = ("-m", "linear", "-b", "2", "-u", server.partition("://")[2], "--concurrency-range", "2", "-f", str(tmp_path / "measured.csv"))
    run = run_in(binary, *where, *window, LD_LIBRARY_PATH=str(libraries))
    assert run.returncode == 0, run.stdout + run.stderr
    (row,) = csv.DictReader((tmp_path / "measured.csv").read_text().splitlines())
    assert float(row["Inferences/Second"]) > 0 and row["Server Compute Infer"]
