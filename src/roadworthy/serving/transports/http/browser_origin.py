"""Which requests of web browsers are answered: by the name in the Host header, and by the origin of the page that sends them.

A browser sends a page's requests to any server that it can reach, loopback included. From a page of another origin it only withholds the
answer, and not even that from a page whose own name resolves to this server (DNS rebinding). So a request with a method that may change
something is refused unless its origin is this server's own or an allowed one, and a listener on loopback accepts only names that no DNS
server can make resolve to it. Clients that are not browsers send neither ``Origin`` nor ``Sec-Fetch-Site``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar
from urllib.parse import urlsplit

from roadworthy.core.errors import RequestError, UsageError
from roadworthy.serving.protocols.messages import Reply

Headers = Mapping[bytes, bytes]

SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""Methods that change nothing (RFC 9110, 9.2.1), and no route of any protocol does with one of them."""
ANY = "*"
EXPOSED = b"inference-header-content-length, retry-after, x-request-id"
"""What a page of another origin may read of an answer's headers."""
LONGEST = 300
"""Bytes of a Host header; a name has at most 253."""
SHOWN = 100
"""Bytes of a header that a refusal repeats."""

_HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@\[\]\\,]+)(?::[0-9]*)?")
_LITERAL = re.compile(rb"\[([0-9a-f:.]+)\]|([0-9.]+)")
_PORTS = {b"http": b":80", b"https": b":443"}


class ForeignOrigin(RequestError):
    """A page of an origin that is not allowed sends a request that may change the server."""

    status: ClassVar[int] = 403


class WrongHost(RequestError):
    """The Host header has a name that is not allowed."""

    status: ClassVar[int] = 421


@dataclass(frozen=True)
class BrowserRules:
    """The rules of one listener.

    ``origins`` are the other origins whose pages may call, ``*`` for all. ``hosts`` are the names in a Host header, lower case and
    without a port, that are accepted beside the names of loopback; ``None`` for all. ``secure``: this listener uses TLS.
    """

    origins: frozenset[bytes] = frozenset()
    hosts: frozenset[bytes] | None = None
    secure: bool = False

    def check_host(self, headers: Headers) -> None:
        """Raises WrongHost where the Host header has a name that is not allowed; HTTP/1.0 may come without the header."""
        host = headers.get(b"host")
        if self.hosts is None or host is None:
            return
        name = _name(host) if len(host) <= LONGEST else None
        if name is None or not (name in self.hosts or _is_loopback(name)):
            shown = "NAME" if name is None else name.decode("latin-1")
            raise WrongHost(
                f"this server does not accept the Host {_shown(host)}; to accept it, start the server with --allowed-host {shown}"
            )

    def check_origin(self, method: str, headers: Headers) -> None:
        """Raises ForeignOrigin for a ``method`` that may change something, sent by a page that is neither allowed nor this server's own."""
        if method in SAFE:
            return
        origin = headers.get(b"origin")
        if origin is None:
            if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
                raise ForeignOrigin(f"a web page of another site may not send {method} to this server without saying its origin")
        elif self.allowed_origin(headers) is None and not self._is_own(origin, headers.get(b"host")):
            shown = _shown(origin)
            raise ForeignOrigin(f"a web page of {shown} may not send {method} to this server; to allow it, start with --cors {shown}")

    def allowed_origin(self, headers: Headers) -> bytes | None:
        """The origin of a page on another server that may call and read the answer; ``None`` for any other request."""
        origin = headers.get(b"origin")
        return origin if origin is not None and (origin in self.origins or ANY.encode() in self.origins) else None

    def preflight(self, headers: Headers) -> Reply:
        """The answer to a CORS preflight, which a browser sends without a token before a page of another origin may call.

        Raises ForeignOrigin for an origin that is not allowed.
        """
        if self.allowed_origin(headers) is None:
            shown = _shown(headers.get(b"origin", b"null"))
            raise ForeignOrigin(f"a web page of {shown} may not call this server; to allow it, start with --cors {shown}")
        asked = headers.get(b"access-control-request-headers")
        allowed = [(b"access-control-allow-methods", b"GET, HEAD, POST, PUT, DELETE, OPTIONS"), (b"access-control-max-age", b"600")]
        if asked is not None:
            allowed.append((b"access-control-allow-headers", asked))
        return Reply(204, b"", headers=tuple(allowed))

    def _is_own(self, origin: bytes, host: bytes | None) -> bool:
        """Whether ``origin`` is that of this server's own pages. Without TLS here, a proxy in front may still use it."""
        scheme, _, authority = origin.lower().partition(b"://")
        if host is None or scheme not in ((b"https",) if self.secure else _PORTS):
            return False
        return authority.removesuffix(_PORTS[scheme]) == host.lower().removesuffix(_PORTS[scheme])


ANY_HOST = BrowserRules()
"""Every name is accepted, and no other origin."""


def rules(address: str, allowed: Sequence[str] = (), cors: Sequence[str] = (), *, secure: bool = False) -> BrowserRules:
    """The rules of a listener at ``address`` (an IP address), with the names and origins that the user allows.

    Raises UsageError for a name or an origin that no request could have.
    """
    hosts = frozenset(_allowed_name(name) for name in allowed if name != ANY)
    literal = f"[{address}]" if ":" in address else address
    checked = ANY not in allowed and (bool(allowed) or _is_loopback(literal.encode()))
    return BrowserRules(frozenset(map(_allowed_origin, cors)), hosts if checked else None, secure)


def _allowed_name(text: str) -> bytes:
    bracketed = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    try:
        host = bracketed.encode("ascii" if bracketed.startswith("[") else "idna")
    except UnicodeError:
        host = b""
    name = _name(host)
    if name is None or host.lower().removesuffix(b".") != name:
        raise UsageError(f"--allowed-host takes the name of a host alone, such as models.example.org, and not {text!r}")
    return name


def _allowed_origin(text: str) -> bytes:
    if text in (ANY, "null"):
        return text.encode()
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").encode("ascii" if "[" in parts.netloc else "idna"), parts.port
    except ValueError:
        host, port, parts = b"", None, urlsplit("")
    if not host or not parts.scheme or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(f"--cors takes an origin, a scheme and a host such as https://example.org, and not {text!r}")
    scheme = parts.scheme.encode()
    authority = (b"[%b]" if b":" in host else b"%b") % host
    if port is not None and b":%d" % port != _PORTS.get(scheme):
        authority += b":%d" % port
    return b"%b://%b" % (scheme, authority)


@lru_cache(maxsize=256)
def _name(host: bytes) -> bytes | None:
    """The name in a Host header, lower case, without port and final dot; ``None`` where the header is not valid."""
    found = _HOST.fullmatch(host)
    return found[1].lower().removesuffix(b".") if found else None


@lru_cache(256)
def _is_loopback(name: bytes) -> bool:
    """Whether every browser resolves ``name`` to loopback: an address, or a name that is not looked up by DNS (RFC 6761, 6.3)."""
    if name == b"localhost" or name.endswith(b".localhost"):
        return True
    if not (literal := _LITERAL.fullmatch(name)):
        return False
    try:
        address = ipaddress.ip_address((literal[1] or literal[2]).decode())
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _shown(header: bytes) -> str:
    text = header.decode("latin-1")
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
