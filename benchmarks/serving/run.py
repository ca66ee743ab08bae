"""Every server on the same two models, from one load generator, interleaved: the figures of ``docs/serving-benchmark.md``.

``python benchmarks/serving/run.py`` installs each contestant in an environment of its own on first use (some minutes), then goes
round by round through the field: start a server, see that it answers like the model, load it with 1, 8 and 32 connections, stop it.
Ratios are paired within a round, so that a slow minute of the machine costs both sides. One visit of each server also measures what
it does at half and at twice its own capacity (open loop), its idle CPU and its memory. A server that cannot start, or dies, costs
only itself and is listed with its reason. ``--docs`` writes the page and its chart; ``--reuse`` takes the figures of the last run.
Reliable figures need a quiet machine: the load generator and the servers share its cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import load
import models
import page
import tree
import wire
from contestants import FIELD, CannotStart, Contestant
from server import Server

from roadworthy.core.host import this_host

HERE = Path(__file__).resolve().parent
FILE = HERE.parent / "results" / "serving.json"
CONNECTIONS = 1, 8, 32
POOL = 128
"""Connections of the open loop at twice the capacity; each waits for its answer, so it bounds what a server may queue."""
IDLE_S = 10.0
MAX_WORKERS = 8


def visit(contestant: Contestant, model: models.Model, seconds: float, workers: int, thorough: bool) -> dict[str, Any]:
    """Everything that one start of a server is asked for; raises CannotStart."""
    with Server(contestant, model, workers) as server:
        found: dict[str, Any] = {"ready_s": server.ready_s, "closed": {}}
        for kind, ask in contestant.asks.items():
            request = ask(model)
            found["closed"][kind] = {str(count): shoot(server, request, count, seconds) for count in CONNECTIONS}
        found["memory_mb"] = tree.memory_mb(tree.members(server.mark))
        if thorough:
            time.sleep(1)  # for what was still under way
            before = tree.cpu_seconds(tree.members(server.mark))
            time.sleep(IDLE_S)
            found["idle_cpu_s"] = tree.cpu_seconds(tree.members(server.mark)) - before
            request = contestant.asks["json"](model)
            capacity = max(figures["per_second"] for figures in found["closed"]["json"].values())
            found["capacity"] = capacity
            found["open"] = {
                share: shoot(server, request, POOL, seconds, rate=capacity * factor) for share, factor in (("half", 0.5), ("twice", 2.0))
            }
        if server.process.poll() is not None:
            raise CannotStart(f"it died under load: {server.last_words()}")
        return found


def shoot(server: Server, request: wire.Request, connections: int, seconds: float, rate: float | None = None) -> dict[str, Any]:
    """One load as JSON, without the bodies."""
    found = load.run(
        "127.0.0.1", server.port, "POST", request.path, request.headers, request.body,
        connections=connections, seconds=seconds, rate=rate, timeout=20.0, warm=seconds / 2,
    )  # fmt: skip
    figures = asdict(found)
    figures["answers"] = {str(status): {k: v for k, v in one.items() if k != "first"} for status, one in figures["answers"].items()}
    return figures


def reference(model: models.Model, seconds: float) -> dict[str, float]:
    """The runtime by itself, in a process of its own."""
    words = [sys.executable, HERE / "reference.py", model.onnx, str(seconds)]
    found: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return found


def race(name: str, field: Sequence[Contestant], rounds: int, seconds: float, workers: int) -> dict[str, Any]:
    """All rounds of one model."""
    model = models.model(name)
    out: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    references = []
    for number in range(rounds):
        references.append(reference(model, min(seconds, 2.0)))
        found.append({})
        turn = number % len(field)
        for contestant in (*field[turn:], *field[:turn]):
            if contestant.name in out:
                continue
            try:
                found[-1][contestant.name] = visit(contestant, model, seconds, workers, thorough=number == 0 and name == "tiny")
                print(f"{name} round {number + 1}: {line(contestant, found[-1][contestant.name])}", flush=True)
            except (CannotStart, OSError, ValueError, RuntimeError, subprocess.SubprocessError) as problem:
                out[contestant.name] = str(problem)
                print(f"{name} round {number + 1}: {contestant.label} is out: {problem}", flush=True)
    return {"reference": references, "rounds": found, "out": out}


def line(contestant: Contestant, found: dict[str, Any]) -> str:
    """One visit in a line: requests a second by kind and connections."""
    parts = [
        f"{kind} " + " ".join(f"{count}: {figures['per_second']:,.0f}/s" for count, figures in loads.items())
        for kind, loads in found["closed"].items()
    ]
    return f"{contestant.label:24} ready in {found['ready_s']:4.1f} s  {'   '.join(parts)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="these contestants, comma-separated: " + ", ".join(one.name for one in FIELD))
    parser.add_argument("--models", default="tiny,resnet18", help="these models, comma-separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load, after half as many to warm up")
    parser.add_argument("--docs", action="store_true", help="write docs/serving-benchmark.md and its chart")
    parser.add_argument("--reuse", action="store_true", help="take the figures of the last run")
    options = parser.parse_args()
    if options.reuse:
        result = json.loads(FILE.read_text())
    else:
        wanted = options.only.split(",") if options.only else [one.name for one in FIELD]
        field = [one for one in FIELD if one.name in wanted]
        workers = min(MAX_WORKERS, len(os.sched_getaffinity(0)))
        begun = time.monotonic()
        result = {
            "cpu": this_host().cpu, "cores": workers, "date": date.today().isoformat(), "load_average": os.getloadavg()[0],
            "python": sys.version.split()[0], "onnxruntime": version("onnxruntime"), "seconds": options.seconds, "rounds": options.rounds,
            "models": {name: race(name, field, options.rounds, options.seconds, workers) for name in options.models.split(",")},
        }  # fmt: skip
        result["took_s"] = time.monotonic() - begun
        FILE.write_text(json.dumps(result, indent=1))
    print("\n".join(page.text(result)))
    if options.docs:
        page.write(result)


if __name__ == "__main__":
    main()
