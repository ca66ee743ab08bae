"""Photographs a second from file to answer, one at a time: decode, steps and model, in Roadworthy and in the model's own framework.

``python benchmarks/preprocess.py PHOTOGRAPHS [--cores 1 2]`` deploys MobileNetV3-Small of ``networks.py`` and Keras's MobileNetV2, both
with random weights, and lets each bundle and each framework answer the same photographs: torchvision's transforms and PyTorch, and
tf.data with a Keras model as ``tf.function``. Each contender is a process of its own on so many cores; all answer one after the other,
round by round in a random order, and the ratios are of the same round. It writes ``benchmarks/results/preprocess.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))
NARROW = ("--runtimes", "onnxruntime", "--precisions", "fp32", "--time-budget", "3m")
AGAINST = {"torch": "PyTorch", "keras": "Keras"}
Answer = Callable[[bytes], Any]


def bundle_of(framework: str, photographs: Path) -> Path:
    """The bundle of the framework's network, deployed where it is not there yet."""
    bundle = RESULTS / f"preprocess-{framework}.bundle"
    if bundle.is_dir():
        return bundle
    if framework == "torch":
        import torch

        import networks

        weights = RESULTS / "preprocess.pt"
        torch.manual_seed(0)
        torch.save(networks.mobilenet_v3_small().state_dict(), weights)
        words = [weights, "--arch", f"{HERE / 'networks.py'}:mobilenet_v3_small", "--preprocess", "imagenet"]
    else:
        weights = RESULTS / "preprocess.keras"
        subprocess.run([sys.executable, HERE / "keras_networks.py", weights], check=True)
        words = [weights, "--preprocess", "tf:224"]
    # Without the class folders: they are not the classes of a network with random weights.
    flat = RESULTS / "preprocess-photographs"
    flat.mkdir(exist_ok=True)
    for path in sorted(photographs.rglob("*.JPEG"))[:64]:
        shutil.copyfile(path, flat / path.name)
    subprocess.run([ROADWORTHY, "deploy", *map(str, words), "--data", str(flat), "-o", str(bundle), *NARROW], check=True)
    return bundle


def in_roadworthy(framework: str, cores: int) -> Answer:
    """The bundle, opened in this process."""
    import roadworthy

    return roadworthy.load(RESULTS / f"preprocess-{framework}.bundle", threads=cores)


def in_torch(cores: int) -> Answer:
    """Pillow, torchvision's transforms of the preset "imagenet", PyTorch."""
    from io import BytesIO

    import torch
    from PIL import Image

    from roadworthy.frameworks.torch.torchvision_ops import declare_missing

    declare_missing()
    from torchvision import transforms

    import networks

    torch.set_num_threads(cores)
    model = networks.mobilenet_v3_small().eval()
    model.load_state_dict(torch.load(RESULTS / "preprocess.pt"))
    steps = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    def answer(photograph: bytes) -> Any:
        with torch.inference_mode():
            return model(steps(Image.open(BytesIO(photograph)).convert("RGB"))[None]).numpy()

    return answer


def in_keras(cores: int) -> Answer:
    """TensorFlow's decoder and resize and the Keras model, all in one ``tf.function``: what a map of tf.data runs."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(cores)
    tf.config.threading.set_inter_op_parallelism_threads(cores)
    import keras

    model = keras.saving.load_model(RESULTS / "preprocess.keras")

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def answer(photograph: Any) -> Any:
        pixels = tf.image.resize(tf.io.decode_jpeg(photograph, channels=3), (224, 224))
        return model(pixels[None] / 127.5 - 1.0, training=False)

    return lambda photograph: answer(photograph).numpy()


def contend(contender: str, cores: int, photographs: Path, count: int) -> None:
    """A child: for every line on standard input answer all photographs, and say how many seconds that took."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    sys.path.insert(0, str(HERE))
    kind, _, framework = contender.partition(" ")
    answer = in_roadworthy(framework, cores) if kind == "roadworthy" else {"torch": in_torch, "keras": in_keras}[framework](cores)
    files = [path.read_bytes() for path in sorted(photographs.rglob("*.JPEG"))[:count]]
    for file in files[:10]:
        answer(file)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        for file in files:
            answer(file)
        print(time.perf_counter() - begun, flush=True)


def race(cores: int, photographs: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """Photographs a second of each contender, by round."""
    contenders = [f"{kind} {framework}" for framework in AGAINST for kind in ("roadworthy", "itself")]
    words = [sys.executable, __file__, str(photographs), "--count", str(count), "--cores", str(cores), "--contender"]
    children = {name: subprocess.Popen([*words, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in contenders}
    found: dict[str, list[float]] = {name: [] for name in contenders}
    try:
        for name, child in children.items():
            if _line(child) != "ready":
                raise SystemExit(f"{name} ended")
        for _ in range(rounds):
            for name in random.sample(contenders, len(contenders)):
                print(file=children[name].stdin, flush=True)
                found[name].append(count / float(_line(children[name])))
    finally:
        for child in children.values():
            child.kill()
            child.wait()
    return found


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def summary(found: dict[str, list[float]], framework: str) -> dict[str, Any]:
    """The medians of both, and the ratio of each round: its median and the middle 80 %."""
    ours, theirs = found[f"roadworthy {framework}"], found[f"itself {framework}"]
    ratios = sorted(our / their for our, their in zip(ours, theirs, strict=True))
    cut = len(ratios) // 10
    return {
        "roadworthy": statistics.median(ours),
        "itself": statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "low": ratios[cut],
        "high": ratios[-1 - cut],
        "rounds": len(ratios),
    }


def host() -> dict[str, Any]:
    """The CPU and how busy it is, for beside the figures."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next(line for line in lines if line.startswith("flags")).split(":")[1].split()
    model = next(line for line in lines if line.startswith("model name")).split(":")[1].strip()
    notable = [flag for flag in flags if flag.startswith(("avx2", "avx512", "amx", "fma"))]
    return {"cpu": model, "cores": os.cpu_count(), "features": notable, "load": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="a folder of JPEG files")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--count", type=int, default=50, help="photographs in a round")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contend(options.contender, options.cores[0], options.photographs, options.count)
        return
    RESULTS.mkdir(exist_ok=True)
    sys.path.insert(0, str(HERE))
    for framework in AGAINST:
        bundle_of(framework, options.photographs)
    report: dict[str, Any] = {"host": host(), "photographs": options.count}
    for cores in options.cores:
        found = race(cores, options.photographs, options.count, options.rounds)
        for framework, name in AGAINST.items():
            line = report[f"{framework} on {cores}"] = summary(found, framework)
            print(
                f"{cores} core{'s' if cores > 1 else ''}: {line['roadworthy']:.0f} photographs a second, {name} {line['itself']:.0f}: "
                f"{line['ratio']:.2f} times ({line['low']:.2f} to {line['high']:.2f}, {line['rounds']} rounds)"
            )
    (RESULTS / "preprocess.json").write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
