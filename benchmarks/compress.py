"""What a smaller model gains, on really trained networks: ``python benchmarks/compress.py [--real DIR] [--minutes N] CASE ...``.

``digits`` and ``keras-digits`` are trained here. ``resnet20`` (PyTorch), ``resnet8`` (Keras) and ``student`` (the ResNet-20 teaches one
of a quarter of its weights) need the CIFAR-10 files of ``--real``:
``models/``, ``cifar10/`` to evaluate on and ``cifar10-train/`` to train on. ``depthwise`` is a small network of depthwise and 1x1
convolutions, trained on the digits.

Each case is one deployment with ``--compress``. Printed for each: the steps with their speed beside the fastest plan of the original
(paired, with its 95 % interval), then the fastest candidate of each kind in the final race, with its score and change on the evaluation
samples. Writes ``benchmarks/results/compress-CASE.json``. The CPU's features stand beside the figures: they hold for no other CPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from roadworthy.build.deploy import deploy
from roadworthy.build.job import Compression, Job, read_budget
from roadworthy.bundle.certificate import Certificate
from roadworthy.core import codec
from roadworthy.core.host import this_host
from roadworthy.core.stages import Measured

HERE = Path(__file__).resolve().parent
EXAMPLES, RESULTS = HERE.parent / "examples", HERE / "results"


def digits(folder: Path, real: Path, seconds: float) -> Job:
    """The digits CNN in PyTorch; labels and the original teach."""
    subprocess.run([sys.executable, EXAMPLES / "digits" / "train.py", folder], check=True)
    return _digits(folder, folder / "digits.pt", f"{EXAMPLES / 'digits' / 'net.py'}:DigitsNet", seconds)


def depthwise(folder: Path, real: Path, seconds: float) -> Job:
    """Depthwise and 1x1 convolutions with few channels, where fewer channels hardly pay."""
    import torch

    from students import DepthwiseDigits

    sys.path.insert(0, str(EXAMPLES / "digits"))
    from images import training_digits, write_images

    torch.manual_seed(0)
    pixels, classes = training_digits()
    x, y = torch.tensor(pixels / 16, dtype=torch.float32)[:, None], torch.tensor(classes)
    model = DepthwiseDigits()
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(60):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    torch.save(model.state_dict(), folder / "depthwise.pt")
    write_images(folder / "images")
    return _digits(folder, folder / "depthwise.pt", f"{HERE / 'students.py'}:DepthwiseDigits", seconds)


def _digits(folder: Path, model: Path, arch: str, seconds: float) -> Job:
    asked = Compression(("prune", "distil"), str(_training_digits(folder / "train.npz", channels_first=True)), seconds)
    return Job(
        model, folder / "bundle", arch=arch, data=str(folder / "images"), preprocess=str(EXAMPLES / "digits" / "preprocess.toml"),
        budget=read_budget("1%", None), compress=asked, cache=False,
    )  # fmt: skip


def keras_digits(folder: Path, real: Path, seconds: float) -> Job:
    """The digits CNN in Keras."""
    subprocess.run([sys.executable, EXAMPLES / "keras_digits" / "train.py", folder], check=True)
    asked = Compression(("prune", "distil"), str(_training_digits(folder / "train.npz", channels_first=False)), seconds)
    return Job(
        folder / "digits.keras", folder / "bundle", data=str(folder / "images"),
        preprocess=str(EXAMPLES / "keras_digits" / "preprocess.toml"), budget=read_budget("1%", None), compress=asked, cache=False,
    )  # fmt: skip


def resnet20(folder: Path, real: Path, seconds: float) -> Job:
    """A third party's CIFAR ResNet-20."""
    return _cifar(folder, real, Compression(("prune", "distil"), str(real / "cifar10-train"), seconds, flip=True, crop=4))


def student(folder: Path, real: Path, seconds: float) -> Job:
    """A network of a quarter of its weights, which it teaches."""
    small = f"{HERE / 'students.py'}:small_cifar"
    return _cifar(folder, real, Compression(("distil",), str(real / "cifar10-train"), seconds, small, flip=True, crop=4))


def _cifar(folder: Path, real: Path, asked: Compression) -> Job:
    return Job(
        real / "models" / "cifar10_resnet20.th", folder / "bundle", arch=f"{EXAMPLES / 'cifar_resnet.py'}:resnet20",
        data=str(real / "cifar10"), preprocess=str(EXAMPLES / "cifar_resnet.toml"), budget=read_budget("0.02", None), compress=asked,
        cache=False,
    )  # fmt: skip


