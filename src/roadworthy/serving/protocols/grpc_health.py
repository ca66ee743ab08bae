"""gRPC's own health service, which orchestrators and load balancers use: for the server, a service, or a model by its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from roadworthy.core.errors import RequestError, UnknownModel
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.protocols import proto
from roadworthy.serving.protocols.proto import health
from roadworthy.serving.protocols.proto.grpc_service import Caller, Service

POLL_SECONDS = 0.25
"""Between two looks at the status for a client that watches it."""


class HealthService:
    """The service over one dataplane."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def service(self) -> Service:
        """The RPCs and their rights."""
        return Service("health", "grpc.health.v1.Health", {"Check": self.check, "Watch": self.watch}, {"Check": "open", "Watch": "open"})

    async def check(self, request: Any, caller: Caller) -> Any:
        """SERVING or NOT_SERVING; raises UnknownModel for a name that is neither."""
        status = self._status(request.service)
        if status == health.HealthCheckResponse.SERVICE_UNKNOWN:
            raise UnknownModel(f"there is no service or model {request.service!r} here")
        return health.HealthCheckResponse(status=status)

    async def watch(self, request: Any, caller: Caller) -> AsyncIterator[Any]:
        """The status, and again whenever it has changed, until this server shuts down."""
        last = None
        while True:
            status = self._status(request.service)
            if status != last:
                yield health.HealthCheckResponse(status=(last := status))
            if self._plane.draining:
                return
            await asyncio.sleep(POLL_SECONDS)

    def _status(self, name: str) -> int:
        kinds = health.HealthCheckResponse
        if not _known(name):
            try:
                self._plane.find(name)
            except UnknownModel:
                return int(kinds.SERVICE_UNKNOWN)
            except RequestError:
                return int(kinds.NOT_SERVING)
        return int(kinds.SERVING if self._plane.ready else kinds.NOT_SERVING)


def _known(service: str) -> bool:
    try:
        return not service or bool(proto.rpcs(service))
    except KeyError:
        return False
