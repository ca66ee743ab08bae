"""One plan in a process of its own, called as its runtime's documentation does: ``python contestant.py NETWORK FOLDER REAL PLAN``.

PLAN is a ``HandPlan`` as JSON, or the path of a bundle, which is opened as a user does. Reads lines: ``burst SECONDS`` times single calls
and prints the median in microseconds; ``answers FILE`` writes the answers to all samples.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Call = Callable[[Array], Array]
FEEDS = 8


def opened(network: str, folder: Path, real: Path, plan: str) -> Call:
    if not plan.startswith("{"):
        return bundle(plan)
    words = json.loads(plan)
    settings, threads, file = dict(words["settings"]), words["threads"], folder / words["file"]
    if words["runtime"] in ("torch", "tensorflow"):
        return OF_FRAMEWORK[words["runtime"]](network, real, threads, settings["form"])
    return OF_FILE[words["runtime"]](file, threads, settings)


def bundle(path: str) -> Call:
    import roadworthy as rw

    model = rw.load(path)
    (spec,) = model.signature.inputs
    (first, *_) = model.signature.outputs
    return lambda x: model.run({spec.name: x})[first.name]


def torch_call(network: str, real: Path, threads: int, form: str) -> Call:
    import originals
    import torch

    torch.set_num_threads(threads)
    original = originals.load(network, real)
    module = original.model
    if form == "script":
        module = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(module, torch.from_numpy(original.x[:1]))))
    memory = torch.contiguous_format
    if form == "channels_last":
        memory = torch.channels_last
        module = module.to(memory_format=memory)

    def call(x: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(x).contiguous(memory_format=memory)).numpy())

    return call


def tensorflow_call(network: str, real: Path, threads: int, form: str) -> Call:
    import make
    import originals
    import tensorflow as tf

    original = originals.load(network, real)
    if form == "call":
        return original.call
    inner = make.tf_function(original)
    function = tf.function(inner, jit_compile=form == "xla").get_concrete_function(tf.TensorSpec((1, *original.x.shape[1:]), tf.float32))
    return lambda x: np.asarray(function(tf.constant(x)))


def onnxruntime_call(file: Path, threads: int, settings: dict[str, str]) -> Call:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", settings["spin"])
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: np.asarray(session.run(None, {name: x})[0])


def openvino_call(file: Path, threads: int, settings: dict[str, str]) -> Call:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino as ov

    properties = {
        "INFERENCE_PRECISION_HINT": settings["precision"],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": settings["pinned"] == "1",
    }
    request = ov.Core().compile_model(file, "CPU", properties).create_infer_request()
    return lambda x: np.array(request.infer([x], share_inputs=True, share_outputs=True)[0])


def litert_call(file: Path, threads: int, settings: dict[str, str]) -> Call:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=threads)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call(x: Array) -> Array:
        interpreter.set_tensor(taken, x)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(given))

    return call


OF_FRAMEWORK = {"torch": torch_call, "tensorflow": tensorflow_call}
OF_FILE = {"onnxruntime": onnxruntime_call, "openvino": openvino_call, "litert": litert_call}


def burst(call: Call, feeds: list[Array], seconds: float) -> float:
    """Microseconds of a call: the median of as many as take ``seconds``, three at least."""
    times: list[int] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        start = time.perf_counter_ns()
        call(feeds[len(times) % len(feeds)])
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times)) / 1000


def main() -> None:
    # The runtimes may print; the answers to the parent go their own way.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    network, folder, real, plan = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    x = np.load(folder / "x.npy")
    feeds = [np.ascontiguousarray(x[i : i + 1]) for i in range(FEEDS)]
    call = opened(network, folder, real, plan)
    burst(call, feeds, 0.3)
    print("ready", file=told, flush=True)
    for line in sys.stdin:
        word, value = line.split()
        if word == "burst":
            print(burst(call, feeds, float(value)), file=told, flush=True)
        else:
            np.save(value, np.concatenate([call(x[i : i + 1]) for i in range(len(x))]))
            print("written", file=told, flush=True)


if __name__ == "__main__":
    main()
