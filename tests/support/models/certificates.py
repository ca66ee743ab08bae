"""Certificates to test with: one as a real deployment gives it, and one of the null runtime that packs and serves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.package import PackRequest, Reproduction
from roadworthy.bundle.acceptance import Acceptance
from roadworthy.bundle.certificate import Certificate, Choice, Goal, InstalledPackage, Origin, Samples, StageTime, StepTime, TriedRoute
from roadworthy.bundle.course import Course, CourseCheck, Departure, Standing
from roadworthy.core import samples
from roadworthy.core.evidence import FirstCall, Interval, Note, Parity, Rate, Score, Timing, Tolerance
from roadworthy.core.host import Host, this_host
from roadworthy.core.stages import Candidate, Measured, Plan, Rejected, Verified
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import ImageTable, ResizeTable

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIGNATURE = Signature(
    (TensorSpec("image", "float32", ("batch", 3, 32, 32)),), (TensorSpec("logits", "float32", ("batch", 10)),), max_batch=None
)
CONTRACT = Contract(
    ImageTable(resize=ResizeTable(32), mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.201)).steps(), Answer(labels=CLASSES, top_k=3)
)
TOLERANCE = Tolerance(float64=4.1e-7, noise=6.3e-7, limit=2.1e-5)
HOST = Host(
    "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "x86_64",
    ("sse4_2", "avx", "fma", "f16c", "avx2", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
    2, 8, 16008, "Linux 6.1.0", "3.11.11",
)  # fmt: skip
ORIGINAL = 0.8027


def score(drop: float, spread: float = 0.003, needed: int | None = None) -> Score:
    value = ORIGINAL - drop
    return Score(
        "top1", 1000, Interval(value, value - 0.024, value + 0.024), ORIGINAL, Interval(drop, drop - spread, drop + spread),
        drop + 0.8 * spread, 0.01, needed,
    )  # fmt: skip


def parity(error: float) -> Parity:
    return Parity(1000, (1, 2, 5), 20 * error, error, error / 4, 1 - error**2, 1 - min(1.0, 2 * error), error <= TOLERANCE.limit)


def timing(latency: float, *, original: float = 4.53, size: float = 1.1, memory: float = 96.0, rounds: int = 24) -> Timing:
    ratio = original / latency
    return Timing(
        Interval(latency, 0.97 * latency, 1.05 * latency), 1.6 * latency, Interval(ratio, 0.95 * ratio, 1.04 * ratio), memory, 420.0,
        size, rounds, 3, True, (FirstCall(1, 40 * latency), FirstCall(2, 9 * latency)), True, 2400, rate(1900 / latency, 0.7 * ratio),
    )  # fmt: skip


def rate(per_second: float, gain: float) -> Rate:
    return Rate(
        Interval(per_second, 0.98 * per_second, 1.03 * per_second), 16, Interval(gain, 0.96 * gain, 1.05 * gain), True, 5, 1, True
    )  # fmt: skip


def verified(plan: Plan, drop: float, error: float, graph: str = "onnx") -> Verified:
    made = Candidate(plan, Path("/tmp/workspace") / plan.artefact, SIGNATURE, graph, 1_104_312, 3.4)
    return Verified(made, parity(error), score(drop, 0.0005 if error < 1e-4 else 0.004))


def measured(plan: Plan, drop: float, error: float, latency: float, graph: str = "onnx", **figures: float) -> Measured:
    return Measured(verified(plan, drop, error, graph), timing(latency, **figures))


SHORT = "top1 falls by 0.8 points, but on 1,000 samples up to 1.3 cannot be ruled out; 2,400 samples would settle it"
REJECTED = (
    Rejected(
        Plan("openvino", "int8", 2, flavour="per-tensor"), "verify", "top1 falls by 3.9 points (at 95 % up to 4.6), the budget is 1.0",
        "", parity(0.21), score(0.039, 0.008),
    ),
    Rejected(Plan("aotinductor", "int8", 2), "verify", SHORT, "", parity(0.052), score(0.008, 0.006, 2400)),
    Rejected(
        Plan("onnxruntime", "int8", 2, flavour="symmetric"), "verify", "a non-finite output for sample 17", "first seen at layer3.2.conv1",
        None, score(0.612, 0.03),
    ),
    Rejected(Plan("torchscript", "int8", 2), "lower", "crashed with SIGSEGV", "log tail:\nqnnpack: unsupported"),
    Rejected(Plan("aotinductor", "fp32", 2, 1), "lower", "no C++ compiler was found: install g++ and run again"),
)  # fmt: skip


def standings(spread: float, **medians: float) -> tuple[Standing, ...]:
    """Candidates of OpenVINO by precision, each with an interval that is ``spread`` of the median wide on both sides."""
    return tuple(
        Standing(f"openvino-{precision}-b1-t2", Interval(ms, (1 - spread) * ms, (1 + spread) * ms)) for precision, ms in medians.items()
    )


COURSE = Course(
    "latency", 0.02, 23, 14.2, "leads",
    (
        CourseCheck(6, 5.1, standings(0.1, bf16=0.5, int8=0.53, fp32=1.13)),
        CourseCheck(12, 8.3, standings(0.05, bf16=0.49, int8=0.52)),
        CourseCheck(23, 14.2, standings(0.02, bf16=0.49, int8=0.52)),
    ),
    (
        Departure("openvino-fp32-b1-t2", 6, "far", "openvino-bf16-b1-t2", Interval(2.29, 2.2, 2.4)),
        Departure("pytorch-fp32-t2", 12, "reported"),
        Departure("openvino-int8-b1-t2", 23, "slower", "openvino-bf16-b1-t2", Interval(1.06, 1.02, 1.09)),
    ),
)  # fmt: skip


def realistic() -> Certificate:
    """A CIFAR ResNet-20 over all runtimes: fourteen that passed, five rejected for the usual reasons."""
    return Certificate(
        name="cifar-resnet20",
        created="2026-11-22T09:41:07Z",
        roadworthy="0.1.0",
        notes=(
            Note("top1 is measured on 1,000 samples of one class only", warning=True),
            Note("the weights are those of ema_state_dict; state_dict is in the file too"),
        ),
        host=HOST,
        packages=(
            InstalledPackage("torch", "2.13.0"), InstalledPackage("openvino", "2026.4.1"), InstalledPackage("onnxruntime", "1.32.0"),
            InstalledPackage("nncf", "3.4.0"),
        ),
        origin=Origin(
            "cifar10_resnet20.th", "checkpoint", "torch", "9f3c" * 16, 1_120_334, 269_722,
            ("The same input gave the same output twice.", "Each of 16 samples alone gave what it gave inside the batch."),
        ),
        signature=SIGNATURE,
        samples=Samples("labelled", 1000, 300, CLASSES),
        goal=Goal("latency", "top1", 0.01),
        tolerance=TOLERANCE,
        original=score(0.0, 0.0),
        routes=(
            TriedRoute("onnx", "dynamo exporter", "used", True),
            TriedRoute("onnx", "exporter by tracing", "kept in reserve", True),
            TriedRoute("pt2", "strict export", "it asks for the value of a tensor at layer3.1.conv2 (a data-dependent branch)", False),
            TriedRoute("pt2", "export, not strict", "used", True),
            TriedRoute("jit", "script", "used", True),
        ),
        baseline=measured(Plan("pytorch", threads=2), 0.0, 0.0, 4.53, "module", size=1.1, memory=312.0),
        measured=(
            measured(Plan("openvino", "int8", 2, 1), 0.0021, 0.021, 0.52),
            measured(Plan("openvino", "bf16", 2, 1), -0.0004, 0.0061, 0.49),
            measured(Plan("openvino", "fp32", 2, 1), 0.0, 3.2e-6, 1.12),
            measured(Plan("openvino", "fp32", 2), 0.0, 3.2e-6, 1.36),
            measured(Plan("openvino", "int8", 2), 0.0021, 0.021, 0.66),
            measured(Plan("onnxruntime", "fp32", 2), 0.0, 2.7e-6, 1.41),
            measured(Plan("onnxruntime", "fp32", 2, spin=True), 0.0, 2.7e-6, 1.33),
            measured(Plan("onnxruntime", "int8", 2), 0.0046, 0.034, 0.73),
            measured(Plan("torchscript", "fp32", 2), 0.0, 1.1e-6, 3.2, "jit", memory=301.0),
            measured(Plan("aotinductor", "fp32", 2), 0.0, 1.9e-6, 3.71, "pt2", memory=330.0),
            measured(Plan("aotinductor", "bf16", 2), 0.001, 0.0072, 3.02, "pt2", memory=322.0),
            measured(Plan("pytorch", threads=2, flavour="channels_last"), 0.0, 9e-7, 4.9, "module", memory=312.0),
        ),
        rejected=REJECTED,
        unavailable=("openvino fp16: this CPU has no avx512_fp16",),
        choice=Choice(
            "openvino-bf16-b1-t2", "openvino-fp32-t2",
            (
                "openvino-bf16-b1-t2 has the lowest latency of the 12 within the budget: 0.49 ms, 9.2 times faster than the original.",
                "It beats openvino-int8-b1-t2 by 6 % (2 to 9 %), beyond the noise of 24 rounds.",
                "openvino-fp32-t2 is the fallback: float32, any batch, any x86-64.",
            ),
        ),
        stages=(
            StageTime("inspect", 1.2, (StepTime("identify", 1.1),)),
            StageTime("race", 20.0),
            StageTime("candidates", 120.0, (StepTime("lower-onnx-openvino-int8-b1", 18.4), StepTime("verify-openvino-int8-b1-t2", 31.0))),
        ),
        seconds=141.2,
        course=COURSE,
    )  # fmt: skip


def null_request(folder: Path, *, weight: float = 1.0, version: str = "1") -> PackRequest:
    """A deployment of a small linear map on digits-like images that really packs, checks and serves; files in the new ``folder``."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    images = rng.random((40, 1, 8, 8), dtype=np.float32)
    matrix = weight * rng.normal(size=(64, 10)).astype(np.float32)
    bias = rng.normal(size=10).astype(np.float32)
    signature = Signature((TensorSpec("image", "float32", ("batch", 1, 8, 8)),), (TensorSpec("logits", "float32", ("batch", 10)),))
    plans = (Plan("null", batch=1), Plan("null"))
    candidates = []
    for plan in plans:
        path = folder / "candidates" / plan.artefact
        path.mkdir(parents=True)
        np.savez(path / "model.npz", weight=matrix, bias=bias)
        candidates.append(Verified(Candidate(plan, path, signature, "npz", 3000, 0.1), parity(0.0), score(0.0, 0.0)))
    first = Measured(candidates[0], timing(0.011, original=0.02))
    baseline = Measured(
        replace(candidates[1], candidate=replace(candidates[1].candidate, plan=Plan("null", threads=2))), timing(0.02, original=0.02)
    )
    rejected = Rejected(Plan("null", "int8"), "lower", "the null runtime has no int8")
    certificate = replace(
        realistic(),
        name="digits-null",
        host=this_host(),
        signature=signature,
        samples=Samples("labelled", 40, 0, tuple("0123456789")),
        baseline=baseline,
        measured=(first, Measured(candidates[1], timing(0.013, original=0.02))),
        rejected=(rejected,),
        choice=Choice(plans[0].name, plans[1].name, ("It is the only one.",)),
    )
    return PackRequest(
        certificate,
        Contract(ImageTable(color="L", resize=ResizeTable((8, 8))).steps(), Answer(labels=tuple("0123456789"), top_k=3)),
        version,
        tuple(candidates),
        samples.write(folder / "samples", {"image": images}),
        {"logits": images.reshape(40, -1) @ matrix + bias},
        (Reproduction(rejected.plan.name, "raise SystemExit('the null runtime has no int8')\n"),),
    )


def unopened(root: Path) -> Acceptance:
    """For tests of what is written alone: no process opens the bundle."""
    return Acceptance()
