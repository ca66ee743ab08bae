"""Which worker gets a connection: the one with the fewest, a late one last, a faulty one never; the supervisor where none takes it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import cast

import pytest

from roadworthy.serving.workers.acceptor import Acceptor
from roadworthy.serving.workers.worker_process import WorkerProcess, WorkerState


@dataclass
class FakeWorker:
    """A worker, and the other end of its socket for connections."""

    connections: int = 0
    late: bool = False
    sick: str = ""
    state: WorkerState = WorkerState.SERVING
    handed: int = 0
    pair: tuple[socket.socket, socket.socket] = field(default_factory=lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))

    @property
    def connections_socket(self) -> socket.socket:
        return self.pair[0]

    def received(self) -> int | None:
        """The number of the listener whose connection it got."""
        self.pair[1].setblocking(False)
        try:
            data, descriptors, _, _ = socket.recv_fds(self.pair[1], 1, 1)
        except BlockingIOError:
            return None
        for descriptor in descriptors:
            socket.close(descriptor)
        return data[0]

    def close(self) -> None:
        for end in self.pair:
            end.close()


def accepted(*workers: FakeWorker, listener: int = 1) -> tuple[list[int | None], list[int]]:
    """One connection at listener number ``listener``: what each worker received, and the listeners of what was answered here."""
    here: list[int] = []

    def answer_here(number: int, connection: socket.socket) -> None:
        here.append(number)
        connection.close()

    ours, client = socket.socketpair()
    acceptor = Acceptor([], lambda: cast("list[WorkerProcess]", workers), answer_here)
    acceptor._hand_over(listener, ours)
    client.close()
    assert ours.fileno() == -1, "our copy of the connection is closed"
    received = [worker.received() for worker in workers]
    for worker in workers:
        worker.close()
    return received, here


def test_the_worker_with_the_fewest_connections_gets_it() -> None:
    busy, idle = FakeWorker(connections=3), FakeWorker(connections=2)
    assert accepted(busy, idle) == ([None, 1], [])
    assert (busy.handed, idle.handed) == (0, 1)


def test_a_worker_whose_heartbeat_is_late_gets_it_only_where_no_other_can() -> None:
    assert accepted(FakeWorker(late=True), FakeWorker(connections=9)) == ([None, 1], [])
    assert accepted(FakeWorker(late=True)) == ([1], [])


UNABLE = [{"sick": "a call hangs"}, *({"state": state} for state in WorkerState if state is not WorkerState.SERVING)]


@pytest.mark.parametrize("unable", UNABLE)
def test_a_worker_that_does_not_serve_gets_none(unable: dict[str, object]) -> None:
    assert accepted(FakeWorker(**unable), FakeWorker(connections=9)) == ([None, 1], [])  # type: ignore[arg-type]
    assert accepted(FakeWorker(**unable)) == ([None], [1])  # type: ignore[arg-type]


def test_where_a_worker_does_not_take_it_the_next_one_does() -> None:
    ended = FakeWorker()
    ended.pair[1].close()
    other = FakeWorker(connections=9)
    here: list[int] = []
    ours, client = socket.socketpair()
    Acceptor([], lambda: cast("list[WorkerProcess]", [ended, other]), lambda number, _: here.append(number))._hand_over(0, ours)
    assert other.received() == 0 and (ended.handed, other.handed, here) == (0, 1, [])
    for one in (client, ended.pair[0], *other.pair):
        one.close()
