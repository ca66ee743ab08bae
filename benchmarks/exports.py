"""Exports beside the frameworks that they came from, in one interleaved run: ``python benchmarks/exports.py [NETWORK ...]``.

Each network (digits, trained; MobileNetV2 and ResNet-18 of torchvision, with random weights and batch statistics of noise) is deployed, and
every form of the targets ``browser`` and ``native`` is exported. In each round every one of them, torch eager and ONNX Runtime on one
thread and on two has one burst, in random order: a page times its calls in a loop of its own, an executable with ``--bench``, the others in
this process. Printed for each: the median of its rounds, and how many times it is as fast as ONNX Runtime on one thread and as torch eager
on as many threads as it has, paired by round, with the smallest and the largest ratio. Then what a page downloads, as it is and gzipped,
and how long it takes to open the model; the size of an executable and the time from its start to its first answer.

Writes ``benchmarks/results/exports.json``. The CPU's features stand beside the figures: they hold for no other CPU.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

import roadworthy as rw
from roadworthy.build.exporting import Exported
from roadworthy.bundle import store
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.host import this_host
from roadworthy.core.types import Arrays
from roadworthy.runtimes.exported import browser

HERE = Path(__file__).resolve().parent
RESULTS, EXAMPLES = HERE / "results", HERE.parent / "examples"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))
NETWORKS = {"digits": 8, "mobilenet_v2": 224, "resnet18": 224}
FORMS = {"browser": ("onnxruntime-web", "litertjs", "tfjs"), "native": ("generated", "ncnn")}
BURST_SECONDS = 0.3
STARTS = 5


@dataclass
class Timed:
    """One contestant: ``burst`` gives the milliseconds of a call, ``rounds`` what it gave; ``facts`` are figures of another kind."""

    name: str
    threads: int
    burst: Callable[[], float]
    rounds: list[float] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def ms(self) -> float:
        """The median round."""
        return statistics.median(self.rounds)

    def against(self, other: Timed) -> dict[str, float]:
        """How many times as fast as ``other`` it is, by round."""
        ratios = [theirs / mine for mine, theirs in zip(self.rounds, other.rounds, strict=True)]
        return {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


def network(name: str, folder: Path) -> Path:
    """The bundle of a network, with its graphs and little else: its own speed is not judged here."""
    if name == "digits":
        subprocess.run([sys.executable, EXAMPLES / "digits" / "train.py", folder], check=True)
        model, arch = folder / "digits.pt", f"{EXAMPLES / 'digits' / 'net.py'}:DigitsNet"
        more = ["--input", "image:float32[batch,1,8,8]"]
    else:
        sys.path.insert(0, str(HERE))
        from torchvision_networks import write

        model, size = folder / f"{name}.pt", NETWORKS[name]
        write(name, size, model)
        arch = f"{HERE / 'torchvision_networks.py'}:network(name='{name}', size={size})"
        more = ["--input", f"image:float32[batch,3,{size},{size}]"]
    bundle = folder / f"{name}.bundle"
    words = ["deploy", model, "--arch", arch, "--trust", *more, "--runtimes", "onnxruntime", "--precisions", "fp32", "--name", name]
    subprocess.run([ROADWORTHY, *map(str, words), "-o", str(bundle)], check=True)
    return bundle


def timed_calls(call: Callable[[], Any]) -> float:
    """Milliseconds of a call: the median of those of one burst."""
    taken, end = [], time.perf_counter() + BURST_SECONDS
    while len(taken) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken)


def original(name: str, folder: Path) -> Any:
    """The network itself, as it was trained or initialised."""
    for place in (HERE, EXAMPLES / "digits"):
        sys.path.insert(0, str(place))
    weights = torch.load(folder / f"{name}.pt", weights_only=True)
    if name == "digits":
        from net import DigitsNet

        module: Any = DigitsNet()
        weights = weights["state_dict"]
    else:
        import torchvision_networks

        module = torchvision_networks.network(name, NETWORKS[name])
    module.load_state_dict(weights)
    return module.eval()


def frameworks(module: Any, bundle: Path, feeds: Arrays) -> Iterator[Timed]:
    """torch eager, and ONNX Runtime on the captured file, each on one thread and on two."""
    graph = next(bundle / graph.path for graph in store.read(bundle).graphs if graph.format == "onnx")
    tensors = [torch.from_numpy(array.copy()) for array in feeds.values()]

    def eager(threads: int) -> float:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return timed_calls(lambda: module(*tensors))

    for threads in (1, 2):
        yield Timed("torch eager", threads, lambda threads=threads: eager(threads))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        yield Timed("ONNX Runtime", threads, lambda session=session: timed_calls(lambda: session.run(None, dict(feeds))))


def in_browser(found: Exported, form: str, bundle: Path, feeds: Arrays, stack: ExitStack) -> Timed:
    """A page of its own, opened once."""
    signature = store.read(bundle).signature
    plan = found.evidence.plan
    session = browser.load(found.path, signature.fixed(plan.batch) if plan.batch else signature, plan)
    stack.callback(session.close)
    loaded = session.loaded()
    facts = {"download_mb": loaded.bytes / 2**20, "gzipped_mb": loaded.gzipped / 2**20, "open_ms": loaded.ms}
    return Timed(f"browser {form}", session.threads, lambda: session.bench(feeds, BURST_SECONDS).ms, facts=facts)


def native(found: Exported, form: str, feeds: Arrays, folder: Path) -> Timed:
    """The executable, once for each burst."""
    program, threads = str(found.path / "program"), found.evidence.plan.threads
    file = folder / f"{form}.npy"
    np.save(file, next(iter(feeds.values())))

    def burst() -> float:
        run = subprocess.run([program, "--threads", str(threads), "--bench", str(BURST_SECONDS)], capture_output=True, check=True)
        return float(json.loads(run.stdout)["median_us"]) / 1000

    def start() -> float:
        began = time.perf_counter()
        subprocess.run([program, "--threads", str(threads), str(file)], capture_output=True, check=True)
        return 1000 * (time.perf_counter() - began)

    facts = {"size_mb": Path(program).stat().st_size / 2**20, "first_answer_ms": statistics.median(start() for _ in range(STARTS))}
    return Timed(f"native {form}", threads, burst, facts=facts)


def contestants(module: Any, bundle: Path, feeds: Arrays, folder: Path, stack: ExitStack) -> tuple[list[Timed], dict[str, str]]:
    """Everything that could be made here, and the reasons for the rest."""
    found, failed = list(frameworks(module, bundle, feeds)), {}
    for target, forms in FORMS.items():
        for form in forms:
            try:
                made = rw.export(bundle, target, folder / f"{target}-{form}", forms=[form])
                found.append(in_browser(made, form, bundle, feeds, stack) if target == "browser" else native(made, form, feeds, folder))
            except RoadworthyError as problem:
                failed[f"{target} {form}"] = problem.message
    return found, failed


def compare(name: str, rounds: int) -> dict[str, Any]:
    """The figures of one network."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        folder = Path(made)
        bundle = network(name, folder)
        size = NETWORKS[name]
        shape = (1, 1 if name == "digits" else 3, size, size)
        feeds = {store.read(bundle).signature.inputs[0].name: np.random.default_rng(0).random(shape, np.float32)}
        found, failed = contestants(original(name, folder), bundle, feeds, folder, stack)
        order = random.Random(0)
        for one in found:
            one.burst()  # not counted: what is compiled or read at the first call
        for _ in range(rounds):
            for one in order.sample(found, len(found)):
                one.rounds.append(one.burst())
        return {"network": name, "rounds": rounds, "failed": failed, "contestants": [figures(one, found) for one in found]}


