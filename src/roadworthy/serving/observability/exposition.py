"""The server's counters over HTTP, at the path that Prometheus asks by default and at TensorFlow Serving's."""

from __future__ import annotations

from urllib.parse import parse_qsl

from roadworthy.core.errors import RequestError
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.observability import metrics
from roadworthy.serving.protocols.messages import Reply, Request, error_json
from roadworthy.serving.protocols.routes import HttpRoute
from roadworthy.serving.protocols.schemas import PLAIN, TEXT, Schema
from roadworthy.serving.protocols.torchserve.metrics import families


class Exposition:
    """The counters of the whole server."""

    name, title = "metrics", "Roadworthy"
    error_schema = "Error"
    ignores_case = False

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.schemas: dict[str, Schema] = {}
        self.routes = tuple(
            HttpRoute("GET", path, self.expose, "metrics", "What the server counts, as Prometheus reads it.", {PLAIN: TEXT}, errors=(503,))
            for path in ("/metrics", "/monitoring/prometheus/metrics")
        )

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return error_json(problem)

    async def expose(self, request: Request) -> Reply:
        """The exposition, format 0.0.4; ``name[]`` in the query picks families, as TorchServe has it."""
        totals = await self._plane.totals()
        names = frozenset(value for name, value in parse_qsl(request.query) if name == "name[]")
        text = metrics.text(totals, self._plane.catalogue, ready=self._plane.ready, others=families(totals), names=names)
        return Reply(200, text, content_type=metrics.CONTENT_TYPE)
