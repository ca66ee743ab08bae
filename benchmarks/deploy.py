"""The main figures: networks of both frameworks from file to bundle, and what the winner gains over its own framework.

``python benchmarks/deploy.py [NETWORK ...]`` prints a line for each and writes ``benchmarks/results/deploy.json``. The PyTorch ones
are held against PyTorch eager; the Keras ones against a Keras call and against ``tf.function``, both from the same race; a
SavedModel against its own signature called in TensorFlow. ``wav`` is a frozen TF1 graph that nothing but TensorFlow runs: its
answers are compared with TensorFlow's own. resnet20, resnet8, kws and wav need the real models and data (``--real DIR``, see
the README); the others have random weights, and noise for data.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
RESULTS = HERE / "results"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))


@dataclass(frozen=True)
class Network:
    """``command`` gives the words behind ``roadworthy deploy``; ``aims`` the speed-ups to reach, by the plan they are held against.

    ``""`` is the original itself, another name the flavour of a plan of the original's own runtime.
    """

    command: Callable[[Path], list[str | Path]]
    aims: dict[str, float]


def deploy(name: str, real: Path, extra: list[str]) -> dict[str, Any]:
    """Run one deployment; what its certificate says of the winner, beside the aims."""
    bundle = RESULTS / f"{name}.bundle"
    words = [str(word) for word in NETWORKS[name].command(real)]
    started = time.monotonic()
    run = subprocess.run([ROADWORTHY, "deploy", *words, "--name", name, "-o", str(bundle), *extra], cwd=HERE)
    seconds = time.monotonic() - started
    if run.returncode:
        return {"network": name, "failed": run.returncode, "seconds": seconds}
    certificate = json.loads((bundle / "certificate.json").read_text())
    entries = {plan_name(entry): entry for entry in (certificate["baseline"], *certificate["measured"])}
    winner = entries[certificate["choice"]["winner"]]
    return {
        "network": name,
        "cpu": certificate["host"]["cpu"],
        "features": certificate["host"]["features"],
        "winner": certificate["choice"]["winner"],
        "gains": [gain(winner, against, aim, certificate) for against, aim in NETWORKS[name].aims.items()],
        "trusted": winner["timing"]["trusted"] and winner["timing"]["paired"],
        "score": winner["verified"]["score"],
        "parity": winner["verified"]["parity"],
        "original_ms": certificate["baseline"]["timing"]["latency_ms"],
        "winner_ms": winner["timing"]["latency_ms"],
        "seconds": seconds,
        "unavailable": certificate["unavailable"],
        "rejected": [f"{plan_of(entry['plan'])}: {entry['reason']}" for entry in certificate["rejected"]],
    }


def gain(winner: dict[str, Any], against: str, aim: float, certificate: dict[str, Any]) -> dict[str, Any]:
    """How many times faster than the original, or than a form of it, the winner was in its race.

    Both were timed against the original; against a form the interval is therefore the widest that these two allow.
    """
    mine, other = winner["timing"]["speedup"], {"value": 1.0, "low": 1.0, "high": 1.0}
    baseline = certificate["baseline"]["verified"]["candidate"]["plan"]
    if against:
        entries = [entry for entry in certificate["measured"] if entry["verified"]["candidate"]["plan"]["flavour"] == against]
        own = [entry for entry in entries if entry["verified"]["candidate"]["plan"]["runtime"] == baseline["runtime"]]
        if not own:
            return {"against": against, "aim": aim, "value": None}
        other = own[0]["timing"]["speedup"]
    return {
        "against": f"{baseline['runtime']}{f' {against}' if against else ''}",
        "aim": aim,
        "value": mine["value"] / other["value"],
        "low": mine["low"] / other["high"],
        "high": mine["high"] / other["low"],
    }


def plan_name(entry: dict[str, Any]) -> str:
    """The name of the plan behind one measured entry, as the choice writes it."""
    return plan_of(entry["verified"]["candidate"]["plan"])


def plan_of(plan: dict[str, Any]) -> str:
    """The name of one plan."""
    parts = (plan["runtime"], plan["precision"], plan["flavour"], f"b{plan['batch']}" if plan["batch"] else "")
    return "-".join(part for part in parts if part) + f"-t{plan['threads']}" + ("-spin" if plan["spin"] else "")


# The networks


def resnet20(real: Path) -> list[str | Path]:
    """A real CIFAR ResNet-20 checkpoint."""
    arch = f"{EXAMPLES / 'cifar_resnet.py'}:resnet20"
    preprocess = EXAMPLES / "cifar_resnet.toml"
    return [real / "models" / "cifar10_resnet20.th", "--arch", arch, "--data", real / "cifar10", "--preprocess", preprocess]


def of_torch(builder: str) -> Callable[[Path], list[str | Path]]:
    """A network of ``networks.py`` with random weights."""

    def command(real: Path) -> list[str | Path]:
        import torch

        import networks

        weights = RESULTS / f"{builder}.pt"
        torch.save(getattr(networks, builder)().state_dict(), weights)
        arch = f"{HERE / 'networks.py'}:{builder}"
        return [weights, "--arch", arch, "--data", f"{HERE / 'samples.py'}:channels_first", "--metric", "error", "--max-drop", "5%"]

    return command


def resnet8(real: Path) -> list[str | Path]:
    """A real Keras HDF5 file: CIFAR ResNet-8, pixels as they are."""
    return [real / "models" / "cifar10_resnet8.h5", "--data", real / "cifar10", "--preprocess", EXAMPLES / "cifar_keras.toml"]


def kws(real: Path) -> list[str | Path]:
    """A real SavedModel of TensorFlow 2: keyword spotting from MFCCs."""
    import numpy as np

    data = RESULTS / "kws.npz"
    np.savez(data, x=np.load(real / "kws-mfcc" / "mfcc_f32.npy"), y=np.load(real / "kws-mfcc" / "labels.npy"))
    return [real / "models" / "keyword_spotting_saved_model", "--data", data]


def mobilenetv2(real: Path) -> list[str | Path]:
    """Keras's own MobileNetV2 with random weights, logits out: probabilities of random weights hardly differ."""
    file = RESULTS / "mobilenetv2.keras"
    subprocess.run([sys.executable, HERE / "keras_networks.py", file], check=True)
    return [file, "--data", f"{HERE / 'samples.py'}:channels_last", "--metric", "error", "--max-drop", "5%"]


