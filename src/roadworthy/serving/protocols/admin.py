"""What the protocols of others have no words for: every command of ``commands``, as JSON, and the catalogue to look at.

``GET /manage`` is the catalogue. ``POST /manage`` takes one command, such as
``{"type": "SetCanary", "name": "digits", "version": "2", "share": 0.1}``, and answers with the catalogue once it is carried out
in the whole server.
"""

from __future__ import annotations

import msgspec

from roadworthy.core.errors import InvalidRequest, RequestError
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.protocols import Call, Reply, Right, WrongVerb, hints
from roadworthy.serving.registry.commands import AnyCommand

_COMMANDS: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


class Management:
    """The commands over one dataplane."""

    name = "management"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def owns(self, path: str) -> bool:
        """Whether the path is this protocol's."""
        return path == "/manage"

    def right(self, method: str, path: str) -> Right:
        """Management, all of it."""
        return "management"

    async def handle(self, call: Call) -> Reply:
        """The catalogue, after the command if there is one."""
        try:
            match call.method:
                case "GET" | "HEAD":
                    pass
                case "POST":
                    await self._plane.manage(_command(call.body))
                case _:
                    raise WrongVerb("Method Not Allowed", allow="GET, HEAD, POST")
        except RequestError as problem:
            return self.refuse(problem)
        return Reply(200, msgspec.json.encode(self._plane.catalogue))

    def refuse(self, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return Reply(problem.status, msgspec.json.encode({"error": problem.message}), headers=hints(problem))


def _command(body: bytes) -> AnyCommand:
    try:
        return _COMMANDS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise InvalidRequest(f"this is no command: {problem}") from None
