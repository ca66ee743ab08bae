"""What a gRPC protocol offers to the transport: a method for each RPC, which takes a message and the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from roadworthy.serving.protocols.messages import Right

Method = Callable[[Any, "Caller"], Any]
"""The method of one RPC. It takes the request (an async iterator where the client streams) and the caller. It is a coroutine that returns
the response or, where the server streams, an async generator of responses. It raises RequestErrors, which the transport maps to codes."""


@dataclass(slots=True)
class Caller:
    """One call. ``metadata`` is by lower-case key; ``deadline`` a reading of ``time.monotonic()``; ``model`` is set by the method
    for the metrics, to the name that the client gave."""

    metadata: Mapping[str, str]
    deadline: float | None = None
    model: str = ""


@dataclass(frozen=True)
class Service:
    """One service of a protocol. ``protocol`` is its name in metrics, ``name`` the full one ("inference.GRPCInferenceService").

    ``rights`` are those of RPCs that do not ask for ``inference``. An RPC without a method is UNIMPLEMENTED.
    """

    protocol: str
    name: str
    methods: Mapping[str, Method]
    rights: Mapping[str, Right] = field(default_factory=dict)

    def right(self, rpc: str) -> Right:
        """What the RPC asks of its caller. It is checked before the request is read."""
        return self.rights.get(rpc, "inference")
