"""What a worker process is asked to open, and what it answers: data that travels between processes."""

from __future__ import annotations

import msgspec

from roadworthy.serving.engine.batch_plan import BatchPlan


class OpenVersion(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Open the bundle at ``path`` as this version and check its golden samples, but do not route requests to it yet.

    Without a ``plan`` one is measured. With a ``digest``, the SHA-256 of the bundle's manifest must be the same.
    """

    name: str
    version: str
    path: str
    plan: BatchPlan | None = None
    digest: str | None = None


class VersionOpened(msgspec.Struct, frozen=True, tag=True):
    """The answer to OpenVersion; ``notes`` say what differs from the certificate."""

    plan: BatchPlan
    digest: str
    notes: tuple[str, ...] = ()
