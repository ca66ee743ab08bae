"""``manifest.json``: what a server must know to answer, and the hash of everything it will read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from roadworthy.bundle import certificate as certificates
from roadworthy.bundle.shares import Share
from roadworthy.core import codec
from roadworthy.core.errors import BundleError, DataError, RoadworthyError
from roadworthy.core.evidence import Tolerance
from roadworthy.core.stages import Plan, Precision
from roadworthy.core.types import BYTES, Quantization, Signature, SizeRange
from roadworthy.core.version import __version__
from roadworthy.preprocess import steps
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import SpecFile

FORMAT = 2
"""The format that is written. Format 1, which had one table in place of the steps of ``contract.image``, is read too."""
NAME = "manifest.json"
SIDECAR = "manifest.json.sha256"
GRAPHS, EXPORTS = "graphs", "exports"
"""The folders that no server reads."""


@dataclass(frozen=True)
class File:
    """One file of the bundle: its POSIX path below the bundle's root, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Variant:
    """One packed candidate. ``path`` is its directory below the root.

    ``requires`` pins the distributions that it needs (``name==version``); ``features`` are the CPU flags that it was made for and
    needs. ``gate`` is the largest error, relative to the output's scale, that its golden answers may have on a host: twice the error
    it was certified with, and never less than the float32 tolerance. ``shares`` say how it runs in a process that has a part of the
    cores, as the build host proved it; bundles of older versions have none.
    """

    name: str
    plan: Plan
    path: str
    requires: tuple[str, ...]
    features: tuple[str, ...]
    framework: bool
    gate: float
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True)
class PackedGraph:
    """The captured model in one graph format, which exports are made from. ``path`` is its file or directory below the root."""

    format: str
    path: str
    signature: Signature
    precision: Precision


@dataclass(frozen=True)
class GoldenFile:
    """Samples with the original's answers: an ``.npz`` with ``in.<name>`` and ``out.<name>``, samples first; see ``bundle.golden``."""

    path: str
    samples: int


@dataclass(frozen=True)
class Manifest:
    """The whole of ``manifest.json``. Variants are in order of preference: the winner, then the fallback.

    ``files`` are those that a server reads. ``kept`` are those in ``graphs/`` and ``exports/``: no server reads them, and where a bundle
    only serves they may be left out. Bundles of older versions have neither these nor ``graphs``.
    """

    format: int
    name: str
    version: str
    created: str
    roadworthy: str
    signature: Signature
    contract: Contract
    variants: tuple[Variant, ...]
    golden: GoldenFile
    tolerance: Tolerance
    files: tuple[File, ...]
    graphs: tuple[PackedGraph, ...] = ()
    kept: tuple[File, ...] = ()


DTYPES = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "str", "bytes")
) | {BYTES}
"""The NumPy dtypes that a signature may name; ``object`` means byte strings."""
QUANTIZED = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535), "int32": (-(2**31), 2**31 - 1)}
"""The dtypes that a quantised tensor may have, with the zero points that they can hold."""


@dataclass(frozen=True)
class _FormatOnly:
    """The one field that every format of the manifest will have."""

    format: int


@dataclass(frozen=True)
class _StepKind:
    kind: str


@dataclass(frozen=True)
class _ContractSteps:
    image: tuple[_StepKind, ...]


@dataclass(frozen=True)
class _Steps:
    """What is read of a manifest that cannot be read as a whole."""

    roadworthy: str
    contract: _ContractSteps


def parse(data: bytes, root: str) -> Manifest:
    """The manifest of the bundle ``root`` by its bytes, whichever format it has; raises BundleError for any other and for a fault."""
    what = f"{root}/{NAME}"
    version = codec.from_json(_FormatOnly, data, error=BundleError, what=what).format
    if version == 1:
        data = _from_format_1(data, what)
    elif version != FORMAT:
        raise BundleError(f"{root} has bundle format {version}; this Roadworthy reads formats 1 to {FORMAT}: use the version that made it")
    try:
        return codec.from_json(Manifest, data, error=BundleError, what=what)
    except BundleError as problem:
        raise _of_newer_version(data, root, problem) from None


