"""Who may do what: bearer tokens with the rights each has, and the certificates of TLS."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from roadworthy.core.errors import Forbidden, Unauthenticated, UsageError
from roadworthy.serving.protocols.messages import Right

SHA256 = 64
"""Hexadecimal digits of a SHA-256 digest."""


@dataclass(frozen=True, slots=True)
class Token:
    """One caller: its name, the SHA-256 digest of its token, and its rights beside ``open``."""

    name: str
    digest: bytes
    rights: frozenset[str]


class Access:
    """The tokens in use. Without any, everybody may do everything: a server on loopback, or behind something that asks."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._tokens = tuple(tokens)

    def allows(self, authorization: str | bytes | None, right: Right) -> None:
        """Return where whoever sent this ``Authorization`` has ``right``; ``open`` asks for none.

        Raises Unauthenticated without a token that is known here, Forbidden where the token lacks the right. How long it
        takes says nothing about the tokens: digests are compared, in constant time, and always all of them.
        """
        if right == "open" or not self._tokens:
            return
        sent = authorization.encode("latin-1", "replace") if isinstance(authorization, str) else authorization or b""
        scheme, _, secret = sent.partition(b" ")
        if scheme.lower() != b"bearer":
            raise Unauthenticated("this server wants a token: Authorization: Bearer TOKEN")
        digest = hashlib.sha256(secret.strip()).digest()
        known = [token for token in self._tokens if hmac.compare_digest(token.digest, digest)]
        if not known:
            raise Unauthenticated("this token is not known here")
        if not any(right in token.rights for token in known):
            raise Forbidden(f"this token does not have the right {right!r}")


EVERYBODY = Access()


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    rights: list[Literal["inference", "management", "metrics"]]
    token: str | None = None
    sha256: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tokens: dict[str, _Entry]


def read_tokens(file: Path) -> Access:
    """The tokens of a TOML file, or of a JSON file of the same form::

        [tokens.shop]
        token = "a long random text"      # or sha256 = "its SHA-256 in hexadecimal"
        rights = ["inference"]            # and, or: "management", "metrics"

    Says on standard error when others may read the file. Raises UsageError, naming the file.
    """
    try:
        if file.stat().st_mode & 0o077:
            print(f"{file}: others may read these tokens; chmod 600 keeps them to you", file=sys.stderr)
        data = file.read_bytes()
    except OSError as problem:
        raise UsageError(f"the tokens cannot be read: {problem}") from problem
    try:
        found = msgspec.convert(json.loads(data) if file.suffix == ".json" else tomllib.loads(data.decode()), _File)
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{file} is no file of tokens: {problem}") from problem
    if not found.tokens:
        raise UsageError(f"{file} has no tokens: nobody could call this server")
    return Access(_token(file, name, entry) for name, entry in found.tokens.items())


def _token(file: Path, name: str, entry: _Entry) -> Token:
    if (entry.token is None) == (entry.sha256 is None):
        raise UsageError(f"{file}: {name} needs either a token or its sha256")
    if entry.token is not None:
        if not entry.token or not entry.token.isascii() or entry.token.strip() != entry.token:
            raise UsageError(f"{file}: the token of {name} should be ASCII text without blanks at its ends")
        return Token(name, hashlib.sha256(entry.token.encode()).digest(), frozenset(entry.rights))
    try:
        digest = bytes.fromhex(entry.sha256 or "")
    except ValueError:
        digest = b""
    if len(digest) * 2 != SHA256:
        raise UsageError(f"{file}: the sha256 of {name} should be {SHA256} hexadecimal digits")
    return Token(name, digest, frozenset(entry.rights))


def tls_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """A server's side of TLS 1.2 and newer. With ``client_ca`` only clients with a certificate of that authority get in.

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
        raise UsageError(f"{certificate} and {key} are no certificate and its key in PEM without a passphrase: {problem}") from problem
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as problem:
            raise UsageError(f"{client_ca} holds no certificates in PEM: {problem}") from problem
        context.verify_mode = ssl.CERT_REQUIRED
    return context
