"""The folder of an export on loopback, with the headers by which a browser isolates a page; and the arrays that a driven page exchanges."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import unquote, urlsplit

DRIVE = Path(__file__).with_name("drive")
PAGE, PREFIX = "/drive.html", "/drive/"
"""The driving page, and what it needs: its script and the arrays. An export has nothing of these names."""
MAP = "<!-- import map -->"
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
"""What a page needs before it may share memory between threads."""
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}


class LoopbackSite:
    """``root`` served on a free port of 127.0.0.1 until it is closed, each answer with ``headers``.

    ``imports`` is the text of the driving page's import map. The driving page sends what it has to say, which is put into ``answers``, and
    with the same request waits for the next of ``feeds``: one way there and back for a call. ``served`` are the paths of the files that
    were asked for.
    """

    def __init__(self, root: Path, headers: Mapping[str, str], imports: str = "") -> None:
        self.root, self.headers = root.resolve(), {**headers, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        page = (DRIVE / "drive.html").read_text()
        self.page = page.replace(MAP, f'<script type="importmap">{imports}</script>' if imports else "").encode()
        self.feeds: SimpleQueue[bytes] = SimpleQueue()
        self.answers: SimpleQueue[bytes] = SimpleQueue()
        self.served: set[str] = set()
        self._server = _SiteServer(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The site's address, without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """End the site; a page that waits for feeds gets none."""
        self.feeds.put(b"")
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def file(self, path: str) -> Path | None:
        """The file for a path of a request; ``None`` where there is none, or where it lies outside."""
        base, name = (DRIVE, path.removeprefix(PREFIX)) if path.startswith(PREFIX) else (self.root, path.lstrip("/") or "index.html")
        found = (base / name).resolve()
        return found if found.is_relative_to(base) and found.is_file() else None


class _SiteServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site: LoopbackSite) -> None:
        self.site = site
        super().__init__(("127.0.0.1", 0), _SiteRequest)


class _SiteRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        site, path = self._site, unquote(urlsplit(self.path).path)
        if path == PAGE:
            self._answer(HTTPStatus.OK, site.page, "text/html")
        elif found := site.file(path):
            content = found.read_bytes()
            site.served.add(path)
            kind = TYPES.get(found.suffix) or mimetypes.guess_type(found.name)[0] or "application/octet-stream"
            self._answer(HTTPStatus.OK, content, kind)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")

    def do_POST(self) -> None:
        # A page of another site in a browser of this machine can send requests here too.
        if self.path != f"{PREFIX}next" or self.headers["Sec-Fetch-Site"] != "same-origin":
            self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")
            return
        self._site.answers.put(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(HTTPStatus.OK, self._site.feeds.get(), "application/octet-stream")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: an error of the page is said by the page."""

    @property
    def _site(self) -> LoopbackSite:
        assert isinstance(self.server, _SiteServer)
        return self.server.site

    def _answer(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**self._site.headers, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
