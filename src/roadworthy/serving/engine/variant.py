"""One variant of a bundle, loaded by its runtime on this host and checked with the golden samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from roadworthy.bundle import store
from roadworthy.bundle.golden import Golden
from roadworthy.bundle.manifest import Manifest, Variant
from roadworthy.bundle.shares import share_of
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, BundleError, RoadworthyError
from roadworthy.core.host import Host, this_host
from roadworthy.core.interfaces import SERVER
from roadworthy.core.stages import PINNED, Plan
from roadworthy.core.text import named_line
from roadworthy.runtimes import CheckedSession, open_session
from roadworthy.serving.engine.golden_check import GoldenCheck, check_batches, check_golden


@dataclass(frozen=True)
class RunOptions:
    """How a variant runs here, whatever its plan says.

    ``threads`` ``None`` is the plan's number, cut to the cores that there are. With ``cores`` it runs as the bundle says for a process
    that has so many, where it says so. Without ``spin`` no thread spins while it waits, without ``pinned`` none is bound to a core.
    ``batch`` is the most samples of one call: the golden samples are checked up to it.
    """

    threads: int | None = None
    cores: int | None = None
    spin: bool = True
    pinned: bool = True
    batch: int = 1


@dataclass(frozen=True)
class OpenVariant:
    """A variant that answers here as it was certified, run by ``plan``; ``notes`` say what differs from the certificate."""

    variant: Variant
    plan: Plan
    session: CheckedSession
    check: GoldenCheck
    notes: tuple[str, ...] = ()


def open_first_variant(root: Path, manifest: Manifest, golden: Golden, options: RunOptions) -> OpenVariant:
    """The first variant of the bundle at ``root`` that loads here and passes its golden check.

    Raises BundleError with the reason of each where none does, BackendMissing where missing packages are the only reason.
    """
    notes = _notes_on_host(root, this_host())
    failures: list[RoadworthyError] = []
    for variant in manifest.variants:
        try:
            opened = open_variant(root, manifest, variant, golden, options)
        except RoadworthyError as problem:
            failures.append(problem)
            notes.append(f"{variant.name} is not used: {problem.message}")
            continue
        return replace(opened, notes=(*notes, *_notes_on_packages(variant)))
    if all(isinstance(problem, BackendMissing) for problem in failures):
        raise failures[0]
    reasons = "; ".join(f"{variant.name}: {problem.message}" for variant, problem in zip(manifest.variants, failures, strict=True))
    raise BundleError(f"{root}: no variant gives its certified answers on this host ({reasons})")


def open_variant(root: Path, manifest: Manifest, variant: Variant, golden: Golden, options: RunOptions) -> OpenVariant:
    """``variant`` of the bundle at ``root``, checked with ``golden``.

    Raises BundleError for what keeps it from answering here as it was certified, BackendMissing where a package is missing.
    """
    if (target := registry.facts(variant.plan.runtime).target) != SERVER:
        raise BundleError(f"its runtime {variant.plan.runtime} is for the target {target!r} and not for a server")
    host = this_host()
    if not host.has(*variant.features):
        lacking = ", ".join(feature for feature in variant.features if not host.has(feature))
        raise BundleError(f"this CPU ({host.cpu}) lacks {lacking}")
    plan = _plan_here(variant, host, options)
    try:
        session = open_session(root / variant.path, manifest.signature, plan)
    except RoadworthyError:
        raise
    except Exception as problem:
        # A runtime may raise anything for a file that it cannot load; the next variant is tried.
        raise BundleError(f"it cannot be loaded here ({named_line(problem, longest=200)})") from problem
    try:
        error = check_golden(session, manifest.signature, variant, golden)
        error = max(error, check_batches(session, manifest.signature, variant, golden, options.batch))
    except RoadworthyError:
        session.close()
        raise
    except Exception as problem:
        session.close()
        raise BundleError(f"it fails on its golden samples here ({named_line(problem, longest=200)})") from problem
    return OpenVariant(variant, plan, session, GoldenCheck(variant.name, manifest.golden.samples, error, variant.gate))


def proven(variant: Variant, plan: Plan) -> bool:
    """Whether the build host has compared the answers of exactly ``plan`` with the original's."""
    return plan == variant.plan or any(share.plan == plan for share in variant.shares)


def is_certified_class(root: Path, host: Host) -> bool:
    """Whether ``host`` has the CPU on which the bundle at ``root`` was certified, with the same features."""
    certified = store.read_certificate(root).host
    return certified.cpu == host.cpu and certified.features == host.features


def _plan_here(variant: Variant, host: Host, options: RunOptions) -> Plan:
    """The plan by which ``variant`` runs here; raises BundleError where its answers are known to be wrong on so many threads."""
    share = share_of(variant.shares, options.cores) if options.cores else None
    if share is not None and share.plan is not None and (options.pinned or PINNED not in share.plan.options):
        return share.plan
    threads = options.threads or min(variant.plan.threads, options.cores or host.cores)
    known = share_of(variant.shares, threads)
    if known is not None and known.fault:
        raise BundleError(f"it was rejected on {threads} thread{'s' if threads > 1 else ''} when the bundle was made: {known.fault}")
    pins = variant.plan.options if options.pinned else tuple(option for option in variant.plan.options if option != PINNED)
    return replace(variant.plan, threads=threads, spin=variant.plan.spin and options.spin, options=pins)


def _notes_on_host(root: Path, host: Host) -> list[str]:
    if is_certified_class(root, host):
        return []
    certified = store.read_certificate(root).host
    return [f"certified on {certified.cpu}; the golden samples are checked again here ({host.cpu}), speed is not promised"]


def _notes_on_packages(variant: Variant) -> Iterator[str]:
    for requirement in variant.requires:
        name, _, pinned = requirement.partition("==")
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        # A local suffix such as +cpu names the build, not the version; the pin leaves it out.
        if here.partition("+")[0] != pinned:
            yield f"certified with {requirement}; here it is {here}, and the golden samples pass"
