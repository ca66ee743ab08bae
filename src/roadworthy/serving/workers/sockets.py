"""Listening sockets, and how the supervisor hands an accepted connection to a worker."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from roadworthy.core.errors import EnvironmentFault, UsageError


def listen(host: str, port: int, *, backlog: int = 1024) -> socket.socket:
    """A socket that listens there; raises UsageError for an address that is not valid or is in use."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except (OSError, OverflowError) as problem:
        raise UsageError(f"{host}:{port} is not an address to listen at: {problem}") from problem
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
    except (OSError, OverflowError) as problem:
        listener.close()
        if getattr(problem, "errno", None) == errno.EADDRINUSE:
            raise UsageError(f"port {port} at {host} is in use; choose another, or 0 for a free one") from problem
        raise EnvironmentFault(f"cannot listen at {host}:{port}: {problem}") from problem
    return listener


def reserve(host: str, port: int) -> socket.socket:
    """A port that several processes can listen at, held but not listened at; the kernel gives connections to those that do."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            # With SO_REUSEPORT alone the port of another server could be shared, and each would get some of the other's clients.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
        with ExitStack() as undo:
            holder = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(address)
            undo.pop_all()
    except (OSError, OverflowError) as problem:
        raise UsageError(f"port {port} at {host} cannot be used for gRPC: {problem}") from problem
    return holder


def url(listener: socket.socket, secure: bool) -> str:
    """Where clients reach the listener."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def hand_over(channel: socket.socket, number: int, connection: socket.socket) -> None:
    """Give ``connection``, accepted at listener ``number``, to the worker at the other end; raises OSError where it takes none."""
    socket.send_fds(channel, [bytes([number])], [connection.fileno()])


def receive(channel: socket.socket) -> tuple[int, socket.socket] | None:
    """The next connection that was handed over and the number of its listener; ``None`` where there is none at the moment."""
    try:
        data, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    except OSError:
        return None
    if not data or not descriptors:
        return None
    return data[0], socket.socket(fileno=descriptors[0])
