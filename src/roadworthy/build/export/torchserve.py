"""A model archive for TorchServe: the bundle inside, and a handler that needs no code of the model."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from importlib import metadata
from pathlib import Path

from roadworthy.build.export._servers import verify
from roadworthy.build.export._templates import filled
from roadworthy.build.exported import Export
from roadworthy.bundle import store
from roadworthy.bundle.manifest import Variant
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("onnx",)
RUNTIMES = ("onnxruntime", "openvino")
"""The runtimes that answer inside the handler, simplest first."""
SERVERS = f"{__package__}._servers"
CANDIDATE = "candidate"
"""The folder of the runtime's files until they are part of the archive."""
HANDLER, REQUIREMENTS, LABELS = "handler.py", "requirements.txt", "index_to_name.json"
ARCHIVER = "0.12.0"
"""The release of torch-model-archiver whose form of manifest is written."""
LARGEST = 64 * 2**20
"""Bytes of a request and of an answer that the server takes; its default is a tenth."""


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """Each runtime on one core and on all, in the graph's own precision; the flavour is the runtime's name."""
    if graph.unfolded:
        return
    for name in RUNTIMES:
        if name in unavailable(host):
            continue
        plan = Plan("torchserve", graph.precision, threads=1, flavour=name)
        yield plan
        if host.cores > 1:
            yield replace(plan, threads=host.cores)


def unavailable(host: Host) -> Mapping[str, str]:
    """The runtimes whose packages are not installed."""
    missing = {}
    for name in RUNTIMES:
        try:
            registry.require(name)
        except BackendMissing as problem:
            missing[name] = problem.message
    return missing


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the files of the runtime that answers inside the handler; the archive around them needs the whole bundle.

    Raises UsageError for a plan that is not offered, and what the runtime's own lowering raises.
    """
    if plan.flavour not in RUNTIMES or plan.precision != graph.precision:
        raise UsageError(f"{plan.name} is not a plan of TorchServe; its flavours are {', '.join(RUNTIMES)}")
    (out / CANDIDATE).mkdir()
    registry.lowering(plan.flavour).lower(graph, _inner(plan), calibration, out / CANDIDATE)


def finish(export: Export, out: Path) -> str:
    """Pack the archive around a bundle with this one form in it, and write the server's configuration."""
    work = out / "archive"
    pins = [f"{package}=={metadata.version(package)}" for package in registry.facts(export.plan.flavour).packages]
    created = _bundle(export, out / CANDIDATE, work / "bundle", pins)
    (work / HANDLER).write_text(filled(SERVERS, "torchserve_handler.template", {}))
    (wheel,) = (work / "bundle" / "deploy").glob("*.whl")
    shutil.copyfile(wheel, out / wheel.name)
    # The server installs them from the archive's folder.
    (work / REQUIREMENTS).write_text("".join(f"{one}\n" for one in (f"./{wheel.relative_to(work).as_posix()}", *pins)))
    if labels := export.contract.answer.labels:
        (work / LABELS).write_text(json.dumps({str(index): label for index, label in enumerate(labels)}, indent=2))
    (work / "MAR-INF").mkdir()
    (work / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(_manifest(export, created), indent=2))
    _pack(work, out / f"{export.name}.mar")
    shutil.rmtree(work)
    shutil.rmtree(out / CANDIDATE)
    (out / "config.properties").write_text(
        f"load_models={export.name}.mar\ninstall_py_dep_per_model=false\nmax_request_size={LARGEST}\nmax_response_size={LARGEST}\n"
    )
    verify.write_for_torchserve(export, out)
    return _readme(export, (f"./{wheel.name}", *pins))


def _inner(plan: Plan) -> Plan:
    """The plan of the runtime that answers inside."""
    return Plan(plan.flavour, plan.precision, threads=plan.threads)


def _bundle(export: Export, candidate: Path, to: Path, pins: list[str]) -> str:
    """The export's bundle with the candidate as its only variant, and when it was made."""
    plan = _inner(export.plan)
    manifest = store.read(export.bundle)
    variant = Variant(plan.name, plan, f"variants/{plan.name}", tuple(pins), (), False, export.gate)
    shutil.copytree(candidate, to / variant.path)
    for entry in manifest.files:
        if not entry.path.startswith("variants/"):
            (to / entry.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(export.bundle / entry.path, to / entry.path)
    store.seal(to, replace(manifest, variants=(variant,), graphs=(), kept=()))
    return manifest.created


def _manifest(export: Export, created: str) -> dict[str, object]:
    """MANIFEST.json as the archiver writes it."""
    model = {"modelName": export.name, "handler": HANDLER, "modelVersion": export.version, "requirementsFile": REQUIREMENTS}
    moment = datetime.fromisoformat(created).strftime("%d/%m/%Y %H:%M:%S")
    return {"createdOn": moment, "runtime": "python", "model": model, "archiverVersion": ARCHIVER}


def _pack(folder: Path, archive: Path) -> None:
    """A zip archive that depends on the content alone: names in order, one time for all, nothing compressed."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED, strict_timestamps=False) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                info.external_attr = 0o644 << 16
                with open(path, "rb") as source, packed.open(info, "w", force_zip64=path.stat().st_size >= 2**31) as member:
                    shutil.copyfileobj(source, member, 2**20)


def _readme(export: Export, packages: Iterable[str]) -> str:
    item, first = export.contract.kind, export.signature.inputs[0].name
    address = f"http://127.0.0.1:8080/predictions/{export.name}"
    words = {
        "PACKAGES": " ".join(packages),
        "ASK": f"curl -T FILE {address}" if item else f"curl -H 'Content-Type: application/json' -d '{{\"{first}\": [[...]]}}' {address}",
        "RUNTIME": export.plan.flavour,
        "THREADS": str(export.plan.threads),
        "ITEM": f", or one {item}; that is answered with the best classes by label." if item else ".",
    }
    return filled(SERVERS, "torchserve.md.template", words)
