"""``report.html``: the certificate for people; one file that loads nothing, without scripts."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from roadworthy.build.package.report import chart, compression, course, figures, preprocessing
from roadworthy.build.package.report.chart import Chart
from roadworthy.bundle.certificate import Certificate, CertifiedExport, by_reason, plan_names
from roadworthy.core.errors import BackendMissing
from roadworthy.core.evidence import Parity, Score, Timing
from roadworthy.core.stages import Measured, Plan, Rejected
from roadworthy.preprocess.answer import second_class
from roadworthy.preprocess.contract import Contract

WIDE, NARROW = (760, 380), (350, 360)
"""The chart's two sizes: letters keep their size on a phone, where a scaled drawing would be unreadable."""


OBJECTIVES = {
    "latency": "The winner was chosen for latency: one request at a time, on all cores that its process has.",
    "throughput": "The winner was chosen for throughput: the samples a second of one process at its best batch size; beside it stand those "
    "of all workers at once.",
}
"""What an objective says of the cores; the others say nothing of them."""


@dataclass(frozen=True)
class CandidateRow:
    """One line of the table of candidates; a figure that was not measured is ``None``."""

    role: str
    plan: Plan
    parity: Parity | None
    score: Score | None
    timing: Timing | None
    reason: str = ""
    detail: str = ""
    seconds: float | None = None
    graph: str = ""


def render(certificate: Certificate, contract: Contract) -> str:
    """The page as HTML. Names in the certificate are untrusted: everything is escaped, and the page's own policy
    (Content-Security-Policy) lets a browser load and run nothing. Raises BackendMissing without Jinja2."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as problem:
        raise BackendMissing("the report needs Jinja2: pip install 'roadworthy[build]'") from problem
    here = files("roadworthy.build.package.report")
    style = here.joinpath("report.css").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"f": figures, "plan_names": plan_names}
    rows = table(certificate)
    winner = next((row for row in rows if row.plan.name == certificate.choice.winner), None)
    charts = [drawn for size in (("wide", WIDE), ("narrow", NARROW)) if (drawn := _chart(certificate, *size))]
    page = environment.from_string(here.joinpath("report.html.j2").read_text())
    return page.render(
        c=certificate,
        contract=contract,
        second=second_class(contract.answer, certificate.signature.outputs[0]),
        rows=list(rows),
        refused=tuple((group, _rejected(group[0])) for group in by_reason(certificate.rejected)),
        winner=winner,
        exports=[(export, _exported(export)) for export in certificate.exports],
        baseline=next(row for row in rows if row.plan.name == certificate.baseline.verified.candidate.plan.name),
        charts=charts,
        objective=OBJECTIVES.get(certificate.goal.objective, ""),
        work=_work(certificate, winner),
        course=course.render(certificate.course, _roles(certificate), environment) if certificate.course else "",
        compression=compression.render(certificate, environment),
        preprocessing=preprocessing.render(certificate, contract, environment),
        roles={point.role for _, drawn in charts for point in drawn.points},
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    ).lstrip()


def table(certificate: Certificate) -> tuple[CandidateRow, ...]:
    """Every candidate: the winner, the fallback, the framework's fastest form, the original, the others by latency, the rejected."""
    roles = _roles(certificate)
    names: set[str] = set()
    timed = []
    for one in (certificate.baseline, *certificate.measured):
        if one.verified.candidate.plan.name not in names:
            names.add(one.verified.candidate.plan.name)
            timed.append(_measured(one, roles))
    order = ("winner", "fallback", "framework", "original", "passed")
    timed.sort(key=lambda row: (order.index(row.role), row.timing.latency_ms.value if row.timing else 0.0))
    return (*timed, *map(_rejected, certificate.rejected))


def _work(certificate: Certificate, winner: CandidateRow | None) -> str:
    """How far the winner is from the host's peak, and what was measured; or why that is not known."""
    work = certificate.work
    if work is None or winner is None or winner.timing is None:
        return ""
    if work.uncounted or not work.operations:
        what = f"operators that are not counted ({', '.join(work.uncounted)})" if work.uncounted else "no convolution and no matrix product"
        return f"The model has {what}: nothing is claimed."
    counted = f"A sample takes {work.operations / 1e6:,.3g} million operations in convolutions and matrix products"
    share = work.share_of_peak(winner.timing.latency_ms.value)
    if work.peak is None or share is None:
        return f"{counted}. The peak of this host in {winner.plan.precision} was not measured: nothing is claimed."
    if share > 1:
        return f"{counted}. The matrix products that were measured for the peak were slower than the winner itself: nothing is claimed."
    threads = f"{work.peak.threads} thread{'s' if work.peak.threads != 1 else ''}"
    return (
        f"{counted}. One at a time, the winner reaches {100 * share:.2g} % of this host's {work.peak.precision} peak on {threads}: "
        f"{figures.number(share * work.peak.best)} of {figures.number(work.peak.best)} thousand million operations a second, "
        f"as the fastest of some large matrix products had them ({work.peak.kernel}; median {figures.number(work.peak.gops.value)})."
    )


def _chart(certificate: Certificate, name: str, size: tuple[int, int]) -> tuple[str, Chart] | None:
    shown = chart.entries(certificate.baseline, certificate.measured, certificate.rejected, _roles(certificate))
    drawn = chart.draw(shown, certificate.goal.max_drop, width=size[0], height=size[1])
    return (name, drawn) if drawn else None


def _roles(certificate: Certificate) -> dict[str, str]:
    """The role of each plan by name. The original may be the winner, and is then shown as the winner."""
    roles = {certificate.baseline.verified.candidate.plan.name: "original"}
    if certificate.choice.framework:
        roles[certificate.choice.framework.plan] = "framework"
    if certificate.choice.fallback:
        roles[certificate.choice.fallback] = "fallback"
    roles[certificate.choice.winner] = "winner"
    return roles


def _measured(one: Measured, roles: dict[str, str], *, other: str = "passed") -> CandidateRow:
    verified, made = one.verified, one.verified.candidate
    role = roles.get(made.plan.name, other)
    return CandidateRow(role, made.plan, verified.parity, verified.score, one.timing, seconds=made.seconds, graph=made.graph)


def _exported(one: CertifiedExport) -> CandidateRow:
    verified, made = one.verified, one.verified.candidate
    return CandidateRow("export", made.plan, verified.parity, verified.score, one.timing, seconds=made.seconds, graph=made.graph)


def _rejected(one: Rejected) -> CandidateRow:
    return CandidateRow("rejected", one.plan, one.parity, one.score, None, f"{one.stage}: {one.reason}", one.detail)
