"""How one server is set up: what its owner said, as the supervisor tells every worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from roadworthy.core.host import usable_cores
from roadworthy.serving.limits import ServerLimits

MOST_WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ports of 0 are free ones, of ``None`` not opened; paths are absolute.

    ``workers`` 0 is one a core, at most eight; ``threads`` and ``batch`` ``None`` are measured for every model. ``versions`` is
    how many of the newest of a model in a directory are served, 0 for all; ``watch`` seconds lie between two looks at the
    directories, 0 for none.
    ``delay`` seconds are waited for more requests to come before a call (0: never). ``cors`` holds origins whose pages may call,
    ``allowed_hosts`` names in a Host header that are answered to beside those of loopback (``*``: all). Without any, a listener on
    loopback answers to the names of loopback alone, and another one to all names.
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
        """How many workers there are."""
        return self.workers or min(usable_cores(), MOST_WORKERS)
