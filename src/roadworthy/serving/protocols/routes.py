"""The route tables of the HTTP protocols: routing, rights, the OpenAPI document, metrics and traces all read the same rows.

A protocol is an object with a table. Each row, a ``HttpRoute``, cannot be made without a handler, a right, a summary and the form of its
answer, so whatever answers is documented and guarded::

    class Greeting:
        name, title = "greeting", "Greeting"
        schemas, error_schema = {"Greeting": object_of({"hello": TEXT})}, "Error"
        ignores_case = False

        def __init__(self) -> None:
            self.routes = (HttpRoute("GET", "/hello/{name}", self.hello, "open", "A greeting.", json_body("Greeting")),)

        async def hello(self, request: Request) -> Reply:
            return Reply(200, orjson.dumps({"hello": request.parameters["name"]}))

        def refuse(self, request: Request, problem: RequestError) -> Reply:
            return error_json(problem)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from roadworthy.core.errors import RequestError
from roadworthy.serving.engine.dataplane import DataPlane, InferenceFailed
from roadworthy.serving.protocols.messages import (
    RIGHTS,
    Handler,
    ModelFailed,
    NoSuchPath,
    RefusalForm,
    Reply,
    Request,
    Right,
    WrongMethod,
    error_json,
    hints,
)
from roadworthy.serving.protocols.schemas import Body, Schema

METHODS = frozenset(("GET", "POST", "PUT", "DELETE", "OPTIONS"))
"""A path that has GET has HEAD too."""

REMEMBERED_PATHS, REMEMBERED_LENGTH = 1024, 256
"""How many paths, of how many characters, a router keeps with what it found: clients send the same few over and over."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class HttpRoute:
    """One operation: a method at a path, whose placeholders (``{model}``) stand for one part without a slash each.

    ``answer`` is the body of status 200; ``also`` holds the bodies of other statuses that are not refusals; ``errors`` are the statuses of
    refusals beside those that every route has. ``query`` names the parameters of the query; ``needs_body`` says that the body may not be
    left out; ``operation`` is the name of the row in the protocol's own description, if it has one.
    """

    method: str
    path: str
    handle: Handler
    right: Right
    summary: str
    answer: Body
    body: Body | None = None
    errors: tuple[int, ...] = ()
    also: Mapping[int, Body] = field(default_factory=dict)
    query: tuple[str, ...] = ()
    needs_body: bool = True
    operation: str = ""

    def __post_init__(self) -> None:
        if self.method not in METHODS or not self.path.startswith("/") or self.right not in RIGHTS or not self.summary:
            raise ValueError(f"{self.method} {self.path}: a route has a method in capitals, a path from the root, a right and a summary")

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The names of the path's placeholders, in their order."""
        return tuple(_PLACEHOLDER.findall(self.path))


class HttpProtocol(RefusalForm, Protocol):
    """One protocol over HTTP."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def schemas(self) -> Mapping[str, Schema]:
        """The schemas that its routes name, beside ``schemas.COMMON_SCHEMAS``."""

    @property
    def error_schema(self) -> str:
        """The name of the schema of its refusals."""

    @property
    def ignores_case(self) -> bool:
        """Whether its paths may come in capitals, and no placeholder takes a colon, as TensorFlow Serving has it."""

    @property
    def routes(self) -> Sequence[HttpRoute]:
        """Its table."""


@dataclass(frozen=True)
class _Path:
    """One path with the routes of its methods, each with its protocol."""

    names: tuple[str, ...]
    routes: dict[str, tuple[HttpProtocol, HttpRoute]]

    @property
    def first(self) -> tuple[HttpProtocol, HttpRoute]:
        return next(iter(self.routes.values()))

    @property
    def allow(self) -> str:
        methods = [*self.routes]
        if "GET" in methods:
            methods.insert(methods.index("GET") + 1, "HEAD")
        return ", ".join(methods)


class _MatchedPath(NamedTuple):
    """The path that a request's path matches, the values of its placeholders, and that of ``{model}``."""

    path: _Path
    parameters: Mapping[str, str]
    model: str