def wav(real: Path) -> list[str | Path]:
    """A real frozen TF1 graph that takes the bytes of a wav file."""
    data = real / "speech-commands"
    model = real / "models" / "keyword_spotting_ds_cnn_s_tf1_frozen.pb"
    return [model, "--data", data, "--labels", data / "labels.txt", "--allow-framework-at-serve"]


NETWORKS = {
    "resnet20": Network(resnet20, {"": 5.0}),
    "resnet18": Network(of_torch("resnet18"), {"": 10.0}),
    "mobilenet": Network(of_torch("mobilenet_v3_small"), {"": 1.0}),
    "resnet8": Network(resnet8, {"": 20.0, "function": 5.0}),
    "kws": Network(kws, {"": 5.0}),
    "mobilenetv2": Network(mobilenetv2, {"": 8.0, "function": 8.0}),
    "wav": Network(wav, {}),
}


def wav_difference(bundle: Path, real: Path) -> str:
    """How the bundle's answers to the wavs differ from those of TensorFlow itself, called without Roadworthy."""
    command = [sys.executable, HERE / "wav_answers.py", bundle, real]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help="which networks; all by default")
    parser.add_argument("--real", type=Path, default=HERE.parent.parent / "shared" / "real", help="the real models and data")
    parser.add_argument("--deploy", default="", help="further options for roadworthy deploy, in one string")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "deploy.json"
    results = {one["network"]: one for one in json.loads(file.read_text())} if file.is_file() else {}
    for name in options.networks:
        results[name] = deploy(name, options.real, options.deploy.split())
        if name == "wav" and "failed" not in results[name]:
            results[name]["difference"] = wav_difference(RESULTS / "wav.bundle", options.real)
        file.write_text(json.dumps(list(results.values()), indent=2))
    for name in options.networks:
        print(line(results[name]))


def line(result: dict[str, Any]) -> str:
    """One deployment in words."""
    if "failed" in result:
        return f"{result['network']}: deploy failed with exit code {result['failed']}"
    gains = [
        f"{one['value']:.1f} times {one['against']} [{one['low']:.1f}, {one['high']:.1f}], aim {one['aim']:.0f}"
        if one["value"]
        else f"nothing to hold against {one['against']}"
        for one in result["gains"]
    ]
    score = result["score"]
    quality = f"{score['metric']} {score['value']['value']:.2%}" if score else f"error {result['parity']['max_rel']:.1e}"
    doubt = "" if result["trusted"] else " (not certain: too few undisturbed rounds, or rounds that do not agree)"
    words = [result["winner"] + doubt, quality, *gains, result.get("difference", ""), f"deployed in {result['seconds']:.0f} s"]
    return f"{result['network']}: {'; '.join(word for word in words if word)}"


if __name__ == "__main__":
    main()
