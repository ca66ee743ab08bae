"""From an untrusted file to a Source: what kind it is, and whether it may be read at all."""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from roadworthy.build.sources import formats
from roadworthy.build.sources import user_code as architectures
from roadworthy.build.sources.formats import SourceFormat
from roadworthy.build.sources.holding import HeldModel
from roadworthy.build.sources.inspect import Examined, examined, measure
from roadworthy.core.errors import BackendMissing, RoadworthyError, SourceError, SourceRefused, UsageError
from roadworthy.core.isolation.unchanged import sum_of
from roadworthy.core.stages import FileSum, Source


@dataclass(frozen=True)
class IdentifyRequest:
    """The arguments of ``identify``."""

    path: Path
    arch: str | None = None
    trust: bool = False
    signature: str = ""
    outputs: tuple[str, ...] = ()
    weights: str = ""
    unpacked: Path | None = None


def identify_step(request: IdentifyRequest) -> Source:
    """``identify`` as a step for ``isolate.call``: a file that brings a parser down costs a child process."""
    return identify(
        request.path,
        arch=request.arch,
        trust=request.trust,
        signature=request.signature,
        outputs=request.outputs,
        weights=request.weights,
        unpacked=request.unpacked,
    )


def identify(
    path: Path,
    *,
    arch: str | None = None,
    trust: bool = False,
    signature: str = "",
    outputs: tuple[str, ...] = (),
    weights: str = "",
    unpacked: Path | None = None,
) -> Source:
    """The source at ``path``, for ``load`` to read; nothing in it is run and no framework is imported.

    A packed archive that holds a model file is unpacked to the new folder ``unpacked``.

    Raises SourceUnreadable (missing, empty, damaged, not a model), SourceError (a kind that is not supported),
    BackendMissing (the library that builds it is not installed),
    SourceRefused (reading it could run code, and ``trust`` is not given) and UsageError (weights or custom classes without
    ``arch``, an ``arch`` that is not of the form ``FILE.py:CALLABLE``, a ``signature`` that the file does not have, and any of
    these for a kind of file that they say nothing about).
    """
    if arch is not None:
        architectures.parse(arch)
    format, file = formats.recognise(path)
    if formats.holds(format):
        request = IdentifyRequest(file.path, arch, trust, signature, outputs, weights, unpacked)
        return _of_held(format.unpack(file.path, unpacked or file.path), request)
    found = examined(cast(SourceFormat, format), file)
    return _of_found(found, IdentifyRequest(path, arch, trust, signature, outputs, weights))


def _of_held(held: HeldModel, request: IdentifyRequest) -> Source:
    """The model file that an archive or a repository holds, by its own format, with what is stated around it."""
    found = examined(*formats.recognise_inside(held))
    arch = request.arch
    if arch is None and found.facts.needs_arch:
        if held.no_arch:
            raise UsageError(f"{request.path} {held.no_arch}: --arch FILE.py:CALLABLE")
        if held.arch and not request.trust:
            raise SourceRefused(
                f"{request.path} holds weights, and {held.code}, the code that builds their model; name code that you know with --arch, "
                "or pass --trust if you know where the archive comes from"
            )
        arch = held.arch or None
    if found.facts.signature and (wrong := held.contradictions(found.facts.signature)):
        raise SourceError(
            f"{request.path} states another model than {held.path.name}: {'; '.join(wrong)}; mend that, or deploy the file itself: "
            f"roadworthy deploy {shlex.quote(str(held.path))}"
        )
    try:
        source = _of_found(found, replace(request, path=held.path, arch=arch))
    except RoadworthyError as problem:
        raise type(problem)(problem.message.replace(str(found.path), held.called), detail=problem.detail) from None
    around = tuple(FileSum(path.absolute(), sum_of(path)) for path in held.files)
    packed = around[0] if request.path.is_file() and request.path in held.files else None
    return replace(
        source,
        sha256=packed.sha256 if packed else source.sha256,
        size=request.path.stat().st_size if packed else source.size,
        files=(*source.files, *around),
        takes=source.takes or held.inputs,
        labels=source.labels or held.labels,
        holder=request.path.absolute(),
        notes=held.notes,
    )


def _of_found(found: Examined, request: IdentifyRequest) -> Source:
    arch, trust, signature, outputs, weights = request.arch, request.trust, request.signature, request.outputs, request.weights
    path = request.path
    if found.facts.unsupported:
        raise SourceError(f"{path} {found.facts.unsupported}")
    if found.facts.not_installed:
        raise BackendMissing(f"{path} {found.facts.not_installed}")
    if not trust:
        _refuse_code(found)
    _check_arch(found, arch)
    _check_signature(found, signature)
    if outputs and not found.facts.open_outputs:
        raise UsageError(f"{found.path} states what it answers with; leave --outputs {','.join(outputs)} out")
    if weights:
        _check_weights(found, weights)
    size, sha256, files = measure(found)
    stated = found.facts.signature
    takes = stated.inputs if stated and not signature else ()
    return Source(
        found.path.absolute(),
        found.kind,
        found.framework,
        sha256,
        size,
        arch,
        trust,
        signature,
        outputs,
        files=files,
        weights=weights,
        takes=takes,
        inner=found.facts.inner,
        models=found.facts.models,
        labels=found.facts.labels,
    )


def layout(source: Source) -> Literal["CHW", "HWC"]:
    """Where images have their channels by the custom of the source's framework."""
    return layout_of(source.framework)


def layout_of(framework: str) -> Literal["CHW", "HWC"]:
    """The same by the framework's name."""
    return "HWC" if framework == "tensorflow" else "CHW"


def may_be_quantised(source: Source) -> bool:
    """Whether a source of this format may compute in whole numbers from the start; its file is not read."""
    return bool(getattr(formats.named(source.kind), "QUANTISED", False))


def _refuse_code(found: Examined) -> None:
    refusal = found.facts.refusal
    if refusal is not None:
        instead = f"{refusal.instead}, or " if refusal.instead else ""
        raise SourceRefused(f"{found.path} {refusal.why}; {instead}pass --trust if you know where it comes from")


def _check_arch(found: Examined, arch: str | None) -> None:
    if arch is None and found.facts.needs_arch:
        raise UsageError(f"{found.path} {found.facts.needs_arch}: --arch FILE.py:CALLABLE")
    if arch is not None and not found.facts.takes_arch:
        raise UsageError(f"{found.path} brings its own architecture; leave --arch {arch} out")


def _check_weights(found: Examined, weights: str) -> None:
    if not found.facts.takes_weights:
        raise UsageError(f"{found.path} holds one set of weights; leave --weights {weights} out")
    names = [spec.name for spec in found.facts.tensors]
    if names and not any(name.startswith(f"{weights}.") or name == weights for name in names):
        beginnings = list(dict.fromkeys(name.partition(".")[0] for name in names if "." in name))
        near = difflib.get_close_matches(weights, beginnings, 1)
        known = ", ".join(map(repr, beginnings[:8]))
        raise UsageError(
            f"{found.path} holds no weights in {weights!r}; its tensors' names begin with {known}"
            + (f"; did you mean --weights {near[0]}?" if near else "")
        )


def _check_signature(found: Examined, signature: str) -> None:
    known = found.facts.signatures
    if signature and not known:
        raise UsageError(f"{found.path} has no signatures to choose from; leave --signature {signature} out")
    if signature and signature not in known:
        raise UsageError(f"{found.path} has no signature {signature!r}; it has {', '.join(map(repr, known))}")
