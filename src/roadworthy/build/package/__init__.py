"""Measured candidates into one bundle: variants, golden samples, certificate, report, model card, deployment files."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from roadworthy.build.package import deployment
from roadworthy.build.package.golden import choose
from roadworthy.build.package.report import card, report
from roadworthy.bundle import golden as goldens
from roadworthy.bundle import manifest as manifests
from roadworthy.bundle import store
from roadworthy.bundle.acceptance import Acceptance
from roadworthy.bundle.certificate import Certificate
from roadworthy.bundle.manifest import GoldenFile, Manifest, PackedGraph, Variant
from roadworthy.bundle.shares import ShareProof
from roadworthy.core import registry
from roadworthy.core.errors import BundleError
from roadworthy.core.evidence import Tolerance
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph, Measured, Plan, Rejected, Verified
from roadworthy.core.types import Arrays, Signature
from roadworthy.preprocess import answer
from roadworthy.preprocess.contract import Contract

GOLDEN = "golden.npz"
REPORT = "report.html"
CARD = "MODEL_CARD.md"


UNSTEADY = (
    "a server would refuse the new bundle: on most of the samples that were tried, a packed candidate gives other whole numbers than the "
    "original; use --precisions fp32, or a metric that includes this output"
)


@dataclass(frozen=True)
class Reproduction:
    """A rejected plan's name and the Python program that shows its fault again."""

    plan: str
    script: str


@dataclass(frozen=True)
class PackRequest:
    """Everything a bundle is made of. ``variants`` are in order of preference, the winner first.

    ``golden`` are the samples to choose the golden ones from, usually the whole evaluation set, and ``answers`` the original's
    outputs for all of them, in their order, samples first. ``graphs`` are the captured model in the formats that exports are made from.
    """

    certificate: Certificate
    contract: Contract
    version: str
    variants: tuple[Verified, ...]
    golden: SampleSet
    answers: Arrays
    reproduce: tuple[Reproduction, ...] = ()
    graphs: tuple[Graph, ...] = ()


Accept = Callable[[Path], Acceptance]
"""Opens a sealed bundle as a server does, or raises BundleError."""


def pack(request: PackRequest, target: Path, accept: Accept) -> Manifest:
    """Write the bundle at ``target``, whole or not at all; it is put there only after ``accept`` has opened it.

    Golden samples on which ``accept`` finds a variant unsteady are exchanged for others, once.
    Raises OutOfSpace on a full disk, UsageError where ``target`` cannot be replaced by a bundle, BundleError for
    evidence that JSON cannot hold and for a bundle that ``accept`` refuses.
    """
    certificate = _portable(request.certificate)
    contract = _settled(request.contract, request.answers, certificate.signature)
    packed_contract = contract.packed()
    variants = tuple(variant(one, certificate) for one in request.variants)
    with store.writing(target) as root:
        for one, packed in zip(request.variants, variants, strict=True):
            _copy(one.candidate.path, root / packed.path)
        for graph in request.graphs:
            _copy(graph.path, root / packed_path(graph).parent if graph.path.is_file() else root / packed_path(graph))
        for file, name in zip(contract.files, packed_contract.files, strict=True):
            shutil.copyfile(file, root / name)
        rows = _golden_rows(request)
        _write_golden(request, root, rows)
        for item in request.reproduce:
            script = root / "rejected" / item.plan / "reproduce.py"
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(item.script)
        manifest = Manifest(
            format=manifests.FORMAT,
            name=certificate.name,
            version=request.version,
            created=certificate.created,
            roadworthy=certificate.roadworthy,
            signature=certificate.signature,
            contract=packed_contract,
            variants=variants,
            golden=GoldenFile(GOLDEN, len(rows)),
            tolerance=certificate.tolerance,
            files=(),
            graphs=tuple(PackedGraph(one.format, str(packed_path(one)), one.signature, one.precision) for one in request.graphs),
        )
        store.write_certificate(root, certificate)
        (root / REPORT).write_text(report.render(certificate, contract))
        (root / CARD).write_text(card.render(certificate, manifest))
        deployment.write(root, manifest, certificate.host)
        sealed = store.seal(root, manifest)
        unsteady = {rows[place] for place in accept(root).unsteady}
        if not unsteady:
            return sealed
        rows = _golden_rows(request, avoid=unsteady)
        _write_golden(request, root, rows)
        sealed = store.seal(root, replace(manifest, golden=GoldenFile(GOLDEN, len(rows))))
        if accept(root).unsteady:
            raise BundleError(UNSTEADY)
        return sealed


