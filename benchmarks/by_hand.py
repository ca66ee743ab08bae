"""The chosen plan beside what an expert makes by hand in an hour, in one interleaved run: ``python benchmarks/by_hand.py [NETWORK ...]``.

For each network: ``roadworthy deploy`` (or the bundle that is given with ``--bundle``), then every plan of ``hand/make.py``, made with the
vendors' own tools. A plan counts where its score is within 1 % of the original's (5 % of error for random weights). Each runs in a process
of its own; in each round every plan has one burst of single calls, in random order, while all others are stopped. Few rounds are run with
all plans, the others with those near the best. Prints for each plan its median, and the ratio of the best by hand to the winner, paired by
round, with its 95 % interval; writes ``benchmarks/results/by_hand.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy import HERE, RESULTS, deploy
from roadworthy.core.host import this_host

HAND = HERE / "hand"
SCREENING, NEAR = 3, 1.4
"""So many rounds are run with every plan; then only those that take at most so many times as long as the best."""
BURST_SECONDS = 0.15
WINNER = "roadworthy"


@dataclass
class Contestant:
    """A plan in its process, with the microseconds of a call by round, and its score (higher is better) relative to the original's."""

    name: str
    process: subprocess.Popen[str]
    rounds: dict[int, float] = field(default_factory=dict)
    loss: float = 0.0
    percent: float | None = None

    def ask(self, words: str) -> str:
        """Let the process run until it has answered ``words``."""
        os.kill(self.process.pid, signal.SIGCONT)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> str:
        """The next line, after which the process is stopped."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}")
        os.kill(self.process.pid, signal.SIGSTOP)
        return line

    @property
    def median(self) -> float:
        """Microseconds of a call."""
        return float(np.median(list(self.rounds.values())))


def start(network: str, folder: Path, real: Path, name: str, plan: str) -> Contestant:
    command = [sys.executable, HAND / "contestant.py", network, folder, real, plan]
    log = (folder / "log.txt").open("a")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    found = Contestant(name, process)
    found.answer()
    return found


def score(one: Contestant, folder: Path, limit: float) -> bool:
    """Whether the plan's answers are good enough: by labels, else by the error that the metric ``error`` of Roadworthy means."""
    one.ask(f"answers {folder / 'answers.npy'}")
    answers, truth = (
        np.load(folder / f"{what}.npy").reshape(len(np.load(folder / "x.npy", mmap_mode="r")), -1) for what in ("answers", "truth")
    )
    labels = folder / "y.npy"
    if labels.is_file():
        y = np.load(labels).reshape(-1)
        right, best = float(np.mean(answers.argmax(1) == y)), float(np.mean(truth.argmax(1) == y))
        one.percent, one.loss = 100 * right, (best - right) / best
        return one.loss <= limit
    one.loss = relative_error(answers, truth)
    return one.loss <= limit


def relative_error(answers: NDArray[Any], truth: NDArray[Any]) -> float:
    """The mean over the samples of ||y - y_ref|| / ||y_ref||."""
    return float(np.mean(np.linalg.norm(answers - truth, axis=1) / np.linalg.norm(truth, axis=1)))


def run_rounds(contestants: list[Contestant], first: int, count: int) -> None:
    order = random.Random(first)
    for number in range(first, first + count):
        for one in order.sample(contestants, len(contestants)):
            one.rounds[number] = float(one.ask(f"burst {BURST_SECONDS}"))


def ratio(by_hand: Contestant, winner: Contestant) -> dict[str, float]:
    """By hand over the winner, paired by round: above 1 the winner is faster."""
    common = sorted(by_hand.rounds.keys() & winner.rounds.keys())
    pairs = np.array([by_hand.rounds[number] / winner.rounds[number] for number in common])
    drawn = np.median(np.random.default_rng(0).choice(pairs, (2000, len(pairs))), axis=1)
    return {"value": float(np.median(pairs)), "low": float(np.quantile(drawn, 0.025)), "high": float(np.quantile(drawn, 0.975))}


