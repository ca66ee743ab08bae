"""What the figures of a run must be on a machine that does nothing else: held by ``run.py``, and by no test, which may run anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf

from dependability.harness import Record
from dependability.test_slow import SECONDS
from dependability.test_stop import GRACE
from roadworthy.serving.limits import DEFAULT

NOISE = 3
"""Factor on what the page promises: one machine carries the server, its clients and the load generator."""
BOUNDS: dict[tuple[str, str], tuple[float, float]] = {
    ("overload", "goodput_a_cpu_second_share"): (0.6, inf),
    ("overload", "accepted_p99_ms"): (0, 1000 * DEFAULT.wait_seconds * NOISE),
    ("overload", "refused_p50_ms"): (0, 50 * NOISE),
    ("overload", "health_p90_ms"): (0, 100 * NOISE),
    ("overload", "back_to_normal_s"): (0, 5 * NOISE),
    ("slow", "heads_closed_s"): (0, SECONDS * NOISE),
    ("slow", "bodies_closed_s"): (0, SECONDS * NOISE),
    ("slow", "readers_closed_s"): (0, SECONDS * NOISE + 2),
    ("slow", "closed_s"): (0, SECONDS * NOISE + 1),
    ("slow", "others_p90_ms"): (0, 50 * NOISE),
    ("stop", "seconds"): (0, GRACE + 2),
    ("worker", "told_after_s"): (0, 15),
    ("worker", "replaced_after_s"): (0, 15),
    ("gone", "told_after_s"): (0, 1),
}
"""By row of the table and figure: the least and the most."""


def breaches(kept: Iterable[Record]) -> Iterator[str]:
    """Each figure that lies outside its bounds, in words."""
    for one in kept:
        for name, value in one.figures.items():
            low, high = BOUNDS.get((one.row, name), (-inf, inf))
            if value is None or isinstance(value, (str, dict, list)) or low <= value <= high:
                continue
            wanted = f"at least {low:g}" if value < low else f"at most {high:g}"
            yield f"{one.row} {one.case}: {name} is {value:.3g}, and should be {wanted}"
