"""The report says how a server runs what is packed, and how near the winner is to the CPU's peak; older certificates say neither."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roadworthy.build.package import variant
from roadworthy.build.package.report import report
from roadworthy.bundle.certificate import Goal
from roadworthy.bundle.peak import MatrixPeak, ModelWork
from roadworthy.bundle.shares import Share, ShareProof
from roadworthy.core.evidence import Interval
from roadworthy.core.stages import Plan
from support.models import certificates

WHOLE = certificates.realistic()
WINNER, FALLBACK = WHOLE.choice.winner, str(WHOLE.choice.fallback)
PROOFS = (
    ShareProof(WINNER, Share(1, None, "not the same function"), 2),
    ShareProof(
        WINNER,
        Share(2, Plan("openvino", "bf16", 2, 1)),
        1,
        certificates.parity(0.03),
        Interval(0.49, 0.48, 0.5),
        Interval(2500, 2400, 2600),
        16,
    ),
    ShareProof(FALLBACK, Share(1, Plan("openvino", threads=1)), 2, certificates.parity(3e-6), Interval(2.13, 2.0, 2.2)),
)
PEAK = MatrixPeak("bf16", 2, Interval(1800.0, 1700.0, 1900.0), 2000.0, "some kernel")


def section(certificate, start: str, end: str) -> str:  # type: ignore[no-untyped-def]
    page = report.render(certificate, certificates.CONTRACT)
    assert start in page
    return page.partition(start)[2].partition(end)[0]


def test_each_share_is_a_row_with_what_was_proven() -> None:
    text = section(replace(WHOLE, shares=PROOFS), 'id="shares"', 'id="details"')
    for words in (
        "one request at a time, on all cores",
        "not on this share",
        "not on 1: not the same function",
        "2,500/s",
        "batch 16",
        "2.13 ms",
    ):
        assert words in text, words
    assert "samples a second of one process" in section(
        replace(WHOLE, shares=PROOFS, goal=Goal("throughput", "top1", 0.01)), 'id="shares"', "<table"
    )
    assert 'id="shares"' not in report.render(WHOLE, certificates.CONTRACT)


def test_the_gate_and_the_manifest_follow_what_is_served() -> None:
    """On one thread kernels may round more than on the two of the race: the server's gate allows for that."""
    verified = certificates.verified(Plan("null"), 0.0, 1e-9)
    name = verified.candidate.plan.name
    proof = ShareProof(name, Share(1, Plan("null")), 2, certificates.parity(0.02))
    packed = variant(verified, replace(WHOLE, shares=(proof, PROOFS[0])))
    assert packed.gate == pytest.approx(0.04) and packed.shares == (Share(1, Plan("null")),)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        # 0.49 ms of 98 million operations are 200 thousand million a second.
        (ModelWork(98_000_000, (), PEAK), "reaches 10 % of this host&#39;s bf16 peak on 2 threads: 200 of 2,000 thousand million"),
        (
            ModelWork(98_000_000, (), None),
            "98 million operations in convolutions and matrix products. The peak of this host in bf16 was not",
        ),
        # On a busy host what is measured can be less than what the winner did in its quiet rounds.
        (ModelWork(98_000_000_000, (), PEAK), "slower than the winner itself: nothing is claimed"),
        (ModelWork(5, ("LSTM",), None), "operators that are not counted (LSTM): nothing is claimed"),
        (ModelWork(0, (), None), "no convolution and no matrix product: nothing is claimed"),
    ],
)
def test_how_near_the_winner_is_to_the_peak(work: ModelWork, words: str) -> None:
    text = section(replace(WHOLE, work=work), 'id="host"', "Not available on this machine")
    assert words in text, text
    assert "How near the winner is" not in report.render(WHOLE, certificates.CONTRACT)