def packed_path(graph: Graph) -> Path:
    """Where a graph lies below the bundle's root: a file in a folder of its format, or that folder."""
    folder = Path(manifests.GRAPHS, graph.format)
    return folder / graph.path.name if graph.path.is_file() else folder


def variant(verified: Verified, certificate: Certificate) -> Variant:
    """The manifest's entry for one packed candidate."""
    plan = verified.candidate.plan
    runtime = registry.facts(plan.runtime)
    proofs = tuple(proof for proof in certificate.shares if proof.variant == plan.name)
    return Variant(
        name=plan.name,
        plan=plan,
        path=f"variants/{plan.name}",
        requires=deployment.pins(runtime.packages),
        features=features(plan, certificate.host, native=runtime.native),
        framework=runtime.framework,
        gate=gate(verified, certificate.tolerance, proofs),
        shares=tuple(proof.share for proof in proofs),
    )


def gate(verified: Verified, tolerance: Tolerance, proofs: Iterable[ShareProof] = ()) -> float:
    """How far golden answers may be from the original's on another host, relative to the output's scale; see manifest.Variant.

    The largest error of any plan that it is served by counts: kernels round differently on another number of threads.
    """
    errors = (verified.parity.max_rel, *(proof.parity.max_rel for proof in proofs if proof.parity))
    return max(2 * max(errors), tolerance.limit)


HALF_PRECISION = {"bf16": ("avx512_bf16", "amx_bf16", "bf16"), "fp16": ("avx512_fp16",)}
"""CPU flags by which a precision is native, the least demanding first."""


def features(plan: Plan, host: Host, *, native: bool) -> tuple[str, ...]:
    """The CPU flags without which the plan does not run as it was certified."""
    if native:
        return host.features
    asked = (plan.precision, *plan.options)
    return next(((flag,) for word in asked for flag in HALF_PRECISION.get(word, ()) if host.has(flag)), ())


def _golden_rows(request: PackRequest, avoid: Collection[int] = ()) -> list[int]:
    """The golden samples, as row numbers; raises BundleError where more than half of all samples are to be avoided."""
    count = request.golden.count
    if 2 * len(avoid) > count:
        raise BundleError(UNSTEADY)
    return choose(request.answers, count, call=request.certificate.signature.call_size(1), avoid=avoid)


def _write_golden(request: PackRequest, root: Path, rows: list[int]) -> None:
    inputs = {name: array[rows] for name, array in request.golden.open().items()}
    goldens.write(root / GOLDEN, goldens.Golden(inputs, {name: array[rows] for name, array in request.answers.items()}))


def _settled(contract: Contract, answers: Arrays, signature: Signature) -> Contract:
    settled = replace(contract, answer=answer.with_activation(contract.answer, answers, signature.outputs[0].quantization))
    return settled.bound(signature.inputs)


def _copy(source: Path, target: Path) -> None:
    """Copy a candidate's directory, or its single file, with links resolved; raises OSError with the name of the file."""
    target.mkdir(parents=True)
    if source.is_file():
        shutil.copyfile(source, target / source.name)
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _portable(certificate: Certificate) -> Certificate:
    """The certificate with paths inside the bundle, and without figures of rejected candidates that are not finite.

    A candidate that answers NaN has no finite error; its reason says so in words, and JSON has no NaN.
    """
    return replace(
        certificate,
        baseline=_relocate(certificate.baseline),
        measured=tuple(_relocate(one) for one in certificate.measured),
        rejected=tuple(_with_finite_figures(one) for one in certificate.rejected),
    )


def _relocate(measured: Measured) -> Measured:
    """The same with the path of a variant for its files."""
    candidate: Candidate = measured.verified.candidate
    moved = replace(candidate, path=Path("variants", candidate.plan.name))
    return replace(measured, verified=replace(measured.verified, candidate=moved))


def _with_finite_figures(rejected: Rejected) -> Rejected:
    return replace(
        rejected,
        parity=rejected.parity if rejected.parity and _finite(astuple(rejected.parity)) else None,
        score=rejected.score if rejected.score and _finite(astuple(rejected.score)) else None,
    )


def _finite(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)
