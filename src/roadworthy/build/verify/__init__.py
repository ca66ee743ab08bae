"""Candidate to Verified or Rejected: parity with the original at every promised batch size, and the task metric with its uncertainty."""

from roadworthy.build.verify.conventions import (
    FAR,
    FEWEST_PICTURES,
    ConventionScores,
    EitherRequest,
    TrialRequest,
    far_better,
    score_either,
    try_conventions,
)
from roadworthy.build.verify.first_look import Leader
from roadworthy.build.verify.given import differences, given
from roadworthy.build.verify.label_check import above_chance, label_warnings
from roadworthy.build.verify.metrics import AGREEMENT, ERROR, Reading, is_code, is_own
from roadworthy.build.verify.metrics.own import keep as keep_function
from roadworthy.build.verify.metrics.pairing import TargetPairing, pair
from roadworthy.build.verify.metrics.texts import are_texts
from roadworthy.build.verify.originals import OriginalsCompared, compare_originals
from roadworthy.build.verify.parity import top_classes
from roadworthy.build.verify.reference import Reference, ReferenceRequest, RepeatRequest, establish, repeat
from roadworthy.build.verify.same_files import PlansOutcome, PlansRequest, verify_plans
from roadworthy.build.verify.scoring import BudgetRequest, ScoreRequest, check_budget, score_original
from roadworthy.build.verify.verdict import ConfirmRequest, VerifyOutcome, VerifyRequest, confirm, explained, verify

__all__ = [
    "AGREEMENT",
    "ERROR",
    "FAR",
    "FEWEST_PICTURES",
    "BudgetRequest",
    "ConfirmRequest",
    "ConventionScores",
    "EitherRequest",
    "Leader",
    "OriginalsCompared",
    "PlansOutcome",
    "PlansRequest",
    "Reading",
    "Reference",
    "ReferenceRequest",
    "RepeatRequest",
    "ScoreRequest",
    "TargetPairing",
    "TrialRequest",
    "VerifyOutcome",
    "VerifyRequest",
    "above_chance",
    "are_texts",
    "check_budget",
    "compare_originals",
    "confirm",
    "differences",
    "establish",
    "explained",
    "far_better",
    "given",
    "is_code",
    "is_own",
    "keep_function",
    "label_warnings",
    "pair",
    "repeat",
    "score_either",
    "score_original",
    "top_classes",
    "try_conventions",
    "verify",
    "verify_plans",
]  # fmt: skip
