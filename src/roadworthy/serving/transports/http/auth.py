"""Bearer tokens, each with the rights that it gives its caller."""

from __future__ import annotations

import hashlib
import hmac
import json
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
    """The tokens in use. Without any, every caller has every right: for a server on loopback, or behind a proxy that checks callers."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._tokens = tuple(tokens)

    def allows(self, authorization: str | bytes | None, right: Right) -> None:
        """Return if the caller with this ``Authorization`` has ``right``; ``open`` needs no token.

        Raises Unauthenticated without a known token, Forbidden where the token lacks the right. The time that it takes says
        nothing about the tokens: digests are compared in constant time, and always all of them.
        """
        if right == "open" or not self._tokens:
            return
        sent = authorization.encode("latin-1", "replace") if isinstance(authorization, str) else authorization or b""
        scheme, _, secret = sent.partition(b" ")
        if scheme.lower() != b"bearer":
            raise Unauthenticated("this server needs a token: send the header Authorization: Bearer TOKEN")
        digest = hashlib.sha256(secret.strip()).digest()
        known = [token for token in self._tokens if hmac.compare_digest(token.digest, digest)]
        if not known:
            raise Unauthenticated("this server does not know this token")
        if not any(right in token.rights for token in known):
            raise Forbidden(f"this token does not have the right {right!r}")


NO_TOKENS = Access()


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

    Warns on standard error where other users can read the file. Raises UsageError, naming the file.
    """
    try:
        if file.stat().st_mode & 0o077:
            print(f"{file}: other users can read these tokens; chmod 600 makes them private", file=sys.stderr)
        data = file.read_bytes()
    except OSError as problem:
        raise UsageError(f"the tokens cannot be read: {problem}") from problem
    try:
        found = msgspec.convert(json.loads(data) if file.suffix == ".json" else tomllib.loads(data.decode()), _File)
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{file} is not a valid file of tokens: {problem}") from problem
    if not found.tokens:
        raise UsageError(f"{file} has no tokens, so no request would be accepted")
    return Access(_token(file, name, entry) for name, entry in found.tokens.items())


def _token(file: Path, name: str, entry: _Entry) -> Token:
    if (entry.token is None) == (entry.sha256 is None):
        raise UsageError(f"{file}: {name} needs either a token or its sha256")
    if entry.token is not None:
        if not entry.token or not entry.token.isascii() or entry.token.strip() != entry.token:
            raise UsageError(f"{file}: the token of {name} should be ASCII text without spaces at its ends")
        return Token(name, hashlib.sha256(entry.token.encode()).digest(), frozenset(entry.rights))
    try:
        digest = bytes.fromhex(entry.sha256 or "")
    except ValueError:
        digest = b""
    if len(digest) * 2 != SHA256:
        raise UsageError(f"{file}: the sha256 of {name} should be {SHA256} hexadecimal digits")
    return Token(name, digest, frozenset(entry.rights))