def figures(one: Timed, found: list[Timed]) -> dict[str, Any]:
    named = {(other.name, other.threads): other for other in found}
    return {
        "name": one.name,
        "threads": one.threads,
        "ms": one.ms,
        "rounds": one.rounds,
        "facts": one.facts,
        "over_onnxruntime_on_one_thread": one.against(named["ONNX Runtime", 1]),
        "over_torch_eager_on_as_many": one.against(named["torch eager", min(one.threads, 2)]),
    }


def show(result: dict[str, Any]) -> None:
    print(f"\n{result['network']}, {result['rounds']} rounds")
    for one in result["contestants"]:
        ratios = [one["over_onnxruntime_on_one_thread"], one["over_torch_eager_on_as_many"]]
        words = "  ".join(f"{ratio['median']:6.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})" for ratio in ratios)
        facts = ", ".join(f"{name} {value:.3g}" for name, value in one["facts"].items())
        print(f"{one['name']:24} {one['threads']} thread(s) {one['ms']:10.4f} ms  {words}  {facts}")
    for name, reason in result["failed"].items():
        print(f"{name:24} not made: {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    if unknown := [name for name in options.networks if name not in NETWORKS]:
        parser.error(f"unknown network {unknown[0]}; choose from {', '.join(NETWORKS)}")
    host = this_host()
    print(f"{host.cpu}, {host.cores} cores: {' '.join(host.features)}")
    results = []
    for name in options.networks:
        results.append(compare(name, options.rounds))
        show(results[-1])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "exports.json").write_text(json.dumps({"host": asdict(host), "networks": results}, indent=2))


if __name__ == "__main__":
    main()
