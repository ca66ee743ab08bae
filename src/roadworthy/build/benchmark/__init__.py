"""Verified to Measured to Choice: all candidates timed beside the original, and the choice that their figures allow."""

from __future__ import annotations

from roadworthy.build.benchmark.decision.choose import OBJECTIVES, Decision, choose, is_universal
from roadworthy.build.benchmark.decision.wording import in_words
from roadworthy.build.benchmark.forms import FormRequest, measure_forms
from roadworthy.build.benchmark.latency import Today, time_variant
from roadworthy.build.benchmark.race import Aim, Race, race
from roadworthy.build.benchmark.side_by_side import Beside, side_by_side

__all__ = [
    "OBJECTIVES",
    "Aim",
    "Beside",
    "Decision",
    "FormRequest",
    "Race",
    "Today",
    "choose",
    "in_words",
    "is_universal",
    "measure_forms",
    "race",
    "side_by_side",
    "time_variant",
]
