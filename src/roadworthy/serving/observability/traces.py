"""One OpenTelemetry span a request, sent over OTLP/HTTP from a thread of its own that no request waits for.

The project's own SDK and exporter do it: together some 7 MB, in pure Python, with the protobuf that gRPC has already. They need the
extra ``otel`` and are imported with this module, so import it only where traces are asked for (``doors.tracing``). Names and attributes
are those of the semantic conventions for HTTP and RPC spans (opentelemetry.io/docs/specs/semconv). What the SDK reads from the
environment holds: ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_TRACES_SAMPLER``, ``OTEL_EXPORTER_OTLP_HEADERS``, ...
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Sequence
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from roadworthy.core.errors import UsageError
from roadworthy.core.version import __version__
from roadworthy.serving.protocols.openapi.document import routes

if TYPE_CHECKING:
    from roadworthy.serving.protocols import Reply
    from roadworthy.serving.protocols.proto.grpc_service import Caller
    from roadworthy.serving.transports.http.app import Request

LOG = logging.getLogger(__name__)

SEND_SECONDS = 5.0
"""For one batch to be taken, attempts included; then it is given up."""
FLUSH_SECONDS = 1.0
"""For what waits to be sent when the process ends."""
LONGEST = 1024
"""Characters of an attribute, which may be a client's: 2048 spans wait at most."""

KNOWN = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"))
"""HTTP's methods, as the conventions count them; any other is ``_OTHER``."""
FAULTS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
"""gRPC's codes that are a server's errors, as the conventions count them."""


class Traces:
    """What writes spans, each with its request's own start and end. A collector that is slow or gone costs spans, never answers."""

    def __init__(self, url: str, *, secure: bool = False) -> None:
        """Send to ``url``, with ``/v1/traces`` behind it where it has no path; ``secure`` is whether requests come over TLS.

        Raises UsageError for what is no such URL, and for a variable of the environment that the SDK cannot go by.
        """
        self._scheme = "https" if secure else "http"
        # The environment has the last word on who this is.
        ours = Resource({"service.name": "roadworthy", "service.version": __version__, "process.pid": os.getpid()})
        try:
            self._provider = TracerProvider(
                resource=Resource.create().merge(ours).merge(OTELResourceDetector().detect()),
                span_limits=SpanLimits(max_attribute_length=LONGEST),
                shutdown_on_exit=False,
            )
            self._provider.add_span_processor(BatchSpanProcessor(_Sending(_endpoint(url))))
        except ValueError as problem:
            raise UsageError(f"traces cannot be sent to {url}: {problem}") from problem
        self._tracer = self._provider.get_tracer("roadworthy", __version__)
        self._parent = TraceContextTextMapPropagator()
        # The SDK complains about every batch and, when its queue is full, about every span; ``_Sending`` says it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)

    def answered(self, request: Request, reply: Reply, seconds: float) -> None:
        """The span of an HTTP request that took ``seconds`` until now. What was no request has none."""
        if not request.method:
            return
        method = request.method if request.method in KNOWN else "_OTHER"
        route = route_of(request.path)
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.scheme": self._scheme,
            "url.path": request.path,
            "http.response.status_code": reply.status,
            "network.protocol.name": "http",
            "client.address": _host(request.peer),
        }
        if route:
            attributes["http.route"] = route
        if (agent := request.headers.get(b"user-agent")) is not None:
            attributes["user_agent.original"] = agent.decode("latin-1")
        carrier = {
            name.decode(): request.headers[name].decode("latin-1") for name in (b"traceparent", b"tracestate") if name in request.headers
        }
        failure = str(reply.status) if reply.status >= 500 else ""
        words = (request.protocol.name, "HTTP" if method == "_OTHER" else method, route)
        self._write(" ".join(filter(None, words)), reply.model, attributes, carrier, seconds, failure)

    def called(self, protocol: str, rpc: str, caller: Caller, model: str, code: str, peer: str, seconds: float) -> None:
        """The span of a gRPC call of ``rpc`` (``package.Service/Method``) that took ``seconds`` until now and ended with ``code``."""
        attributes: dict[str, str | int] = {
            "rpc.system.name": "grpc",
            "rpc.method": rpc,
            "rpc.response.status_code": code,
            "client.address": _host(peer),
        }
        if (agent := caller.metadata.get("user-agent")) is not None:
            attributes["user_agent.original"] = agent
        carrier = {name: caller.metadata[name] for name in ("traceparent", "tracestate") if name in caller.metadata}
        self._write(f"{protocol} {rpc}", model, attributes, carrier, seconds, code if code in FAULTS else "")

    def close(self) -> None:
        """Send what waits, for ``FLUSH_SECONDS`` at most."""
        # In a thread, as the SDK takes no time limit of ours.
        flushing = Thread(target=self._provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)

    def _write(
        self, name: str, model: str, attributes: dict[str, str | int], carrier: dict[str, str], seconds: float, failure: str
    ) -> None:
        end = time.time_ns()
        if model:
            attributes["roadworthy.model"] = model
        if failure:
            attributes["error.type"] = failure
        span = self._tracer.start_span(
            name,
            context=self._parent.extract(carrier, Context()),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=end - round(seconds * 1e9),
        )
        if failure:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)


class _Sending(SpanExporter):
    """OTLP's exporter, whose first failure is told, and the next one only after it worked again."""

    def __init__(self, url: str) -> None:
        self._url, self._works = url, True
        self._exporter: SpanExporter = OTLPSpanExporter(url, timeout=SEND_SECONDS)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        works = result is SpanExportResult.SUCCESS
        if self._works and not works:
            LOG.warning("traces are lost: %s does not take them", self._url)
        self._works = works
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def route_of(path: str) -> str:
    """The path as the OpenAPI document has it (``/v2/models/{model}/infer``), so that there are few; empty for one that it has not."""
    match = ROUTES.fullmatch(path)
    return TEMPLATES[match.lastindex - 1] if match and match.lastindex else ""


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url} is no address of an OTLP collector; give one like http://localhost:4318/v1/traces")
    return parts._replace(path="/v1/traces").geturl() if parts.path in ("", "/") else url


def _host(peer: str) -> str:
    """Of ``127.0.0.1:5`` or of gRPC's ``ipv6:%5B::1%5D:5``."""
    return unquote(peer.removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")[0]).strip("[]")


PLACEHOLDER = re.compile(r"\{\w+\}")


def _literal(template: str) -> int:
    """How many characters of it are no placeholder."""
    return len(PLACEHOLDER.sub("", template))


def _pattern(template: str) -> str:
    """A group that matches the template's paths."""
    return f"({'[^/]+'.join(map(re.escape, PLACEHOLDER.split(template)))})"


# The one that says most comes first: /v2/models/stats before /v2/models/{model}.
TEMPLATES = tuple(sorted({route.path for route in routes()}, key=_literal, reverse=True))
ROUTES = re.compile("|".join(map(_pattern, TEMPLATES)), re.IGNORECASE)  # TensorFlow Serving's ignore it
