"""The lowering of the planted target that cannot run here."""

from __future__ import annotations

from collections.abc import Iterable

from planted_target_lowering import ACCEPTS, finish, lower

from roadworthy.core.host import Host
from roadworthy.core.stages import Graph, Plan


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    yield Plan("un_reached")


__all__ = ["ACCEPTS", "finish", "lower", "plans"]
