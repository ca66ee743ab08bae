"""Exports beside the frameworks that they came from, in one interleaved run: ``python benchmarks/exports.py [NETWORK ...]``.

Each network (digits, trained; MobileNetV2 and ResNet-18 of torchvision, with random weights and batch statistics of noise) is deployed, and
every form of the targets ``browser`` and ``native`` is exported (``--targets`` names one). In each round every one of them, PyTorch and
ONNX Runtime on one thread and on two has one burst, in random order: a page times its calls itself, an executable with ``--bench``, the
others in this process. A page that can use several threads is measured on one too, which is what most servers give it.

Printed in Markdown, a table for each network and target: the median of the rounds; how many times that is as fast as ONNX Runtime on one
thread and as PyTorch on as many threads, paired by round, with the smallest and the largest ratio; the largest error of the verification,
relative to the output's scale. Then what a page downloads, as it is and gzipped, and how long it takes to open the model; the size of an
executable and the time from its start to its first answer. The host and its CPU's features stand above: the figures hold for no other.

Writes ``benchmarks/results/exports.json``.
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
from dataclasses import asdict, dataclass, field, replace
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
LEAST_CALLS = 3
STARTS = 5
MB = 1e6
ORT, EAGER = "ONNX Runtime", "PyTorch"


@dataclass
class Timed:
    """One contestant: ``burst`` gives the milliseconds of a call, ``rounds`` what it gave; ``facts`` are figures of another kind.

    ``target`` is that of an export, empty for the frameworks.
    """

    name: str
    threads: int
    burst: Callable[[], float]
    target: str = ""
    facts: dict[str, float] = field(default_factory=dict)
    rounds: list[float] = field(default_factory=list)

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
    subprocess.run([ROADWORTHY, *map(str, words), "-o", str(bundle)], stdout=sys.stderr, check=True)
    return bundle


def timed_calls(call: Callable[[], Any]) -> float:
    """Milliseconds of a call: the median of those of one burst."""
    taken, end = [], time.perf_counter() + BURST_SECONDS
    while len(taken) < LEAST_CALLS or time.perf_counter() < end:
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
    """PyTorch eager, and ONNX Runtime on the captured file, each on one thread and on two."""
    graph = next(bundle / graph.path for graph in store.read(bundle).graphs if graph.format == "onnx")
    tensors = [torch.from_numpy(array.copy()) for array in feeds.values()]

    def eager(threads: int) -> float:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return timed_calls(lambda: module(*tensors))

    for threads in (1, 2):
        yield Timed(EAGER, threads, lambda threads=threads: eager(threads))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        yield Timed(ORT, threads, lambda session=session: timed_calls(lambda: session.run(None, dict(feeds))))


def in_browser(found: Exported, form: str, bundle: Path, feeds: Arrays, stack: ExitStack) -> Iterator[Timed]:
    """A page for one thread, and one for as many as the model was found fastest on; each is opened once."""
    signature, plan = store.read(bundle).signature, found.evidence.plan
    for threads in sorted({1, plan.threads}):
        session = browser.load(found.path, signature.fixed(plan.batch) if plan.batch else signature, replace(plan, threads=threads))
        stack.callback(session.close)
        loaded = session.loaded()
        facts = {
            "largest error": found.evidence.max_rel, "download, MB": loaded.bytes / MB, "gzipped, MB": loaded.gzipped / MB,
            "ms to open": loaded.ms,
        }  # fmt: skip
        yield Timed(form, session.threads, in_page(session, feeds), "browser", facts)


def in_page(session: browser.BrowserSession, feeds: Arrays) -> Callable[[], float]:
    """A burst of so many calls as take its time: the page is asked for a number of them."""

    def median(calls: int) -> float:
        return statistics.median(session.time_calls(feeds, calls)) / 1e6

    calls = max(LEAST_CALLS, round(1000 * BURST_SECONDS / median(LEAST_CALLS)))
    return lambda: median(calls)


def native(found: Exported, form: str, feeds: Arrays, folder: Path) -> Iterator[Timed]:
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

    facts = {
        "largest error": found.evidence.max_rel, "size, MB": Path(program).stat().st_size / MB,
        "ms to the first answer": statistics.median(start() for _ in range(STARTS)),
    }  # fmt: skip
    yield Timed(form, threads, burst, "native", facts)


def exports(targets: list[str], bundle: Path, feeds: Arrays, folder: Path, stack: ExitStack) -> tuple[list[Timed], dict[str, str]]:
    """Everything that could be made here, and the reasons for the rest."""
    found: list[Timed] = []
    failed = {}
    for target in targets:
        for form in FORMS[target]:
            try:
                made = rw.export(bundle, target, folder / f"{target}-{form}", forms=[form])
                found += in_browser(made, form, bundle, feeds, stack) if target == "browser" else native(made, form, feeds, folder)
            except RoadworthyError as problem:
                failed[f"{target} {form}"] = problem.message
    return found, failed


def compare(name: str, targets: list[str], rounds: int) -> dict[str, Any]:
    """The figures of one network."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        bundle = network(name, folder)
        size = NETWORKS[name]
        shape = (1, 1 if name == "digits" else 3, size, size)
        feeds = {store.read(bundle).signature.inputs[0].name: np.random.default_rng(0).random(shape, np.float32)}
        made, failed = exports(targets, bundle, feeds, folder, stack)
        found = [*frameworks(original(name, folder), bundle, feeds), *made]
        order = random.Random(0)
        for one in found:
            one.burst()  # not counted: what is compiled or read at the first call
        for _ in range(rounds):
            for one in order.sample(found, len(found)):
                one.rounds.append(one.burst())
        return {"network": name, "rounds": rounds, "failed": failed, "contestants": [figures(one, found) for one in found]}


