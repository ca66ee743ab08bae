"""Verified to Measured: the race of all candidates beside the original, and the choice that its figures allow."""

from __future__ import annotations

from roadworthy.build.benchmark.choose import OBJECTIVES, choose
from roadworthy.build.benchmark.forms import Entrant, measure_forms
from roadworthy.build.benchmark.race import Race, race
from roadworthy.build.benchmark.recheck import Today, time_variant

__all__ = ["OBJECTIVES", "Entrant", "Race", "Today", "choose", "measure_forms", "race", "time_variant"]
