"""The main figures: three networks from file to bundle, and what the winner gains over PyTorch eager.

``python benchmarks/deploy.py [resnet20|resnet18|mobilenet ...]`` prints a table and writes ``benchmarks/results/deploy.json``.
The ResNet-20 needs the real checkpoint and images (``--real DIR``, see the README); the other two have random weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from networks import mobilenet_v3_small, resnet18

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))

RANDOM = {"resnet18": resnet18, "mobilenet": mobilenet_v3_small}
AIMS = {"resnet20": 5.0, "resnet18": 10.0, "mobilenet": 1.0}


def command(name: str, real: Path) -> list[str]:
    """The deploy command of one network, as a user would type it."""
    if name == "resnet20":
        return [
            str(real / "models" / "cifar10_resnet20.th"), "--arch", f"{HERE.parent / 'examples' / 'cifar_resnet.py'}:resnet20",
            "--data", str(real / "cifar10"), "--preprocess", str(HERE.parent / "examples" / "cifar_resnet.toml"), "--max-drop", "1%",
        ]  # fmt: skip
    weights = RESULTS / f"{name}.pt"
    torch.save(RANDOM[name]().state_dict(), weights)
    arch = f"{HERE / 'networks.py'}:{RANDOM[name].__name__}"
    return [str(weights), "--arch", arch, "--input", "image:float32[batch,3,224,224]", "--metric", "error", "--max-drop", "5%"]


def deploy(name: str, real: Path, extra: list[str]) -> dict[str, object]:
    """Run one deployment; what its certificate says of the winner, beside the aim."""
    bundle = RESULTS / f"{name}.bundle"
    started = time.monotonic()
    run = subprocess.run([ROADWORTHY, "deploy", *command(name, real), "-o", str(bundle), *extra], cwd=HERE)
    seconds = time.monotonic() - started
    if run.returncode:
        return {"network": name, "failed": run.returncode, "seconds": seconds}
    certificate = json.loads((bundle / "certificate.json").read_text())
    entries = [certificate["baseline"], *certificate["measured"]]
    winner = next(entry for entry in entries if plan_name(entry) == certificate["choice"]["winner"])
    return {
        "network": name,
        "cpu": certificate["host"]["cpu"],
        "features": certificate["host"]["features"],
        "winner": certificate["choice"]["winner"],
        "speedup": winner["timing"]["speedup"],
        "aim": AIMS[name],
        "score": winner["verified"]["score"],
        "original_ms": certificate["baseline"]["timing"]["latency_ms"],
        "winner_ms": winner["timing"]["latency_ms"],
        "seconds": seconds,
        "unavailable": certificate["unavailable"],
    }


def plan_name(entry: dict[str, object]) -> str:
    """The name of the plan behind one measured entry, as the choice writes it."""
    plan = entry["verified"]["candidate"]["plan"]  # type: ignore[index]
    parts = (plan["runtime"], plan["precision"], plan["flavour"], f"b{plan['batch']}" if plan["batch"] else "")
    return "-".join(part for part in parts if part) + f"-t{plan['threads']}" + ("-spin" if plan["spin"] else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(AIMS), help="which networks; all by default")
    parser.add_argument("--real", type=Path, default=HERE.parent.parent / "shared" / "real", help="the real models and data")
    parser.add_argument("--deploy", default="", help="further options for roadworthy deploy, in one string")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    results = [deploy(name, options.real, options.deploy.split()) for name in options.networks]
    (RESULTS / "deploy.json").write_text(json.dumps(results, indent=2))
    for result in results:
        if "failed" in result:
            print(f"{result['network']}: deploy failed with exit code {result['failed']}")
            continue
        speedup = result["speedup"]
        print(
            f"{result['network']}: {result['winner']} is {speedup['value']:.1f} times PyTorch eager "  # type: ignore[index]
            f"[{speedup['low']:.1f}, {speedup['high']:.1f}], aim {result['aim']:.0f}; deployed in {result['seconds']:.0f} s"  # type: ignore[index]
        )


if __name__ == "__main__":
    main()