def _from_format_1(data: bytes, what: str) -> bytes:
    """A manifest of format 1 as one of this format: its image table becomes the equal steps."""
    manifest = codec.from_json(dict[str, msgspec.Raw], data, error=BundleError, what=what)
    if "contract" not in manifest:
        raise BundleError(f"{what}: it has no `contract`")
    try:
        # What a format 1 contract holds is what a preprocessing file holds.
        contract = codec.from_json(SpecFile, bytes(manifest["contract"]), error=BundleError, what=f"{what}: contract").contract()
    except DataError as problem:
        raise BundleError(f"{what}: contract.image: {problem.message}") from None
    upgraded = {"contract": msgspec.Raw(codec.to_json(contract)), "format": msgspec.Raw(codec.to_json(FORMAT))}
    return codec.to_json(manifest | upgraded)


def _of_newer_version(data: bytes, root: str, problem: BundleError) -> BundleError:
    """``problem``, or more clearly where a newer version explains it: a step that this one does not know must not be left out."""
    try:
        found = codec.from_json(_Steps, data)
    except RoadworthyError:
        return problem
    if unknown := steps.unknown_kinds(step.kind for step in found.contract.image):
        return BundleError(
            f"{root} prepares images by the step {unknown[0]!r}, which Roadworthy {__version__} does not know: "
            f"use Roadworthy {found.roadworthy}, which made the bundle, or a later version"
        )
    if found.roadworthy != __version__:
        return BundleError(f"{problem.message}; Roadworthy {found.roadworthy} made the bundle, and this is Roadworthy {__version__}")
    return problem


def fault(manifest: Manifest) -> str | None:
    """The contradiction in a manifest whose fields all have the right types, in words; ``None`` where there is none."""
    names = [entry.path for entry in manifest.files]
    kept = [entry.path for entry in manifest.kept]
    if len({*names, *kept}) != len(names) + len(kept):
        return "a file is listed twice"
    for graph in manifest.graphs:
        if not any(name == graph.path or name.startswith(f"{graph.path}/") for name in kept):
            return f"the {graph.format} graph has no files"
    if not manifest.variants:
        return "it has no variant"
    if len({variant.name for variant in manifest.variants}) != len(manifest.variants):
        return "two variants have one name"
    for variant in manifest.variants:
        if not any(name.startswith(f"{variant.path}/") for name in names):
            return f"variant {variant.name!r} has no files"
    for needed in (manifest.golden.path, certificates.NAME):
        if needed not in names:
            return f"{needed!r} is not among its files"
    for spec in manifest.signature.inputs + manifest.signature.outputs:
        if spec.dtype not in DTYPES:
            return f"tensor {spec.name!r} has the unknown dtype {spec.dtype!r}"
        if any(size < 1 if isinstance(size, int) else not size for size in spec.shape):
            return f"tensor {spec.name!r} has the impossible shape {list(spec.shape)}"
        if spec.quantization and not _possible(spec.dtype, spec.quantization):
            return f"tensor {spec.name!r} is {spec.dtype} with the impossible quantization {spec.quantization}"
    for axis in manifest.signature.sizes:
        if not _possible_range(axis):
            return f"the axis {axis.symbol!r} has the impossible sizes {axis}"
    for needed in manifest.contract.files:
        if needed not in names:
            return f"{needed!r}, which its contract reads, is not among its files"
    try:
        manifest.contract.check()
    except DataError as problem:
        return f"in its contract {problem.message}"
    return None


def _possible_range(axis: SizeRange) -> bool:
    limits = 1 <= axis.least <= (axis.most or axis.least) and axis.multiple >= 1
    return limits and len(axis.sizes) > 1 and all(map(axis.allows, axis.sizes))


def _possible(dtype: str, quantization: Quantization) -> bool:
    low, high = QUANTIZED.get(dtype, (1, 0))
    return math.isfinite(quantization.scale) and quantization.scale > 0 and low <= quantization.zero_point <= high
