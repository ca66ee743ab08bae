"""A comparison with believable figures, made in no time."""

from __future__ import annotations

from roadworthy.core.comparison import Comparison, Family, Form, LayerPair, Pairing, Side, Steady
from roadworthy.core.evidence import FirstCall, Interval, Parity
from roadworthy.core.stages import Plan, Rejected
from support.models.certificates import HOST, SIGNATURE, TOLERANCE


def form(
    family: Family, runtime: str, ms: float, flavour: str = "", *, first: float = 40.0, start: float = 1500.0, made: float = 0.0
) -> Form:
    """``ms`` at batch 1; ``first`` ms for each first call, ``start`` ms to import."""
    times = tuple((batch, ms * (1 + batch / 12)) for batch in (1, 8, 32))
    steady = tuple(Steady(batch, Interval(time, 0.93 * time, 1.2 * time), Interval(0.5, 0.4, 0.6), 12, batch < 32) for batch, time in times)
    firsts = tuple(FirstCall(batch, first + batch) for batch in (1, 8, 32))
    plan = Plan(runtime, threads=2, flavour=flavour)
    return Form(family, plan, "onnx", 3e-7, made, 1.25, start, 12.0, firsts, steady, 1e3 * 32 / times[-1][1], 32, 240.0)


def side(name: str, framework: str, forms: tuple[Form, ...], reason: str = "it needs a C++ compiler") -> Side:
    failed = (Rejected(Plan("aotinductor", threads=2), "lower", reason),)
    return Side(
        name,
        name,
        framework,
        "keras",
        13_706,
        SIGNATURE,
        "top1",
        Interval(0.93, 0.91, 0.95),
        TOLERANCE,
        forms,
        failed,
        ("a note of its own",),
    )


def realistic(name: str = "net.keras", reason: str = "flatten order: dense1 gets 32 channels of 2x2 in another order") -> Comparison:
    """Two sides; the second is not the same function, for ``reason``."""
    ours = (
        form("original", "pytorch", 0.19), form("own", "pytorch", 0.31, "compile", first=9000.0), form("own", "torchscript", 0.2, "frozen"),
        form("shared", "onnxruntime", 0.03, start=40.0, first=0.4), form("shared", "openvino", 0.05, start=150.0, first=6.0),
    )  # fmt: skip
    theirs = (
        form("original", "tensorflow", 9.7, start=5200.0), form("own", "tensorflow", 0.35, "function", start=5200.0, first=70.0),
        form("own", "xla", 0.44, start=5200.0, first=750.0), form("shared", "litert", 0.012, start=30.0, first=0.1, made=5.5),
    )  # fmt: skip
    parity = Parity(900, (32, 32), 2.1, 0.53, 0.2, 0.71, 0.385, False)
    layers = (
        LayerPair("conv1", "conv1", "conv", "the same name", (8, 16, 8, 8), (8, 8, 8, 16), 2e-7, True),
        LayerPair("dense1", f"{name}/dense1", "dense", "its place", (8, 64), (8, 64), 0.74, False),
        LayerPair("dense2", "dense2", "dense", "the same name", (8, 10), (8, 10), None, False),
    )
    verdict = f"{name} is not the same function as net.pt: it differs by 0.53 of the output's scale, where float32 explains 1e-05"
    pairing = Pairing("net.pt", name, False, verdict, 1e-5, parity, layers, "dense1 (Linear) and dense1 (Dense)", (reason,), ("a note",))
    return Comparison(
        "2026-11-22T12:00:00+00:00", "0.1.0", HOST, ("numpy 2.4.6", "torch 2.13.0"), "labelled", 900,
        (side("net.pt", "torch", ours), side(name, "tensorflow", theirs, reason)), (pairing,), 201.5,
    )  # fmt: skip
