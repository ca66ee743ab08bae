"""TLS: the certificates of the server and, where asked for, of its clients."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TypedDict

from roadworthy.core.errors import UsageError
from roadworthy.serving.settings import Settings

SHUTDOWN_SECONDS = 1.0
"""Seconds that a client has to answer the end of a TLS connection; many never do."""


def tls(settings: Settings) -> ssl.SSLContext | None:
    """The TLS of every listener, where there is one; raises UsageError for certificates that cannot be used."""
    if settings.certificate is None:
        # With one of these the user does not mean to serve without TLS.
        if settings.key or settings.client_ca:
            raise UsageError(f"{settings.key or settings.client_ca} is of no use without a certificate; give it with --tls-certificate")
        return None
    if settings.key is None:
        raise UsageError(f"{settings.certificate} needs its private key; give it with --tls-key")
    authority = Path(settings.client_ca) if settings.client_ca else None
    return tls_context(Path(settings.certificate), Path(settings.key), authority)


class TlsOptions(TypedDict, total=False):
    """The arguments of asyncio for TLS."""

    ssl: ssl.SSLContext
    ssl_handshake_timeout: float
    ssl_shutdown_timeout: float


def tls_options(settings: Settings) -> TlsOptions:
    """The TLS of a new connection, with deadlines for its handshake and its end; empty without TLS."""
    context = tls(settings)
    if context is None:
        return {}
    return {"ssl": context, "ssl_handshake_timeout": settings.limits.head_seconds, "ssl_shutdown_timeout": SHUTDOWN_SECONDS}


def tls_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """A server's side of TLS 1.2 and newer. With ``client_ca`` only clients with a certificate of that authority can connect.

    Raises UsageError, naming the file that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for file in (certificate, key, client_ca):
        try:
            if file is not None:
                file.read_bytes()
        except OSError as problem:
            raise UsageError(f"TLS needs {file}, which cannot be read: {problem}") from problem
    try:
        # A key with a passphrase would otherwise ask for it on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as problem:
        raise UsageError(f"{certificate} and {key} are not a certificate and its key in PEM without a passphrase: {problem}") from problem
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as problem:
            raise UsageError(f"{client_ca} does not hold certificates in PEM: {problem}") from problem
        context.verify_mode = ssl.CERT_REQUIRED
    return context
