"""The places of a chart's labels: near their points, on nothing else, and with a leader line where there is no room beside the point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, hypot, pi, sin
from typing import TypeAlias

GLYPH, LINE = 6.3, 13
"""The width of one letter at most, in units of the drawing, and the height of a line."""
BOLD = 1.15
NEAR, STEPS, TURNS = 20, 11, 24
"""A label with no room beside its point is tried on circles around it: their distance, their number, and the places on each."""
CLEAR = 9
"""The distance that a label with a leader line keeps from the markers of other points, which it would seem to name."""
LEADER_HALF = 2.0
"""Half the side of the squares that represent a leader line when overlaps are counted."""

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Label:
    """``text`` with its baseline at ``y``, and its start, middle or end (``anchor``) at ``x``. ``leader`` is the line from the point to
    the label, ``None`` where the label is beside the point.
    """

    text: str
    x: float
    y: float
    anchor: str
    role: str = ""
    leader: Box | None = None

    @property
    def box(self) -> Box:
        """The box that the letters cover."""
        wide = width(self.text, bold=self.role == "winner")
        left = self.x - {"start": 0.0, "middle": wide / 2, "end": wide}[self.anchor]
        return left, self.y - 4 - LINE / 2, left + wide, self.y - 4 + LINE / 2


def width(text: str, *, bold: bool = False) -> float:
    """The width of ``text`` at most."""
    return GLYPH * len(text) * (BOLD if bold else 1.0)


class Sheet:
    """A drawing on which labels are placed one after the other, the most important first; a placed label does not move again.

    No label may cover another one, a box in ``firm`` (markers) or one in ``words`` (the budget's line and its label); it may cover
    boxes in ``soft`` (bars) where there is no other room.
    """

    def __init__(self, frame: Box, firm: list[Box], soft: list[Box], words: tuple[Box, ...] = ()) -> None:
        self._frame, self._firm, self._soft, self._words = frame, firm, list(soft), list(words)

    def line(self, text: str, y: float, role: str) -> Label:
        """The label of a horizontal line at ``y``: above or below it, where it covers least."""
        left, _, right, _ = self._frame
        stride = max(1.0, (right - left - width(text) - 10) / 8)
        starts = [left + 5 + step * stride for step in (0, 8, *range(1, 8))]
        offers = [Label(text, start, y + dy, "start", role) for dy in (-4, 13) for start in starts]
        inside = [offer for offer in offers if self._inside(offer.box)] or offers[:1]
        return min(inside, key=lambda offer: (_hits(offer.box, self._firm), _hits(offer.box, self._soft)))

    def point(self, text: str, x: float, y: float, bar: tuple[float, float], role: str, *, most: int) -> Label | None:
        """The label of a point at (x, y) whose ``bar`` spans those heights (lower end first): where it covers the fewest soft boxes,
        nearer places first; ``None`` where it would cover more than ``most`` of them, or where there is no room.
        """
        offers = [offer for offer in (*_beside(text, x, y, bar, role), *_around(text, x, y, role)) if self._inside(offer.box)]
        apart = [offer for offer in offers if not _hits(_clear(offer), self._firm) and not _hits(offer.box, self._words)]
        free = [offer for offer in apart if not self._crosses(offer)]
        return self._taken([offer for offer in free if _hits(offer.box, self._soft) <= most], self._soft)

    def anywhere(self, text: str, x: float, y: float, bar: tuple[float, float], role: str) -> Label | None:
        """The same for a label that must be shown on a crowded drawing: where it covers the fewest boxes, but never other words."""
        offers = [offer for offer in (*_beside(text, x, y, bar, role), *_around(text, x, y, role)) if self._inside(offer.box)]
        free = [offer for offer in offers if not any(_hits(box, self._words) for box in (offer.box, *_leader_boxes(offer)))]
        return self._taken(free, self._firm + self._soft)

    def _taken(self, offers: list[Label], covered: list[Box]) -> Label | None:
        if not offers:
            return None
        best = min(offers, key=lambda offer: _hits(offer.box, covered))
        self._words.append(best.box)
        self._soft.extend(_leader_boxes(best))
        return best

    def _inside(self, box: Box) -> bool:
        left, top, right, bottom = self._frame
        return box[0] >= left and box[1] >= top and box[2] <= right and box[3] <= bottom

    def _crosses(self, offer: Label) -> bool:
        """Whether its leader line would cross words, or a marker other than its own, at which the line begins."""
        if offer.leader is None:
            return False
        x, y, _, _ = offer.leader
        others = [box for box in self._firm if not (box[0] - 1 <= x <= box[2] + 1 and box[1] - 1 <= y <= box[3] + 1)]
        return any(_hits(piece, others + self._words) for piece in _leader_boxes(offer))


def _hits(box: Box, others: list[Box]) -> int:
    return sum(overlap(box, other) for other in others)


def overlap(one: Box, other: Box) -> bool:
    """Whether the two share an area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _beside(text: str, x: float, y: float, bar: tuple[float, float], role: str) -> Iterator[Label]:
    """Right, left, above the bar and below it."""
    for up in (0, -15, 15):
        yield Label(text, x + 11, y + up + 4, "start", role)
        yield Label(text, x - 11, y + up + 4, "end", role)
    for at, anchor in ((x, "middle"), (x - 6, "start"), (x + 6, "end")):
        yield Label(text, at, bar[1] - 6, anchor, role)
        yield Label(text, at, bar[0] + 15, anchor, role)


def _around(text: str, x: float, y: float, role: str) -> Iterator[Label]:
    """On growing circles, to the right first; the leader line is never as steep as a bar."""
    for step in range(1, STEPS + 1):
        for turn in sorted(range(TURNS), key=lambda turn: -cos(2 * pi * turn / TURNS)):
            across, down = cos(2 * pi * turn / TURNS), sin(2 * pi * turn / TURNS)
            if abs(across) < 0.3:
                continue
            side, anchor = (1, "start") if across > 0 else (-1, "end")
            to_x, to_y = x + NEAR * step * across, y + NEAR * step * down
            leader = (x + 6 * across, y + 6 * down, to_x - 2 * side, to_y)
            yield Label(text, to_x, to_y + 4, anchor, role, leader)


def _clear(label: Label) -> Box:
    left, top, right, bottom = label.box
    room = CLEAR if label.leader else 0
    return left - room, top - room, right + room, bottom + room


def _leader_boxes(label: Label) -> Iterator[Box]:
    """The leader line as small squares along it."""
    if label.leader is None:
        return
    x, y, to_x, to_y = label.leader
    pieces = max(1, int(hypot(to_x - x, to_y - y) / (2 * LEADER_HALF)))
    for piece in range(pieces):
        at_x, at_y = x + (to_x - x) * piece / pieces, y + (to_y - y) * piece / pieces
        yield at_x - LEADER_HALF, at_y - LEADER_HALF, at_x + LEADER_HALF, at_y + LEADER_HALF