class Router:
    """Finds the route of a request in the tables of ``protocols``, and gets its answer.

    Paths are told apart by their first word, so a placeholder that comes first never stands for a word that another table begins with.
    Among paths of the same first word a literal part wins over a placeholder: ``/v2/models/stats`` over ``/v2/models/{model}``.
    """

    def __init__(self, plane: DataPlane, protocols: Iterable[HttpProtocol]) -> None:
        self._plane = plane
        self.protocols = tuple(protocols)
        self._tables: dict[str, _Table] = {}
        self._owners: dict[str, HttpProtocol] = {}
        groups: dict[str, dict[str, list[tuple[HttpProtocol, HttpRoute]]]] = {}
        for protocol in self.protocols:
            for route in protocol.routes:
                word = _first_word(route.path)
                groups.setdefault("{}" if _PLACEHOLDER.fullmatch(word) else word, {}).setdefault(route.path, []).append((protocol, route))
                self._owners.setdefault(word, protocol)
        for word, paths in groups.items():
            self._tables[word] = _Table(paths)
            for written in {word.lower(), word.upper()} if any(p.ignores_case for p, _ in next(iter(paths.values()))) else ():
                self._tables[written] = self._tables[word]
                self._owners[written] = self._owners[word]
        self._remembered = lru_cache(REMEMBERED_PATHS)(self._match)

    def find(self, request: Request) -> None:
        """Set what the request's second group of fields holds.

        Raises NoSuchPath, and WrongMethod for a method that the path does not have. Then protocol and right are those of the path's
        first route: who may not use the path does not learn what methods it has.
        """
        path = request.path
        found = self._remembered(path) if len(path) <= REMEMBERED_LENGTH else self._match(path)
        if found is None:
            word = _first_word(path)
            # A path such as //x has no first word, and so no protocol.
            request.protocol = self._owners.get(word) if word else None
            raise NoSuchPath("Not Found")
        known, request.parameters, model = found
        if model and self._plane.serves(model):
            request.model = model
        row = known.routes.get("GET" if request.method == "HEAD" else request.method)
        request.protocol, route = row or known.first
        request.template, request.right = route.path, route.right
        if row is None:
            raise WrongMethod(f"{request.method} is not a method of this path, which has {known.allow}", allow=known.allow)
        request.handle = route.handle

    def _match(self, path: str) -> _MatchedPath | None:
        table = self._tables.get(_first_word(path)) or self._tables.get("{}")
        return table.match(path) if table is not None else None

    async def answer(self, request: Request) -> Reply:
        """The answer of the route that ``find`` found, or its refusal. Raises whatever else goes wrong in the handler."""
        assert request.handle is not None
        try:
            return await request.handle(request)
        except RequestError as problem:
            return refusal(request, problem)
        except InferenceFailed as problem:
            return refusal(request, ModelFailed(problem.message))

    async def handle(self, request: Request) -> Reply:
        """``find`` and ``answer``: the whole of a request that asks for no rights."""
        try:
            self.find(request)
        except RequestError as problem:
            return refusal(request, problem)
        return await self.answer(request)


class _Table:
    """The paths of one first word as one pattern, in which the group that matched says which path it is."""

    def __init__(self, paths: Mapping[str, Sequence[tuple[HttpProtocol, HttpRoute]]]) -> None:
        self._paths: dict[int, _Path] = {}
        pieces, group = [], 1
        # The brace of a placeholder sorts after every letter, so a literal part is tried first.
        for template in sorted(paths):
            rows = paths[template]
            names = rows[0][1].placeholders
            self._paths[group] = _Path(names, {route.method: (protocol, route) for protocol, route in rows})
            pieces.append(_pattern(template, ignores_case=rows[0][0].ignores_case))
            group += 1 + len(names)
        self._pattern = re.compile("|".join(pieces))

    def match(self, path: str) -> _MatchedPath | None:
        found = self._pattern.fullmatch(path)
        if found is None or found.lastindex is None:
            return None
        known = self._paths[found.lastindex]
        values = found.groups()[found.lastindex : found.lastindex + len(known.names)]
        parameters = dict(zip(known.names, values, strict=True))
        return _MatchedPath(known, parameters, parameters.get("model", ""))


def refusal(request: Request, problem: RequestError) -> Reply:
    """``problem`` in the form of the request's protocol, with the headers that go with it."""
    reply = request.protocol.refuse(request, problem) if request.protocol is not None else error_json(problem)
    extra = hints(problem)
    return Reply(reply.status, reply.body, reply.content_type, (*reply.headers, *extra)) if extra else reply


def _first_word(path: str) -> str:
    return path[1:].partition("/")[0]


def _pattern(template: str, *, ignores_case: bool) -> str:
    """A group that matches the template's paths, with a group for each placeholder inside."""
    part = "([^/:]+)" if ignores_case else "([^/]+)"
    literals = [re.escape(text) for text in _PLACEHOLDER.split(template)[::2]]
    whole = part.join(literals)
    return f"((?i:{whole}))" if ignores_case else f"({whole})"