def compare(network: str, bundle: Path, real: Path, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        subprocess.run([sys.executable, HAND / "make.py", network, folder, real], check=True, stdout=subprocess.DEVNULL)
        limit = 0.01 if (folder / "y.npy").is_file() else 0.05
        contestants: list[Contestant] = []
        left_out: list[dict[str, Any]] = []
        try:
            contestants.append(start(network, folder, real, WINNER, str(bundle)))
            score(contestants[0], folder, limit)
            for plan in json.loads((folder / "plans.json").read_text()):
                try:
                    one = start(network, folder, real, plan["name"], json.dumps(plan))
                    contestants.append(one)
                    if not score(one, folder, limit):
                        left_out.append({"plan": one.name, "loss": one.loss, "percent": one.percent})
                        contestants.remove(one)
                        one.process.kill()
                except RuntimeError as problem:
                    left_out.append({"plan": plan["name"], "problem": str(problem)})
            run_rounds(contestants, 0, SCREENING)
            best = min(one.median for one in contestants)
            original = contestants[1]
            near = [one for one in contestants if one.median <= NEAR * best or one in (contestants[0], original)]
            run_rounds(near, SCREENING, rounds)
        finally:
            for one in contestants:
                one.process.kill()
                one.process.wait()
    return summary(network, contestants, near, left_out)


def summary(network: str, contestants: list[Contestant], near: list[Contestant], left_out: list[dict[str, Any]]) -> dict[str, Any]:
    winner, original = contestants[0], contestants[1]
    hand = min((one for one in near if one is not winner), key=lambda one: one.median)
    host = this_host()
    return {
        "network": network,
        "host": {"cpu": host.cpu, "cores": host.cores, "features": list(host.features)},
        "plans": [
            {"plan": one.name, "us": one.median, "rounds": len(one.rounds), "loss": one.loss, "percent": one.percent}
            for one in sorted(contestants, key=lambda one: one.median)
        ],
        "left_out": left_out,
        "best_by_hand": hand.name,
        "hand_over_winner": ratio(hand, winner),
        "original_over_winner": ratio(original, winner),
        "original_over_hand": ratio(original, hand),
    }


def line(result: dict[str, Any]) -> str:
    """One network in words."""
    mine = next(plan for plan in result["plans"] if plan["plan"] == WINNER)
    hand = next(plan for plan in result["plans"] if plan["plan"] == result["best_by_hand"])
    value = result["hand_over_winner"]
    eager = result["original_over_winner"]
    return (
        f"{result['network']}: {result['winner']} {mine['us'] / 1000:.4g} ms, best by hand {hand['plan']} {hand['us'] / 1000:.4g} ms: "
        f"by hand / winner {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]; "
        f"{eager['value']:.2f} times the original [{eager['low']:.2f}, {eager['high']:.2f}]; deployed in {result['seconds']:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["resnet20", "resnet18", "mobilenet", "resnet8", "kws", "mobilenetv2"])
    parser.add_argument("--real", type=Path, default=HERE.parent.parent / "shared" / "real", help="the real models and data")
    parser.add_argument("--bundle", type=Path, help="a bundle of the one network that is named, in place of a new deployment")
    parser.add_argument("--deploy", default="", help="further options for roadworthy deploy, in one string")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "by_hand.json"
    results = {one["network"]: one for one in json.loads(file.read_text())} if file.is_file() else {}
    for name in options.networks:
        bundle, started = options.bundle or RESULTS / f"{name}.bundle", time.monotonic()
        if not options.bundle:
            deployed = deploy(name, options.real, options.deploy.split())
            if "failed" in deployed:
                print(f"{name}: deploy failed with exit code {deployed['failed']}")
                continue
        seconds = time.monotonic() - started
        certificate = json.loads((bundle / "certificate.json").read_text())
        found = compare(name, bundle, options.real, options.rounds)
        results[name] = found | {"winner": certificate["choice"]["winner"], "seconds": seconds}
        file.write_text(json.dumps(list(results.values()), indent=2))
        print(line(results[name]), flush=True)
        for plan in results[name]["plans"]:
            print(
                f"    {plan['us'] / 1000:9.4g} ms  {plan['plan']}"
                + (f"  {plan['percent']:.1f} %" if plan["percent"] else f"  loss {plan['loss']:.2g}")
            )
        for plan in results[name]["left_out"]:
            print(f"    left out: {plan['plan']}: {plan.get('problem') or plan['loss']}")


if __name__ == "__main__":
    main()
