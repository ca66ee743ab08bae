"""``roadworthy serve``: serve bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from roadworthy.cli.options import EXISTING, EXISTING_FILE, PORT, duration, limits


@click.command("serve")
@click.argument("bundles", nargs=-1, required=True, type=EXISTING)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=PORT, help="The port for HTTP; 0 picks a free one.")
@click.option("--grpc-port", type=PORT, help="The port for gRPC, which is off without it (needs the extra grpc).")
@click.option("--management-port", type=PORT, help="A separate port for management requests.")
@click.option("--metrics-port", type=PORT, help="A separate port for metrics.")
@click.option("--workers", default=0, type=click.IntRange(0), help="Worker processes.  [default: one a core, at most 8]")
@click.option(
    "--threads", type=click.IntRange(1), help="Threads of one call.  [default: as proven for a worker's share of the cores, else measured]"
)
@click.option("--batch", type=click.IntRange(1), help="The largest batch that requests are joined into, in samples.  [default: measured]")
@click.option(
    "--delay", default="0s", show_default=True, callback=duration, help="How long a request waits for others to join its batch, e.g. 2ms."
)
@click.option(
    "--versions", default=1, show_default=True, type=click.IntRange(0), help="How many of a model's newest versions to serve; 0: all."
)
@click.option("--watch", default="0s", show_default=True, callback=duration, help="How often to look for new bundles, e.g. 2s; 0: never.")
@click.option("--tls-certificate", "certificate", type=EXISTING_FILE, help="Certificate chain (PEM) for TLS.")
@click.option("--tls-key", "key", type=EXISTING_FILE, help="Its private key (PEM).")
@click.option("--tls-client-ca", "client_ca", type=EXISTING_FILE, help="Accept only clients with a certificate of this authority (PEM).")
@click.option("--tokens", type=EXISTING_FILE, help="Bearer tokens and their rights (TOML or JSON).")
@click.option("--cors", multiple=True, help="An origin whose pages may send requests, e.g. https://example.org; may be repeated.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    help="A name to accept in the Host header beside localhost, e.g. models.example.org; may be repeated; '*': any.",
)
@click.option("--log-requests", is_flag=True, help="Log each request as one line of JSON on standard error.")
@click.option("--traces", help="Send OpenTelemetry traces to this OTLP endpoint (needs the extra otel).")
@click.option("--draft-jpeg", is_flag=True, help="Decode large JPEGs at a fraction of their size: faster, with slightly different pixels.")
@click.option("--limit", "limits", multiple=True, callback=limits, help="NAME=VALUE, e.g. body=33554432; see docs/serving.md.")
def command(bundles: tuple[Path, ...], **options: Any) -> None:
    """Serve bundles, or directories of them, to clients of the Open Inference Protocol, TensorFlow Serving and TorchServe.

    A directory holds bundles, or NAME/VERSION folders that are bundles.
    """
    from roadworthy.serving.server import serve_as
    from roadworthy.serving.settings import Settings

    serve_as(Settings(sources=tuple(map(str, bundles)), **options))
