"""Functions for child processes to run, also ones that crash, hang or leak."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from roadworthy.core.errors import SourceRefused


@dataclass(frozen=True)
class Number:
    value: int


def double(number: Number) -> Number:
    print("a line on standard output is no answer")
    return Number(number.value * 2)


def order_of_a_set(number: Number) -> Number:
    """The order in which a set of that many words comes, as one number."""
    words = {f"word {index}" for index in range(number.value)}
    return Number(sum(place * int(word.split()[1]) for place, word in enumerate(words)))


def process_id(number: Number) -> Number:
    return Number(os.getpid())


def die(number: Number) -> Number:
    os.kill(os.getpid(), number.value)
    time.sleep(60)
    return number


def leave(number: Number) -> Number:
    os._exit(number.value)


def sleep(number: Number) -> Number:
    time.sleep(number.value)
    return number


def sleep_in_a_grandchild(number: Number) -> Number:
    import subprocess

    subprocess.run(["sleep", "600"], check=False)
    return number


def fill(number: Number) -> Number:
    hoard = []
    while True:
        hoard.append(b"x" * 2**24)
        time.sleep(0.005)


def fill_at_once(number: Number) -> Number:
    return Number(len(b"x" * (number.value * 2**20)))


def refuse(number: Number) -> Number:
    raise SourceRefused("it asks for os.system", detail="deep")


def stumble(number: Number) -> Number:
    raise ZeroDivisionError("by nothing\nat all")


def full(number: Number) -> Number:
    raise OSError(28, "No space left on device")


def hang_up_on_signals(number: Number) -> Number:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(number.value)
    return number


def leave_a_file(number: Number) -> Number:
    """Leaves a temporary file behind, as a library does that removes its files only at a normal exit."""
    with tempfile.NamedTemporaryFile(prefix="left-behind-", delete=False) as file:
        return Number(len(file.name))


@dataclass(frozen=True)
class Text:
    value: str


def import_file(file: Text) -> Text:
    """The value of ``FOUND`` in the user's file, or what it raised."""
    from roadworthy.core.isolation import confinement, usercode

    try:
        return Text(str(getattr(usercode.module(file.value), "FOUND", "")))
    except Exception as problem:
        return Text(f"{type(problem).__name__}{confinement.explained(problem)}")


@dataclass(frozen=True)
class Used:
    """The instructions that two libraries use in this process, as they name them."""

    torch: str
    openvino: str


def used_instructions(number: Number) -> Used:
    """By ATen, and by OpenVINO for a float32 convolution."""
    import sys

    import numpy as np
    import torch

    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    from openvino import opset8

    x = opset8.parameter([2, 8, 16, 16], dtype=np.float32)
    y = opset8.convolution(x, opset8.constant(np.ones((16, 8, 3, 3), np.float32)), [1, 1], [0, 0], [0, 0], [1, 1])
    compiled = openvino.Core().compile_model(openvino.Model([y], [x]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kernels = {
        op.get_rt_info()["layerType"].value: op.get_rt_info()["primitiveType"].value for op in compiled.get_runtime_model().get_ops()
    }
    return Used(torch.backends.cpu.get_cpu_capability(), kernels["Convolution"])


def work(pieces: Number) -> Number:
    """Says how much of it is done, and says it often."""
    from roadworthy.core.isolation import reported

    reported.SECONDS = 0.02
    for piece in range(1, pieces.value + 1):
        reported.done(piece, pieces.value, "samples")
        if piece in (1, 500):
            time.sleep(0.03)
    return pieces


def parent_id(number: Number) -> Number:
    return Number(os.getppid())


def kill_the_parent(number: Number) -> Number:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
    return number


def kill_the_parents_group(number: Number) -> Number:
    os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)
    time.sleep(60)
    return number


_calls: list[int] = []


def calls(number: Number) -> Number:
    """How often this function was called in this process, and in the process that it was forked from."""
    import json

    _calls.append(number.value)
    # A module that the process had imported before it was forked.
    json.calls = getattr(json, "calls", 0) + 1  # type: ignore[attr-defined]
    return Number(len(_calls) + json.calls - 1)  # type: ignore[attr-defined]


def is_imported(name: Text) -> Number:
    import sys

    return Number(int(name.value in sys.modules))


def descriptors(number: Number) -> Text:
    """What each descriptor of this process leads to."""
    found = []
    for entry in sorted(Path("/proc/self/fd").iterdir(), key=lambda entry: int(entry.name)):
        try:
            found.append(f"{entry.name} {entry.readlink()}")
        except OSError:
            pass  # the listing's own
    return Text("\n".join(found))


def variable(name: Text) -> Text:
    return Text(os.environ.get(name.value, ""))


def temporary(number: Number) -> Text:
    return Text(tempfile.gettempdir())


def drawn(number: Number) -> Text:
    """Random numbers by each generator that a library seeds when it is imported."""
    import random

    import numpy as np

    return Text(f"{random.random()} {np.random.random()}")


def search_path(number: Number) -> Text:
    import sys

    return Text("\n".join(dict.fromkeys(sys.path)))


def convolved(threads: Number) -> Text:
    """The answers of a convolution in PyTorch on so many threads, the number that it says it has, and whether this process has as many."""
    import hashlib

    import torch

    torch.set_num_threads(threads.value)
    torch.manual_seed(0)
    image, weight = torch.rand(8, 16, 64, 64), torch.rand(16, 16, 3, 3)
    answer = torch.nn.functional.conv2d(image, weight).softmax(1)
    # OpenMP starts them for elementwise work that is large enough.
    (answer + 1).sum()
    there = len(list(Path("/proc/self/task").iterdir())) >= threads.value
    return Text(f"{hashlib.sha256(answer.numpy().tobytes()).hexdigest()} {torch.get_num_threads()} {there}")


def convolved_by_tensorflow(threads: Number) -> Text:
    """The same in TensorFlow, which starts its threads by itself."""
    import hashlib

    from roadworthy.frameworks.tensorflow import framework

    framework.set_threads(threads.value)
    tf = framework.framework()
    image = tf.random.stateless_uniform((8, 64, 64, 16), seed=(0, 1))
    answer = tf.nn.softmax(tf.nn.conv2d(image, tf.random.stateless_uniform((3, 3, 16, 16), seed=(0, 2)), 1, "SAME"))
    workers = tf.config.threading.get_intra_op_parallelism_threads()
    return Text(f"{hashlib.sha256(answer.numpy().tobytes()).hexdigest()} {workers}")
