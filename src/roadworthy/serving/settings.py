"""The settings of one server: the options of ``roadworthy serve``, which the supervisor sends to every worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from roadworthy.core.host import default_workers, usable_cores
from roadworthy.serving.limits import ServerLimits


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A port of 0 is any free one, ``None`` opens none; paths are absolute.

    ``workers`` 0 is one for each core, at most eight. ``threads`` and ``batch`` are measured for every model where they are ``None``.
    Of each model in a directory the newest ``versions`` are served, 0 for all; the directories are scanned every ``watch`` seconds,
    0 for never. A call waits ``delay`` seconds for more requests, 0 for not at all.
    Pages of the origins in ``cors`` may call the server. ``allowed_hosts`` are the names accepted in a Host header in addition to those
    of loopback (``*``: all). Without any, a listener on loopback accepts only the names of loopback, any other listener all names.
    """

    sources: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    management_port: int | None = None
    metrics_port: int | None = None
    workers: int = 0
    threads: int | None = None
    batch: int | None = None
    delay: float = 0.0
    versions: int = 1
    watch: float = 0.0
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None
    tokens: str | None = None
    cors: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    log_requests: bool = False
    draft_jpeg: bool = False
    traces: str | None = None
    limits: ServerLimits = field(default_factory=ServerLimits)

    @property
    def processes(self) -> int:
        """How many worker processes there are."""
        return self.workers or default_workers(usable_cores())