def figures(one: Timed, found: list[Timed]) -> dict[str, Any]:
    named = {(other.name, other.threads): other for other in found if not other.target}
    return {
        "target": one.target,
        "name": one.name,
        "threads": one.threads,
        "ms": one.ms,
        "rounds": one.rounds,
        "facts": one.facts,
        "over_onnxruntime_on_one_thread": one.against(named[ORT, 1]),
        "over_torch_eager_on_as_many": one.against(named[EAGER, min(one.threads, 2)]),
    }


def show(result: dict[str, Any], targets: list[str]) -> None:
    """A table in Markdown for each target."""
    for target in targets:
        rows = [one for one in result["contestants"] if one["target"] in ("", target)]
        facts = list(dict.fromkeys(name for one in rows for name in one["facts"]))
        print(f"\n{result['network']} for {target}, {result['rounds']} rounds\n")
        print(line("runtime", "threads", "ms a call", f"times {ORT} on one thread", f"times {EAGER} on as many threads", *facts))
        print(line(*["---"] * (5 + len(facts))))
        for one in rows:
            ratios = [one["over_onnxruntime_on_one_thread"], one["over_torch_eager_on_as_many"]]
            words = [f"{ratio['median']:.2f} [{ratio['least']:.2f}, {ratio['most']:.2f}]" for ratio in ratios]
            own = [number(one["facts"][name]) if name in one["facts"] else "" for name in facts]
            print(line(one["name"], one["threads"], number(one["ms"]), *words, *own))
    for name, reason in result["failed"].items():
        print(f"\n{name} was not made: {reason}")


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def line(*cells: object) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--targets", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    if unknown := [name for name in options.networks if name not in NETWORKS]:
        parser.error(f"unknown network {unknown[0]}; choose from {', '.join(NETWORKS)}")
    host = this_host()
    print(f"{host.cpu}, {host.cores} cores: {' '.join(host.features)}")
    results = []
    for name in options.networks:
        results.append(compare(name, options.targets, options.rounds))
        show(results[-1], options.targets)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "exports.json").write_text(json.dumps({"host": asdict(host), "networks": results}, indent=2))


if __name__ == "__main__":
    main()
