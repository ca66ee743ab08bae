"""Accepts connections at the listening sockets, and hands each to the worker with the fewest connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence

from roadworthy.serving.workers import sockets
from roadworthy.serving.workers.worker_process import WorkerProcess, WorkerState

ACCEPTED_AT_ONCE = 64
"""Connections accepted before the event loop does anything else."""


class Acceptor:
    """``listeners`` are numbered by their order. ``answer_here`` gets the connections that no worker takes, with the listener's number."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        workers: Callable[[], Iterable[WorkerProcess]],
        answer_here: Callable[[int, socket.socket], None],
    ) -> None:
        self._listeners, self._workers, self._answer_here = listeners, workers, answer_here

    def start(self) -> None:
        """Accept connections from now on."""
        for number, listener in enumerate(self._listeners):
            asyncio.get_running_loop().add_reader(listener, self._accept, number, listener)

    def stop(self) -> None:
        """Accept what has already connected, then close the listeners."""
        for number, listener in enumerate(self._listeners):
            self._accept(number, listener)
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def _accept(self, number: int, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            self._hand_over(number, connection)

    def _hand_over(self, number: int, connection: socket.socket) -> None:
        able = (worker for worker in self._workers() if worker.state is WorkerState.SERVING and not worker.sick)
        for worker in sorted(able, key=lambda one: (one.late, one.connections)):
            try:
                sockets.hand_over(worker.connections_socket, number, connection)
            except OSError:
                continue
            worker.handed += 1
            connection.close()
            return
        self._answer_here(number, connection)
