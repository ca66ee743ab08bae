"""One OpenTelemetry span for each request, sent over OTLP/HTTP by a thread that no request waits for.

OpenTelemetry's SDK and exporter do it: together some 7 MB, in pure Python, with the protobuf that gRPC needs too. They come with the
extra ``otel`` and are imported with this module, so import it only where traces are asked for (``listeners.tracing``). Names and attributes
are those of the semantic conventions for HTTP and RPC spans (opentelemetry.io/docs/specs/semconv). The SDK's environment variables
count: ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_TRACES_SAMPLER``, ``OTEL_EXPORTER_OTLP_HEADERS``, ...
"""

from __future__ import annotations

import logging
import os
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

if TYPE_CHECKING:
    from roadworthy.serving.protocols.messages import Reply, Request
    from roadworthy.serving.protocols.proto.grpc_service import Caller

LOG = logging.getLogger(__name__)

SEND_SECONDS = 5.0
"""Within which the collector must take one batch, all attempts included; then the batch is dropped."""
FLUSH_SECONDS = 1.0
"""For sending what is left when the process ends."""
LONGEST = 1024
"""Characters of an attribute, which may come from a client. At most 2048 spans wait."""

KNOWN = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"))
"""HTTP's methods, as the conventions count them; any other is ``_OTHER``."""
FAULTS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
"""gRPC's codes that are a server's errors, as the conventions count them."""


class Traces:
    """Writes spans, each with the start and end of its request. A collector that is slow or gone costs spans, never answers."""

    def __init__(self, url: str, *, secure: bool = False) -> None:
        """Send to ``url``, with ``/v1/traces`` behind it where it has no path; ``secure`` is whether requests come over TLS.

        Raises UsageError for a URL that is not one, and for an environment variable with a value that the SDK refuses.
        """
        self._scheme = "https" if secure else "http"
        # What the environment says of the service wins.
        ours = Resource({"service.name": "roadworthy", "service.version": __version__, "process.pid": os.getpid()})
        try:
            self._provider = TracerProvider(
                resource=Resource.create().merge(ours).merge(OTELResourceDetector().detect()),
                span_limits=SpanLimits(max_attribute_length=LONGEST),
                shutdown_on_exit=False,
            )
            self._provider.add_span_processor(BatchSpanProcessor(CollectorExporter(_endpoint(url))))
        except ValueError as problem:
            raise UsageError(f"traces cannot be sent to {url}: {problem}") from problem
        self._tracer = self._provider.get_tracer("roadworthy", __version__)
        self._parent = TraceContextTextMapPropagator()
        # The SDK logs every failed batch and, when its queue is full, every span; ``CollectorExporter`` logs one line.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)

    def answered(self, request: Request, reply: Reply, seconds: float) -> None:
        """The span of an HTTP request that took ``seconds`` until now. Bytes that are not a request have none."""
        if not request.method:
            return
        method = request.method if request.method in KNOWN else "_OTHER"
        route = request.template
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
        words = (request.protocol_name, "HTTP" if method == "_OTHER" else method, route)
        self._write(" ".join(filter(None, words)), request.model, attributes, carrier, seconds, failure)

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
        """Send what is left, for ``FLUSH_SECONDS`` at most."""
        # In a thread, because the SDK takes no time limit here.
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


class CollectorExporter(SpanExporter):
    """OTLP's exporter. It logs its first failure, and the next one only after it worked again."""

    def __init__(self, url: str) -> None:
        self._url, self._works = url, True
        self._exporter: SpanExporter = OTLPSpanExporter(url, timeout=SEND_SECONDS)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        works = result is SpanExportResult.SUCCESS
        if self._works and not works:
            LOG.warning("traces are lost: the collector at %s does not take them", self._url)
        self._works = works
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url} is not the address of an OTLP collector; give one such as http://localhost:4318/v1/traces")
    return parts._replace(path="/v1/traces").geturl() if parts.path in ("", "/") else url


def _host(peer: str) -> str:
    """Of ``127.0.0.1:5`` or of gRPC's ``ipv6:%5B::1%5D:5``."""
    return unquote(peer.removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")[0]).strip("[]")
