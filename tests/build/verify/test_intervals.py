"""How often the bounds are right, by simulation with the truth planted."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from roadworthy.build.verify import intervals
from roadworthy.core.errors import BackendMissing


@pytest.mark.parametrize(
    ("samples", "lose", "gain", "budget"),
    [(1000, 0.0105, 0.0, 0.01), (1000, 0.03, 0.0195, 0.01), (200, 0.012, 0.0, 0.01), (100, 0.10, 0.049, 0.05), (1000, 0.10, 0.0895, 0.01)],
)
def test_a_drop_just_beyond_the_budget_passes_about_once_in_twenty_runs(samples: int, lose: float, gain: float, budget: float) -> None:
    random = np.random.default_rng(1)
    runs, passed, covered = 200, 0, 0
    for _ in range(runs):
        losses = random.choice([1.0, -1.0, 0.0], size=samples, p=[lose, gain, 1 - lose - gain])
        interval, bound = intervals.drop_interval(losses, 1.0)
        passed += bound <= budget
        covered += interval.low <= lose - gain <= interval.high
    assert passed / runs <= 0.075
    assert covered / runs >= 0.91


def test_skewed_continuous_losses_do_not_fool_the_bound() -> None:
    random = np.random.default_rng(1)
    runs = 400
    passed = sum(
        intervals.drop_interval(random.lognormal(0, 1, 100) * 0.051 / np.exp(0.5), 1.0)[1] <= 0.05 for _ in range(runs)
    )  # fmt: skip
    assert passed / runs <= 0.10  # the plain percentile bootstrap lets 0.135 through


def test_samples_that_never_changed_prove_only_so_much() -> None:
    interval, bound = intervals.drop_interval(np.zeros(100), 1.0)
    assert bound == pytest.approx(1 - 0.05 ** (1 / 100))
    assert interval.low == -interval.high < 0


def test_the_exact_bound_is_the_binomial_one() -> None:
    for hits, n in ((0, 10), (3, 50), (49, 50), (17, 1000)):
        rate = intervals.binomial_upper(hits, n, 0.05)
        random = np.random.default_rng(3)
        assert np.mean(random.binomial(n, rate, 200_000) <= hits) == pytest.approx(0.05, abs=0.003)
    assert intervals.binomial_upper(10, 10, 0.05) == 1.0


def test_more_samples_are_asked_for_only_where_they_would_help() -> None:
    losses = np.zeros(100)
    assert intervals.samples_needed(losses, 1.0, 0.01) == pytest.approx(299, abs=4)
    losses[:2] = 1
    assert intervals.samples_needed(losses, 1.0, 0.02) is None
    needed = intervals.samples_needed(losses, 1.0, 0.03)
    assert needed is not None and needed > 100
    more = np.resize(losses, round(needed * 1.1 / 100) * 100)
    assert intervals.drop_interval(more, 1.0)[1] <= 0.03


def test_scores_of_nought_and_one_get_an_exact_interval() -> None:
    interval = intervals.mean_interval(np.ones(50))
    assert interval.value == 1.0 == interval.high
    assert interval.low == pytest.approx(0.025 ** (1 / 50))
    smooth = intervals.mean_interval(np.random.default_rng(0).random(400))
    assert smooth.low < smooth.value < smooth.high
    assert smooth.high - smooth.low == pytest.approx(2 * 1.96 * np.sqrt(1 / 12 / 400), rel=0.15)


def test_without_scipy_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(BackendMissing, match=r"need SciPy: pip install 'roadworthy\[build\]'"):
        intervals.mean_interval(np.ones(50))


def accuracy_of_set(rows: np.ndarray) -> float:
    return float(np.mean(rows[:, 0] == rows[:, 1]))


@pytest.mark.parametrize(("samples", "lose", "gain", "budget"), [(400, 0.06, 0.0395, 0.02), (300, 0.03, 0.0, 0.028)])
def test_a_drop_of_a_whole_sets_figure_passes_beyond_the_budget_about_once_in_twenty_runs(
    samples: int, lose: float, gain: float, budget: float
) -> None:
    random = np.random.default_rng(1)
    runs, passed, covered = 100, 0, 0
    for _ in range(runs):
        change = random.choice([1, -1, 0], size=samples, p=[lose, gain, 1 - lose - gain])
        same = random.integers(0, 2, samples)
        rights = np.where(change == 1, 1, np.where(change == -1, 0, same)), np.where(change == 1, 0, np.where(change == -1, 1, same))
        theirs, mine = (np.stack([np.ones(samples, int), right], axis=1) for right in rights)
        found = intervals.set_intervals(accuracy_of_set, mine, theirs, sign=1, span=1.0, resamples=200)
        assert found is not None and found.drop.value == pytest.approx(float(np.mean(change)))
        passed += found.bound <= budget
        covered += found.drop.low <= lose - gain <= found.drop.high
    assert passed / runs <= 0.09
    assert covered / runs >= 0.9


def test_a_set_that_did_not_change_proves_only_so_much() -> None:
    rows = np.stack([np.arange(100) % 2, np.ones(100, int)], 1)
    found = intervals.set_intervals(accuracy_of_set, rows, rows.copy(), sign=1, span=1.0, resamples=100)
    assert found is not None and (found.drop.value, found.value.value, found.original) == (0, 0.5, 0.5)
    assert found.bound == pytest.approx(1 - 0.05 ** (1 / 100))
    free = intervals.set_intervals(accuracy_of_set, rows, rows.copy(), sign=1, span=None, resamples=100)
    assert free is not None and free.bound == 0


def test_lower_is_better_turns_the_drop_round() -> None:
    theirs = np.linspace(0, 1, 200)
    found = intervals.set_intervals(lambda rows: float(rows.mean()), theirs + 0.5, theirs, sign=-1, span=None, resamples=200)
    assert found is not None and found.drop.value == pytest.approx(0.5) and found.drop.low == pytest.approx(found.drop.high)


def test_a_figure_that_most_resamples_do_not_have_is_none() -> None:
    rows = np.arange(30.0)
    assert intervals.set_intervals(lambda rows: float("nan"), rows, rows, sign=1, span=1.0, resamples=50) is None
    assert (
        intervals.set_intervals(lambda rows: 1.0 if 0 in rows and 1 in rows else float("nan"), rows, rows, sign=1, span=1.0, resamples=50)
        is None
    )
