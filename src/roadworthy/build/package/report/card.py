"""``MODEL_CARD.md``: what the model is, what was proven about it, the limits of that, and how to serve it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.build.package.report import figures
from roadworthy.bundle.certificate import Certificate
from roadworthy.bundle.manifest import Manifest
from roadworthy.bundle.pixels import PreprocessingProof
from roadworthy.core.evidence import Interval
from roadworthy.core.stages import Verified
from roadworthy.preprocess.answer import second_class
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.items import WORDS

SERVING = """\
Run `sh deploy/run.sh`, or build a container from `deploy/Dockerfile`; see `deploy/README.md`. `roadworthy check` on this directory
repeats the integrity check, the golden samples and the times on your machine. All figures are in `report.html` and `certificate.json`."""


def render(certificate: Certificate, manifest: Manifest) -> str:
    """The card as Markdown; names from the source are quoted so that they cannot become markup."""
    sections = (
        f"# {_text(certificate.name)} {_text(manifest.version)}",
        _what(certificate),
        "## Input and output",
        _signature(certificate, manifest.contract),
        "## Evidence",
        _evidence(certificate),
        "## Limits",
        _limits(certificate),
        "## How to serve it",
        SERVING,
    )
    return "\n\n".join(sections) + "\n"


def _what(certificate: Certificate) -> str:
    origin, choice = certificate.origin, certificate.choice
    source = (
        f"A {_text(origin.framework)} model with {origin.parameters:,} parameters, from {_code(origin.file)} (SHA-256 `{origin.sha256}`)"
    )
    fallback = f", or as {_code(choice.fallback)} where that cannot run" if choice.fallback else ""
    packed = f"packed by Roadworthy {certificate.roadworthy} on {certificate.created}"
    lossy = " The winner is lossy: it is meant to differ from the original, within the budget." if _lossy(certificate) else ""
    return f"{source}, {packed}. It runs as {_code(choice.winner)}{fallback}.{lossy}{_smaller(certificate)}"


def _smaller(certificate: Certificate) -> str:
    """What was cut from the original and how the rest was taught, where the winner is a smaller model."""
    plans = (one.verified.candidate.plan for one in certificate.measured)
    compression = next((plan.compression for plan in plans if plan.name == certificate.choice.winner), "")
    proof = certificate.compression
    step = next((step for step in proof.steps if step.name == compression), None) if proof and compression else None
    if proof is None or step is None:
        return ""
    cut = f", with fewer channels in {len(step.layers)} layers" if step.layers else ""
    taught = f", taught on {proof.training:,} samples of {_code(proof.data)} for {step.lessons.seconds:.0f} s"
    return f" It has {step.parameters:,} parameters{cut}{taught}."


def _lossy(certificate: Certificate) -> bool:
    found = (one.verified.candidate.plan for one in (certificate.baseline, *certificate.measured))
    return any(plan.lossy for plan in found if plan.name == certificate.choice.winner)


def _signature(certificate: Certificate, contract: Contract) -> str:
    lines = [f"- input {_code(str(spec))}" for spec in certificate.signature.inputs]
    lines += [f"- output {_code(str(spec))}" for spec in certificate.signature.outputs]
    if certificate.signature.max_batch is not None:
        lines.append(f"- at most {certificate.signature.max_batch} samples in one call")
    if contract.kind is not None:
        lines.append(f"- {WORDS[contract.kind][1]}: {'; '.join(contract.describe())}")
        lines += _read_from(certificate.preprocessing_proof)
    if contract.inside:
        lines.append("- clients send encoded images, or uint8 pixels of that shape: they do not normalise, and send a quarter of the bytes")
    labels = contract.answer.labels or certificate.samples.classes
    if labels:
        shown = ", ".join(_code(label) for label in labels[:20])
        lines.append(f"- {len(labels)} classes: {shown}{', ...' if len(labels) > 20 else ''}")
    if (second := second_class(contract.answer, certificate.signature.outputs[0])) is not None:
        name, what, limit = second
        lines.append(f"- its one number a sample is the {what} of {_code(name)}: above {limit} that class is the answer")
    return "\n".join(lines)


def _read_from(proof: PreprocessingProof) -> Iterator[str]:
    if proof.origin:
        yield f"- these steps were read from {_code(proof.origin)}"
    if (found := proof.transform) is not None:
        yield f"- training's own transform {_code(found.transform)} on {found.images:,} images: {_text(found.words)}"


def _evidence(certificate: Certificate) -> str:
    found = (certificate.baseline, *certificate.measured)
    chosen = next((one for one in found if one.verified.candidate.plan.name == certificate.choice.winner), None)
    lines = [f"- {_text(certificate.claim)}"] if certificate.claim else []
    lines += [f"- {_text(reason)}" for reason in certificate.choice.reasons]
    if chosen:
        timing = chosen.timing
        speed = f"{figures.times(timing.speedup.value)} the original's speed ({_interval(timing.speedup, timing.paired)})"
        form = certificate.choice.framework
        if form:
            speed += (
                f", {figures.times(form.speedup.value)} that of its framework's fastest form here, {_code(form.plan)} "
                f"({_interval(form.speedup, form.paired)})"
            )
        lines.append(
            f"- {figures.ms(timing.latency_ms.value)} for one sample (p99 {figures.ms(timing.p99_ms)}{figures.of_calls(timing)}), {speed}"
        )
        if not timing.trusted:
            lines.append(f"- These times are not certain: {figures.rounds(timing)}")
        lines.append(_accuracy(chosen.verified, certificate.samples.words))
    lines += [f"- {_text(proof)}" for proof in certificate.origin.proofs]
    lines += [f"- Noticed: {_text(note.text)}" for note in certificate.notes if not note.warning]
    return "\n".join(lines)


def _interval(ratio: Interval, paired: bool) -> str:
    return f"95 % interval {figures.span(ratio)}" if paired else f"about; {figures.span(ratio)}: too few undisturbed rounds of both"


def _accuracy(verified: Verified, samples: str) -> str:
    score, parity = verified.score, verified.parity
    if score:
        found, original = figures.metric(score, score.value.value), figures.metric(score, score.original)
        values = f"{found} on {score.samples:,} {samples}, the original {original}"
        return f"- {_text(score.metric)} {values}: {figures.change(score)} ({figures.change_span(score)}; {score.kind})"
    return f"- largest error {figures.number(parity.max_rel)} of the output's scale on {parity.samples:,} {samples}"


def _limits(certificate: Certificate) -> str:
    host = certificate.host
    lines = [
        f"- Times hold for {_text(host.cpu)} with {host.cores} cores. On another CPU the answers are checked again; no speed is promised."
    ]
    lines += [f"- **Warning:** {_text(note.text)}" for note in certificate.notes if note.warning]
    kind = certificate.samples.kind
    if kind == "generated":
        lines.append("- The samples were generated: nothing here was proven on real ones, and the accuracy of the original is not known.")
    elif kind != "labelled":
        lines.append(f"- The samples were {_text(kind)}: the accuracy of the original is not known.")
    lines.append("- The figures are valid for data like the data that they were measured on.")
    lines += [
        f"- For the target {_text(one.target)}, and {one.verification}{f' ({_text(one.proof.words)})' if one.proof else ''}: "
        f"{_code(one.verified.candidate.plan.name)} in {_code(one.path)}. No server uses it."
        for one in certificate.exports
        if one.path
    ]
    lines += [f"- Not tried: {_text(item)}" for item in certificate.unavailable]
    return "\n".join(lines)


def _text(value: str) -> str:
    """``value`` as plain text in Markdown, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(value.split()))


def _code(value: str) -> str:
    """``value`` as code, on one line."""
    return f"`{' '.join(value.split()).replace('`', chr(39))}`"
