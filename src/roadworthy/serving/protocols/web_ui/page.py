"""The page at ``/`` for a person: models, states and figures, and a place to try a model; no framework, no outside requests.

``/page/status`` is the one document that it lives from: rights to infer are enough to read it, and the page itself, which
holds nothing of this server, needs none. Answers to a dropped image come by the Open Inference Protocol like anybody's.
"""

from __future__ import annotations

from importlib import resources

import msgspec
import orjson

from roadworthy.core.errors import RequestError
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.protocols import Call, NoSuchPath, Reply, Right, WrongVerb, hints
from roadworthy.serving.protocols.torchserve.api_description import description
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


class Page:
    """The page over one dataplane; ``grpc`` is the port where gRPC is spoken, for the requests that the page shows."""

    name = "page"

    def __init__(self, plane: DataPlane, version: str, grpc: int | None = None) -> None:
        self._plane, self._version, self._grpc = plane, version, grpc
        folder = resources.files("roadworthy.serving.protocols.web_ui")
        self._files = {path: (folder.joinpath(file).read_bytes(), kind) for path, (file, kind) in FILES.items()}

    def owns(self, path: str) -> bool:
        """Whether the path is the page's."""
        return path == "/" or path.startswith("/page/")

    def right(self, method: str, path: str) -> Right:
        """The figures need the right to infer, what shows them none."""
        return "inference" if path == STATUS else "open"

    async def handle(self, call: Call) -> Reply:
        """A file of the page, or the figures."""
        if call.path != STATUS and call.path not in self._files:
            return self.refuse(NoSuchPath("Not Found"))
        if call.path == "/" and call.method == "OPTIONS":
            # TorchServe's clients ask there for what the interface is.
            return Reply(200, orjson.dumps(description(self._version)))
        if call.method not in ("GET", "HEAD"):
            return self.refuse(WrongVerb("Method Not Allowed", allow="GET, HEAD" if call.path != "/" else "GET, HEAD, OPTIONS"))
        if call.path == STATUS:
            found = await status.read(self._plane, self._version, self._grpc)
            return Reply(200, msgspec.json.encode(found), headers=((b"cache-control", b"no-store"),))
        body, kind = self._files[call.path]
        return Reply(200, body, content_type=kind, headers=GUARDED)

    def refuse(self, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return Reply(problem.status, orjson.dumps({"error": problem.message}), headers=hints(problem))
