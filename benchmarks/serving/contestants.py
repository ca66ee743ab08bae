"""The field: what each server is, how it is installed, started with the settings its documentation recommends, and asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import wire
from models import RESULTS, ROADWORTHY, Model

HERE = Path(__file__).resolve().parent
APPS = HERE / "field"
ENVIRONMENTS = HERE.parent / "results" / "environments"
OURS = "roadworthy"
YARDSTICK = "inline"
Ask = Callable[[Model], wire.Request]


@dataclass(frozen=True)
class Contestant:
    """A server: its ``packages`` in an environment of their own, the words that start it there, and its requests by name.

    ``settings`` says in words what was chosen. In ``command`` ``{python}`` and ``{bin}`` are the environment's, ``{app}`` its file
    in ``field/``, ``{port}``, ``{workers}`` and ``{bundle}`` this run's. ``needs`` are programs.
    """

    name: str
    label: str
    settings: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    asks: dict[str, Ask]
    needs: tuple[str, ...] = ()


class CannotStart(Exception):
    """Why a contestant takes no part."""


APP = ("{python}", "{app}")
BOTH = {"json": wire.oip_json, "binary": wire.oip_binary}
FIELD = (
    Contestant(OURS, "Roadworthy", "as a user starts it", (), (ROADWORTHY, "serve", "{bundle}", "--port", "{port}"), BOTH),
    Contestant(
        YARDSTICK, "uvicorn, model inline", "a bare application with orjson and no checks at all, a worker for each core",
        ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "orjson==3.13.0"),
        ("{python}", "-m", "uvicorn", "inline_app:app", "--port", "{port}", "--workers", "{workers}", "--no-access-log",
         "--loop", "uvloop", "--http", "httptools", "--log-level", "warning"),
        {"json": wire.own("/", batched=True)},
    ),
    Contestant(
        "pytriton", "Triton (nvidia-pytriton)", "an instance for each core, dynamic batching up to 32 without delay",
        ("nvidia-pytriton==0.7.0",), APP, BOTH,
    ),
    Contestant(
        "torchserve", "TorchServe", "a worker for each core, batches up to 32 within 1 ms",
        ("torchserve==0.12.0", "torch-model-archiver==0.12.0", "torch==2.13.0", "pyyaml", "psutil", "setuptools"),
        APP, {"json": wire.own("/predictions/{name}", batched=False)}, needs=("java",),
    ),
    Contestant(
        "litserve", "LitServe", "a worker and an API server for each core, fast queue; its batches, which made it slower, off",
        ("litserve==0.2.19",), APP, {"json": wire.own("/predict", batched=False)},
    ),
    Contestant(
        "mlserver", "MLServer", "a custom runtime in a worker for each core, adaptive batching up to 32 within 1 ms",
        ("mlserver==1.7.1", "uvloop<0.22"), APP, {"json": wire.oip_json},
    ),
    Contestant(
        "kserve", "KServe's Python server", "a uvicorn worker for each core", ("kserve==0.21.0",), APP, BOTH,
    ),
    Contestant(
        "bentoml", "BentoML", "a worker for each core, adaptive batching up to 32", ("bentoml==1.4.39",),
        ("{bin}/bentoml", "serve", "bentoml_app:Onnx", "--port", "{port}", "--host", "127.0.0.1"),
        {"json": wire.own("/predict", batched=True)},
    ),
    Contestant(
        "ray", "Ray Serve", "HAProxy in front, a replica for each core, batches up to 32 within 1 ms",
        ("ray[serve]==2.60.0",),
        APP, {"json": wire.own("/", batched=False)},
    ),
)  # fmt: skip


def install(contestant: Contestant) -> Path:
    """Its environment, made where it is not there as it should be; raises CannotStart with the reason."""
    environment = ENVIRONMENTS / contestant.name
    if not contestant.packages:
        return Path(sys.executable).parent.parent
    for program in contestant.needs:
        if shutil.which(program) is None:
            raise CannotStart(f"{program} is not installed")
    packages = [*contestant.packages, f"onnxruntime=={version('onnxruntime')}", "numpy"]
    done = environment / "installed.txt"
    if done.exists() and done.read_text().split() == packages:
        return environment
    print(f"installing {contestant.label}", flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet", *packages]
    for words in ([sys.executable, "-m", "venv", "--without-pip", str(environment)], pip):
        run = subprocess.run(words, capture_output=True, text=True)
        if run.returncode:
            raise CannotStart(f"it could not be installed: {(run.stderr.strip() or run.stdout.strip()).splitlines()[-1]}")
    done.write_text("\n".join(packages))
    return environment


def words(contestant: Contestant, environment: Path, model: Model, port: int, workers: int) -> list[str]:
    """The command that starts it."""
    tools = environment / "bin"
    app = APPS / f"{contestant.name}_app.py"
    values = {"python": tools / "python", "bin": tools, "app": app, "port": port, "workers": workers, "bundle": model.bundle}
    return [word.format(**values) for word in contestant.command]


def told(environment: Path, model: Model, port: int, workers: int) -> dict[str, str]:
    """What ``field/job.py`` reads, and where the applications find it and their tools."""
    path = os.pathsep.join([str(environment / "bin"), os.environ["PATH"]])
    facts = {"FIELD_NAME": model.name, "FIELD_ONNX": str(model.onnx), "FIELD_PORT": str(port), "FIELD_WORKERS": str(workers)}
    # Triton embeds Python as a library, and would find another one of the same name.
    library = sysconfig.get_config_var("LIBDIR") or ""
    return facts | {"PYTHONPATH": str(APPS), "PATH": path, "LD_LIBRARY_PATH": library, "PYTHONDONTWRITEBYTECODE": "1"}


def scratch(contestant: Contestant) -> Path:
    """A directory for what a server leaves behind while it runs, its log among it."""
    place = RESULTS / "running" / contestant.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place
