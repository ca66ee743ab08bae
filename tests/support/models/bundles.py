"""Bundles made by hand with the null runtime: small, complete and sealed, for tests that open, serve or damage one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.bundle import store
from roadworthy.bundle.certificate import Certificate, Choice, Goal, InstalledPackage, Origin, Samples
from roadworthy.bundle.manifest import FORMAT, GoldenFile, Manifest, Variant
from roadworthy.core.evidence import Interval, Parity, Timing, Tolerance
from roadworthy.core.host import Host, this_host
from roadworthy.core.stages import Candidate, Measured, Plan, Verified
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec
from roadworthy.preprocess.contract import Contract

FEATURES, CLASSES = 12, 4
TOLERANCE = Tolerance(1e-7, 1e-7, 1e-5)
PLAIN = Contract()
LINEAR = Signature((TensorSpec("x", "float32", ("batch", FEATURES)),), (TensorSpec("y", "float32", ("batch", CLASSES)),))
NULL = Variant("null-fp32-t1", Plan("null"), "variants/null-fp32-t1", (), (), False, 1e-5)


def weights(signature: Signature = LINEAR) -> dict[str, Array]:
    """``weight`` and ``bias`` of a linear map that fits ``signature``; the same every time."""
    generator = np.random.default_rng(0)
    features = int(np.prod([size for size in signature.inputs[0].shape[1:] if isinstance(size, int)]))
    classes = int(signature.outputs[0].shape[-1])
    return {
        "weight": generator.standard_normal((features, classes)).astype(np.float32),
        "bias": generator.standard_normal(classes).astype(np.float32),
    }


def linear_golden(signature: Signature = LINEAR, count: int = 8) -> dict[str, Array]:
    """GoldenFile samples with the map's own answers."""
    shape = [count, *signature.inputs[0].shape[1:]]
    x = np.random.default_rng(1).random(shape).astype(np.float32)
    held = weights(signature)
    y = x.reshape(count, -1) @ held["weight"] + held["bias"]
    return {f"in.{signature.inputs[0].name}": x, f"out.{signature.outputs[0].name}": y}


def write_bundle(
    target: Path,
    *,
    name: str = "linear",
    version: str = "1",
    signature: Signature = LINEAR,
    contract: Contract = PLAIN,
    variants: tuple[Variant, ...] = (NULL,),
    golden: Arrays | None = None,
    samples: int | None = None,
    host: Host | None = None,
    scale: float = 1.0,
) -> Path:
    """A sealed bundle at ``target`` whose every variant directory holds the linear map, ``scale`` times; ``golden`` may lie."""
    if golden is None:
        golden = {key: value * np.float32(scale) if key.startswith("out.") else value for key, value in linear_golden(signature).items()}
    held = {key: value * np.float32(scale) for key, value in weights(signature).items()}
    with store.writing(target) as stage:
        for variant in variants:
            (stage / variant.path).mkdir(parents=True)
            np.savez(stage / variant.path / "model.npz", **held)
        np.savez(stage / "golden.npz", **golden)
        store.write_certificate(stage, small_certificate(name, signature, variants[0].plan, host or this_host()))
        count = samples or len(next(iter(golden.values())))
        created = "2026-11-22T12:00:00Z"
        store.seal(
            stage,
            Manifest(
                FORMAT, name, version, created, "0.1.0", signature, contract, variants, GoldenFile("golden.npz", count), TOLERANCE, ()
            ),
        )
    return target


def small_certificate(name: str, signature: Signature, plan: Plan, host: Host) -> Certificate:
    """The least that a certificate can say."""
    one = Interval(1.0, 1.0, 1.0)
    timing = Timing(one, 1.0, one, 1.0, 1.0, 1.0, 1, 0, True)
    parity = Parity(8, (1,), 0.0, 0.0, 0.0, 1.0, 1.0, True)
    winner = Measured(Verified(Candidate(plan, Path("variant"), signature, "npz", 1, 0.1), parity, None), timing)
    return Certificate(
        name=name,
        created="2026-11-22T12:00:00Z",
        roadworthy="0.1.0",
        host=host,
        packages=(InstalledPackage("numpy", np.__version__),),
        origin=Origin("linear.npz", "npz", "none", "0" * 64, 1, 1, ()),
        signature=signature,
        samples=Samples("unlabelled", 8, 0, ()),
        goal=Goal("latency", "agreement", 0.01),
        tolerance=TOLERANCE,
        original=None,
        routes=(),
        baseline=winner,
        measured=(winner,),
        rejected=(),
        unavailable=(),
        choice=Choice(plan.name, None, ("it is the only one",)),
        seconds=1.0,
    )


def other_host() -> Host:
    """A host that does not exist."""
    return replace(this_host(), cpu="Imaginary CPU @ 1 MHz", features=("sse4_2",))