def resnet8(folder: Path, real: Path, seconds: float) -> Job:
    """A third party's Keras ResNet-8."""
    asked = Compression(("prune", "distil"), str(real / "cifar10-train"), seconds, flip=True, crop=4)
    return Job(
        real / "models" / "cifar10_resnet8.h5", folder / "bundle", data=str(real / "cifar10"),
        preprocess=str(EXAMPLES / "cifar_keras.toml"), budget=read_budget("0.02", None), compress=asked, cache=False,
    )  # fmt: skip


CASES: dict[str, Callable[[Path, Path, float], Job]] = {
    "digits": digits, "keras-digits": keras_digits, "resnet20": resnet20, "resnet8": resnet8, "student": student, "depthwise": depthwise,
}  # fmt: skip


def _training_digits(path: Path, *, channels_first: bool) -> Path:
    sys.path.insert(0, str(EXAMPLES / "digits"))
    from images import training_digits

    pixels, classes = training_digits()
    x = pixels[:, None] / 16 if channels_first else pixels[..., None] * 255 / 16
    np.savez(path, x=x.astype(np.float32), y=classes)
    return path


def rows(certificate: Certificate) -> list[str]:
    """The steps, and the fastest candidate of each kind, as lines of a table."""
    proof = certificate.compression
    assert proof is not None
    lines = [f"{proof.parameters:,} parameters, {proof.multiplications:,} multiplications; {proof.outcome}", ""]
    lines += ["| step | parameters | multiplications | times as fast | validation | outcome |", "| --- " * 6 + "|"]
    for step in proof.steps:
        score = f"{step.score.shown(step.score.value.value)}, was {step.score.shown(step.score.original)}" if step.score else ""
        speed = f"{step.speedup.value:.2f} [{step.speedup.low:.2f}, {step.speedup.high:.2f}] {step.beside}"
        lines.append(f"| {step.name} | {step.parameters:,} | {step.multiplications:,} | {speed} | {score} | {step.reason} |")
    lines += ["", "| candidate | ms | times the fastest uncompressed float32 | score | change |", "| --- " * 5 + "|"]
    best: dict[tuple[str, str], Measured] = {}
    for one in sorted(certificate.measured, key=lambda one: one.timing.latency_ms.value):
        plan = one.verified.candidate.plan
        best.setdefault((plan.compression, plan.precision), one)
    base = best.get(("", "fp32"))
    for one in best.values():
        score = one.verified.score
        ratio = base.timing.latency_ms.value / one.timing.latency_ms.value if base else float("nan")
        figures = f"{score.shown(score.value.value)} | {-100 * score.drop.value:+.2f} points" if score else " | "
        lines.append(f"| {one.verified.candidate.plan.name} | {one.timing.latency_ms.value:.3f} | {ratio:.2f} | {figures} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=["digits", "keras-digits", "depthwise"], choices=list(CASES), metavar="CASE")
    parser.add_argument("--real", type=Path, default=Path("real"), help="the folder with models/, cifar10/ and cifar10-train/")
    parser.add_argument("--minutes", type=float, default=10.0, help="the time to teach in; a minute at most for the digits")
    options = parser.parse_args()
    host = this_host()
    RESULTS.mkdir(exist_ok=True)
    print(f"{host.cpu}, {host.cores} cores; {' '.join(host.features)}\n")
    for name in options.cases:
        seconds = 60 * (min(options.minutes, 0.5) if "digits" in name or name == "depthwise" else options.minutes)
        with tempfile.TemporaryDirectory() as scratch:
            began = time.monotonic()
            certificate = deploy(CASES[name](Path(scratch), options.real, seconds)).certificate
            took = time.monotonic() - began
        print(f"## {name}: {took:.0f} s, of which at most {seconds:.0f} s to teach\n")
        print("\n".join(rows(certificate)) + "\n", flush=True)
        record = {"seconds": took, "compression": json.loads(codec.to_json(certificate.compression)), "lines": rows(certificate)}
        (RESULTS / f"compress-{name}.json").write_text(json.dumps({"host": json.loads(codec.to_json(host)), **record}, indent=1))


if __name__ == "__main__":
    main()
