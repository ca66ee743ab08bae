"""What our session adds to the runtime itself: the same file, called by hand with the same settings, beside ``roadworthy.load``.

``python benchmarks/overhead.py BUNDLE...`` interleaves the two in one process, round by round, and prints for each bundle the
paired ratio with its 95 % interval and the microseconds a call; it writes ``benchmarks/results/overhead.json``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import roadworthy as rw
from roadworthy.bundle.manifest import Variant
from roadworthy.core.types import Array, Signature

RESULTS = Path(__file__).resolve().parent / "results"
ROUNDS, BURST_SECONDS = 40, 0.05


def by_hand_onnxruntime(path: Path, variant: Variant, signature: Signature, feeds: dict[str, Array]) -> Callable[[], object]:
    """ONNX Runtime as its own documentation calls it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = variant.plan.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if variant.plan.spin else "0")
    session = ort.InferenceSession(path / "model.onnx", options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


def by_hand_openvino(path: Path, variant: Variant, signature: Signature, feeds: dict[str, Array]) -> Callable[[], object]:
    """OpenVINO as its own documentation calls it."""
    import openvino

    properties = {
        "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp16": "f16"}.get(variant.plan.precision, "f32"),
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": variant.plan.threads,
        "ENABLE_CPU_PINNING": False,
    }
    request = openvino.Core().compile_model(path / "model.xml", "CPU", properties).create_infer_request()
    return lambda: request.infer(feeds)


BY_HAND = {"onnxruntime": by_hand_onnxruntime, "openvino": by_hand_openvino}


def burst(call: Callable[[], object], count: int) -> float:
    """Microseconds of a call, the median of ``count``."""
    times = np.empty(count)
    for index in range(count):
        start = time.perf_counter_ns()
        call()
        times[index] = time.perf_counter_ns() - start
    return float(np.median(times)) / 1000


def compare(bundle: Path) -> dict[str, object]:
    """The two side by side on zeros of batch 1."""
    with rw.load(bundle) as model:
        feeds = {spec.name: np.zeros(spec.fixed(1).shape, spec.dtype) for spec in model.signature.inputs}
        by_hand = BY_HAND[model.variant.plan.runtime](bundle / model.variant.path, model.variant, model.signature, feeds)
        ours = lambda: model.run(feeds)  # noqa: E731  (the same kind of call as the other)
        burst(ours, 50), burst(by_hand, 50)
        count = int(np.clip(BURST_SECONDS * 1e6 / burst(by_hand, 20), 10, 2000))
        rounds = [(burst(ours, count), burst(by_hand, count)) for _ in range(ROUNDS)]
    table = np.array(rounds)
    ratios = np.sort(np.random.default_rng(0).choice(table[:, 0] / table[:, 1], (2000, ROUNDS)).mean(axis=1))
    added = np.median(table[:, 0] - table[:, 1])
    return {
        "bundle": bundle.name,
        "variant": model.variant.name,
        "by_hand_us": float(np.median(table[:, 1])),
        "ours_us": float(np.median(table[:, 0])),
        "added_us": float(added),
        "ratio": float(np.median(table[:, 0] / table[:, 1])),
        "ratio_low": float(ratios[50]),
        "ratio_high": float(ratios[-50]),
    }


def main() -> None:
    results = [compare(Path(name)) for name in sys.argv[1:]]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "overhead.json").write_text(json.dumps(results, indent=2))
    for one in results:
        print(
            f"{one['bundle']} {one['variant']}: {one['ours_us']:.1f} us a call, {one['by_hand_us']:.1f} by hand: "
            f"{one['added_us']:+.1f} us, ratio {one['ratio']:.3f} [{one['ratio_low']:.3f}, {one['ratio_high']:.3f}]"
        )


if __name__ == "__main__":
    main()
