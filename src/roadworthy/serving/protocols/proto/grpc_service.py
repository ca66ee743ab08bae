"""What a gRPC protocol offers to the transport: methods by RPC, each of a message and of who calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from roadworthy.serving.protocols.messages import Right

Method = Callable[[Any, "Caller"], Any]
"""What a protocol writes for one RPC, of the request (an async iterator where the client streams) and the caller: a coroutine
that gives the response, or an async generator of them where the server streams. It raises RequestErrors, which the transport maps."""


@dataclass(slots=True)
class Caller:
    """One call. ``metadata`` is by lower-case key; ``deadline`` a reading of ``time.monotonic()``; ``model`` is set by the method
    for the metrics, to the name that the client gave."""

    metadata: Mapping[str, str]
    deadline: float | None = None
    model: str = ""


@dataclass(frozen=True)
class Service:
    """One service of a protocol. ``protocol`` is how the metrics call it, ``name`` is full ("inference.GRPCInferenceService").

    ``rights`` are for the RPCs that are no inference. An RPC without a method is UNIMPLEMENTED.
    """

    protocol: str
    name: str
    methods: Mapping[str, Method]
    rights: Mapping[str, Right] = field(default_factory=dict)

    def right(self, rpc: str) -> Right:
        """What the RPC asks of its caller. Asked before the request is read."""
        return self.rights.get(rpc, "inference")
