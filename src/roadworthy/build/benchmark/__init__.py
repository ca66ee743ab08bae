"""Verified to Measured to Choice: all candidates timed beside the original, and the choice that their figures allow."""

from __future__ import annotations

from roadworthy.build.benchmark.choose import OBJECTIVES, Decision, choose
from roadworthy.build.benchmark.forms import FormRequest, measure_forms
from roadworthy.build.benchmark.latency import Today, time_variant
from roadworthy.build.benchmark.race import Race, race
from roadworthy.build.benchmark.wording import in_words

__all__ = ["OBJECTIVES", "Decision", "FormRequest", "Race", "Today", "choose", "in_words", "measure_forms", "race", "time_variant"]
