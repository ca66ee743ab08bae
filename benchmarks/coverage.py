"""Which networks of keras.applications and of torchvision deploy on a runtime other than their own framework.

``python benchmarks/coverage.py [NAME ...]`` counts one small member of each family, with random weights, on 32 samples of noise, and
prints a line for each; ``results/coverage.json`` keeps what was found, and only what is not in it yet is done (``--again`` does all
anew). ``--docs`` writes ``docs/coverage.md`` from it. A network counts as covered when a float32 candidate of at least one runtime
was verified: everything that ``roadworthy deploy`` does up to the race and the packing was done, by the conductor's own steps.
torchvision needs a folder of its own (see ``torchvision_networks.py``) and is skipped, with the reason, where there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "coverage.json"
DOCUMENT = HERE.parent / "docs" / "coverage.md"
TORCHVISION = HERE / "results" / "torchvision" / "torchvision"

KERAS = {
    "ConvNeXtTiny": 64, "DenseNet121": 64, "EfficientNetB0": 64, "EfficientNetV2B0": 64, "InceptionResNetV2": 96, "InceptionV3": 96,
    "MobileNet": 64, "MobileNetV2": 64, "MobileNetV3Small": 64, "NASNetMobile": 64, "ResNet50": 64, "ResNet50V2": 64, "VGG16": 32,
    "Xception": 96,
}  # fmt: skip
TORCH = {
    "alexnet": 64, "convnext_tiny": 64, "densenet121": 64, "efficientnet_b0": 64, "efficientnet_v2_s": 64, "googlenet": 64,
    "inception_v3": 299, "maxvit_t": 224, "mnasnet0_5": 64, "mobilenet_v2": 64, "mobilenet_v3_small": 64, "regnet_y_400mf": 64,
    "resnet18": 64, "resnext50_32x4d": 64, "shufflenet_v2_x0_5": 64, "squeezenet1_1": 64, "swin_t": 64, "swin_v2_t": 64, "vgg11": 64,
    "vit_b_16": 64, "wide_resnet50_2": 64,
}  # fmt: skip
"""The side of the square images, by the smallest or nearly smallest member of each family."""
RUNTIMES = {"keras": ("litert", "onnxruntime", "openvino"), "torch": ("onnxruntime", "openvino")}
SAMPLES, BUDGET, SECONDS = 32, 0.05, 1200.0


@dataclass(frozen=True)
class Found:
    """What became of one network. ``verified`` has each runtime's largest error, relative to the output's scale; ``routes`` the captures.

    ``spread`` is how much the original's answers differ between samples, relative to their scale: near zero, agreement means little.
    """

    family: str
    name: str
    size: int
    parameters: int
    megabytes: float
    spread: float
    verified: dict[str, float]
    rejected: dict[str, str]
    routes: dict[str, str]
    failed: str
    seconds: float


def keras_network(name: str, size: int, path: Path) -> None:
    """Write the network with random weights, and batch statistics of the noise that it is deployed on: those of a fresh one fit nothing."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    import keras

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, classes=10, input_shape=(size, size, 3), classifier_activation=None)
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(keras.random.normal((8, size, size, 3)), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    model.save(path)


def make(family: str, name: str, size: int, path: Path) -> None:
    """The source's file, in this process, which the framework stays in."""
    if family == "keras":
        keras_network(name, size, path)
        return
    import torchvision_networks

    torchvision_networks.write(name, size, path)


def carry(family: str, name: str, size: int, path: Path) -> Found:
    """All that a deployment does before its race, on one plan of each runtime; a network that stops on the way is a finding too."""
    from roadworthy.build import lower
    from roadworthy.build.graphs import capture_all, promised
    from roadworthy.build.job import Job
    from roadworthy.build.original import contract_of, identify, load_original
    from roadworthy.build.reference import reference_of
    from roadworthy.build.search import search
    from roadworthy.build.sources.input_syntax import parse
    from roadworthy.build.workspace import STEP_SECONDS, open_workspace
    from roadworthy.core.errors import RoadworthyError
    from roadworthy.core.evidence import Budget

    started = time.monotonic()
    runtimes = RUNTIMES[family]
    parameters, spread, failed = 0, 0.0, ""
    verified, rejected, tried = dict[str, float](), dict[str, str](), dict[str, str]()
    arch = None if family == "keras" else f"{HERE / 'torchvision_networks.py'}:network(name={name!r}, size={size})"
    inputs = () if family == "keras" else (parse(f"image:float32[batch,3,{size},{size}]"),)
    output, budget = path.with_suffix(".bundle"), Budget(BUDGET)
    job = Job(path, output, arch, inputs=inputs, metric="error", budget=budget, samples=SAMPLES, seconds=SECONDS)
    try:
        with open_workspace(seconds=job.seconds, step_seconds=STEP_SECONDS, memory_mb=0, notify=lambda progress: None) as workspace:
            source = identify(job, workspace)
            loaded, data = load_original(source, job, contract_of(job, source), workspace)
            parameters = loaded.parameters
            graphs, routes = capture_all(loaded.graph, data.evaluation, workspace)
            tried = {f"{route.format}, {route.route}": route.outcome for route in routes}
            planned = lower.plans_for(graphs, workspace.host, runtimes=runtimes, precisions=("fp32",), calibrated=False)
            simplest = {plan.runtime: (plan, graph) for plan, graph in reversed(planned.plans)}
            trial, _ = reference_of(loaded.graph, promised(loaded.signature, graphs), data, job, workspace)
            answers = next(iter(trial.reference.open().values()))
            spread = float(answers.std(axis=0).max() / abs(answers).max())
            outcome = search(list(simplest.values()), graphs, trial, workspace)
            verified = {one.candidate.plan.runtime: one.parity.max_rel for one in outcome.verified}
            rejected = {one.plan.runtime: one.reason for one in outcome.rejected}
            rejected |= {runtime: "it offers no plan" for runtime in runtimes if runtime not in simplest}
    except RoadworthyError as problem:
        failed = problem.message
    seconds = time.monotonic() - started
    megabytes = path.stat().st_size / 1e6
    return Found(family, name, size, parameters, megabytes, spread, verified, rejected, tried, failed, seconds)


def one(family: str, name: str, size: int) -> dict[str, Any]:
    """One network in processes of its own: one that makes it, one that carries it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (f"{name}.keras" if family == "keras" else f"{name}.pt")
        for step in ("make", "carry"):
            words = [sys.executable, __file__, "--step", step, family, name, str(size), str(path)]
            run = subprocess.run(words, capture_output=True, text=True, cwd=HERE)
            if run.returncode:
                line = (run.stderr.strip().splitlines() or ["no message"])[-1]
                return asdict(Found(family, name, size, 0, 0.0, 0.0, {}, {}, {}, f"{step}: {line}", 0.0))
        found: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
        return found


def line(found: dict[str, Any]) -> str:
    """One network on one line of the terminal."""
    marks = " ".join(f"{runtime} {'verified' if runtime in found['verified'] else 'no'}" for runtime in RUNTIMES[found["family"]])
    return f"{found['name']:20} {found['parameters'] / 1e6:6.1f} M  {found['seconds']:5.0f} s  {marks}  {found['failed']}"


def table(family: str, results: list[dict[str, Any]]) -> str:
    """The family's networks in Markdown, and below them each miss with its reason."""
    runtimes = RUNTIMES[family]
    rows = [f"| network | input | parameters | {' | '.join(runtimes)} | seconds |", "|---|---|---:|" + "---|" * len(runtimes) + "---:|"]
    for found in results:
        cells = [f"verified, {found['verified'][one]:.0e}" if one in found["verified"] else "no" for one in runtimes]
        size = f"{found['size']} × {found['size']}"
        rows.append(f"| {found['name']} | {size} | {found['parameters'] / 1e6:.1f} M | {' | '.join(cells)} | {found['seconds']:.0f} |")
    missed = [f"- {found['name']}: {found['failed']}" for found in results if found["failed"]]
    missed += [f"- {found['name']} on {runtime}: {reason}" for found in results for runtime, reason in found["rejected"].items()]
    covered = sum(bool(found["verified"]) for found in results)
    every = sum(len(found["verified"]) == len(runtimes) for found in results)
    text = f"**{covered} of {len(results)}** deploy on at least one runtime other than their own framework, {every} on every one tried."
    return "\n".join([text, "", *rows, "", "Each miss, with its reason:" if missed else "There are no misses.", "", *missed]).rstrip()


def routes(results: list[dict[str, Any]]) -> str:
    """How often each way to capture a graph was used, and why it failed where it did, in Markdown."""
    ways: dict[str, list[tuple[str, str]]] = {}
    for found in results:
        for way, outcome in found["routes"].items():
            ways.setdefault(way, []).append((found["name"], outcome))
    rows = ["| route | used | failed |", "|---|---:|---|"]
    for way, outcomes in sorted(ways.items()):
        failures = "; ".join(f"{name}: {outcome}" for name, outcome in outcomes if outcome != "used")
        rows.append(f"| {way} | {sum(outcome == 'used' for _, outcome in outcomes)} | {failures.replace('|', '/')} |")
    return "\n".join(rows)


def document(results: dict[str, dict[str, Any]]) -> str:
    """The whole page."""
    families = {family: [results[name] for name in names if name in results] for family, names in (("keras", KERAS), ("torch", TORCH))}
    flattest = min((found["spread"] for found in results.values() if not found["failed"]), default=0.0)
    return (
        f"""# Coverage

Which networks deploy on a runtime other than the framework that they come from: one small member of each family of keras.applications
and of torchvision's classification networks, with random weights, 10 classes and the inputs below.
Written by `python benchmarks/coverage.py --docs`.

Verified means what it means in a deployment: a float32 candidate held against the original on {SAMPLES} samples of noise, at several
batch sizes, within {BUDGET:.0%} of the output's scale; the table also gives the largest error that was seen, relative to that scale. Batch
statistics were taken from such noise first, because those of a fresh network make every answer the same: here the answers differ
between samples by at least {flattest:.1%} of their scale. Seconds are those of loading, capturing, lowering and verifying on two cores
that had other work too. What the networks would score after training is not said here.

## keras.applications

{table("keras", families["keras"])}

The graphs they were made from:

{routes(families["keras"])}

## torchvision

{table("torch", families["torch"]) if families["torch"] else "Not counted: " + missing()}

{routes(families["torch"]) if families["torch"] else ""}
""".rstrip()
        + "\n"
    )


def missing() -> str:
    """Why torchvision cannot be counted here; empty where it can."""
    if TORCHVISION.is_dir():
        return ""
    return "torchvision is not there: pip install --no-deps --target benchmarks/results/torchvision torchvision==0.28.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--again", action="store_true", help="also those that have a result already")
    parser.add_argument("--docs", action="store_true", help="write docs/coverage.md")
    parser.add_argument("--step", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step, family, name, size, path = arguments.step
        if step == "make":
            make(family, name, int(size), Path(path))
        else:
            print(json.dumps(asdict(carry(family, name, int(size), Path(path)))))
        return
    results: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for family, networks in (("keras", KERAS), ("torch", TORCH)):
        if family == "torch" and missing():
            print(missing())
            continue
        for name, size in networks.items():
            if (not arguments.names or name in arguments.names) and (arguments.again or name not in results):
                results[name] = one(family, name, size)
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(results, indent=1))
            if name in results and (not arguments.names or name in arguments.names):
                print(line(results[name]), flush=True)
    if arguments.docs:
        DOCUMENT.write_text(document(results))


if __name__ == "__main__":
    main()
