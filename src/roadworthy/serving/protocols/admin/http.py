"""The server's own management, for what the other protocols have no command for: every command of ``commands`` as JSON, and the catalogue.

``GET /manage`` is the catalogue. ``POST /manage`` takes one command, such as
``{"type": "SetCanary", "name": "digits", "version": "2", "share": 0.1}``, and answers with the catalogue once it is carried out
in the whole server.
"""

from __future__ import annotations

import msgspec

from roadworthy.core.errors import InvalidRequest, RequestError
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.protocols.messages import Reply, Request, error_json
from roadworthy.serving.protocols.routes import HttpRoute
from roadworthy.serving.protocols.schemas import json_body, schemas_of
from roadworthy.serving.registry.catalogue import Catalogue
from roadworthy.serving.registry.commands import AnyCommand

_COMMANDS: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


class AdminApi:
    """The commands over one dataplane."""

    name, title = "management", "Roadworthy"
    schemas, error_schema = schemas_of(Catalogue=Catalogue, Command=AnyCommand), "Error"
    ignores_case = False

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        catalogue = json_body("Catalogue")
        self.routes = (
            HttpRoute("GET", "/manage", self.catalogue, "management", "Every model, its versions and their states.", catalogue),
            HttpRoute(
                "POST", "/manage", self.command, "management", "One command; the catalogue once it is carried out.", catalogue,
                body=json_body("Command"), errors=(404, 409, 500, 503, 504),
            ),
        )  # fmt: skip

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return error_json(problem)

    async def catalogue(self, request: Request) -> Reply:
        """The catalogue."""
        return Reply(200, msgspec.json.encode(self._plane.catalogue))

    async def command(self, request: Request) -> Reply:
        """Carry a command out, then the catalogue."""
        try:
            command = _COMMANDS.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise InvalidRequest(f"the body is not a command: {problem}") from None
        await self._plane.manage(command)
        return await self.catalogue(request)


def http_protocol(plane: DataPlane, grpc_port: int | None) -> AdminApi:
    """The protocol over ``plane``; see ``protocols.discovery``."""
    return AdminApi(plane)
