"""Certificates of every age are read, and rejections that say one thing are said once."""

from __future__ import annotations

import json
from dataclasses import replace

from roadworthy.build.package.report import report
from roadworthy.bundle.certificate import Certificate, FrameworkForm, by_reason, plan_names
from roadworthy.core import codec
from roadworthy.core.evidence import Interval
from roadworthy.core.stages import Measured, Plan, Rejected
from support.models import certificates


def test_a_certificate_from_before_the_framework_was_held_beside_the_winner_still_reads() -> None:
    whole = certificates.realistic()
    form = FrameworkForm("aotinductor-bf16-t2", Interval(6.2, 6.0, 6.3), True)
    now = replace(whole, choice=replace(whole.choice, framework=form))
    written = codec.to_json(now)
    assert codec.from_json(Certificate, written) == now
    old = json.loads(written)
    del old["choice"]["framework"]
    assert codec.from_json(Certificate, json.dumps(old).encode()) == whole


def test_a_certificate_from_before_throughput_was_paired_still_reads_and_its_ratio_is_not_believed() -> None:
    whole = certificates.realistic()
    old = json.loads(codec.to_json(whole))
    for one in (old["baseline"], *old["measured"]):
        timing = one["timing"]
        for name in ("paired", "calls", "rate"):
            del timing[name]
        timing |= {"throughput": 2356.0, "best_batch": 16, "throughput_gain": 193.0}
    read = codec.from_json(Certificate, json.dumps(old).encode())

    def without(one: Measured) -> Measured:
        return replace(one, timing=replace(one.timing, paired=True, calls=0, rate=None))

    assert read == replace(whole, baseline=without(whole.baseline), measured=tuple(map(without, whole.measured)))
    page = report.render(read, certificates.CONTRACT)
    assert "193\N{MULTIPLICATION SIGN}" not in page and "2,356" not in page


def test_a_certificate_from_before_the_stages_were_timed_still_reads_and_its_report_shows_the_total_alone() -> None:
    whole = certificates.realistic()
    old = json.loads(codec.to_json(whole))
    del old["stages"]
    read = codec.from_json(Certificate, json.dumps(old).encode())
    assert read == replace(whole, stages=()) and read.seconds == whole.seconds
    assert "lower-onnx-openvino-int8-b1" in report.render(whole, certificates.CONTRACT)
    assert "Every process of the deployment" not in report.render(read, certificates.CONTRACT)


def test_rejections_are_together_where_stage_reason_and_score_are_the_same() -> None:
    score = certificates.score(0.03)
    a1, a2, b1 = (Rejected(plan, "verify", "too far off", f"log of {plan.name}", score=score) for plan in (
        Plan("a", "int8", 1), Plan("a", "int8", 2), Plan("b", "int8", 1)
    ))  # fmt: skip
    others = (replace(a1, stage="lower"), replace(a1, reason="slow"), replace(a1, score=None))
    groups = by_reason((a1, others[0], a2, others[1], b1, others[2]))
    assert groups == ((a1, a2, b1), (others[0],), (others[1],), (others[2],))


def test_plans_of_one_artefact_share_its_name() -> None:
    plans = (Plan("a", "int8", 1), Plan("a", "int8", 2, spin=True), Plan("a", "int8", 1, batch=1), Plan("a", "int8", 2))
    assert plan_names(plans) == "a-int8-t1, -t2-spin, a-int8-b1-t1, a-int8-t2"
    assert plan_names(plans[:1]) == "a-int8-t1"
