"""The web page at ``/`` for a person: models, states and figures, and a form to try a model; no framework, no outside requests.

The page reads one document, ``/page/status``, which needs the right ``inference``. The page itself needs no right: it holds nothing
about this server. Images that a person drops on it are sent by the Open Inference Protocol.
"""

from __future__ import annotations

from importlib import resources

import msgspec

from roadworthy.core.errors import RequestError
from roadworthy.core.version import __version__
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.protocols.messages import Reply, Request, error_json
from roadworthy.serving.protocols.routes import HttpRoute
from roadworthy.serving.protocols.schemas import TEXT, json_body, schemas_of
from roadworthy.serving.protocols.web_ui import status

STATUS = "/page/status"
FILES = {
    "/": ("index.html", b"text/html; charset=utf-8"),
    "/page/page.css": ("page.css", b"text/css; charset=utf-8"),
    "/page/page.js": ("page.js", b"text/javascript; charset=utf-8"),
    "/page/try.js": ("try.js", b"text/javascript; charset=utf-8"),
    "/page/snippets.js": ("snippets.js", b"text/javascript; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", b"image/svg+xml"),
}
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GUARDED = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


class WebPage:
    """The page over one dataplane; ``grpc_port`` is for the requests that the page shows."""

    name, title = "page", "Roadworthy"
    schemas, error_schema = schemas_of(ServerStatus=status.ServerStatus), "Error"
    ignores_case = False

    def __init__(self, plane: DataPlane, grpc_port: int | None = None) -> None:
        self._plane, self._grpc_port = plane, grpc_port
        folder = resources.files("roadworthy.serving.protocols.web_ui")
        self._files = {path: (folder.joinpath(file).read_bytes(), kind) for path, (file, kind) in FILES.items()}
        self.routes = (
            *(
                HttpRoute("GET", path, self.file, "open", "A file of the page for a person.", {kind.decode().partition(";")[0]: TEXT})
                for path, (_, kind) in FILES.items()
            ),
            HttpRoute(
                "GET", STATUS, self.figures, "inference", "Models, figures and workers at this moment.", json_body("ServerStatus"),
                errors=(503,),
            ),
        )  # fmt: skip

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return error_json(problem)

    async def file(self, request: Request) -> Reply:
        """A file of the page."""
        body, kind = self._files[request.path]
        return Reply(200, body, content_type=kind, headers=GUARDED)

    async def figures(self, request: Request) -> Reply:
        """The figures."""
        found = await status.read(self._plane, __version__, self._grpc_port)
        return Reply(200, msgspec.json.encode(found), headers=((b"cache-control", b"no-store"),))


def http_protocol(plane: DataPlane, grpc_port: int | None) -> WebPage:
    """The protocol over ``plane``; see ``protocols.discovery``."""
    return WebPage(plane, grpc_port)
