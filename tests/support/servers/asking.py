"""Requests of the Open Inference Protocol in the test's own process, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.serving.protocols.messages import Request
from roadworthy.serving.protocols.oip.http import OpenInference
from roadworthy.serving.protocols.routes import Router
from support.servers.dataplanes import opened
from support.servers.serving import outputs_of


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def json_head(self) -> Any:
        """The JSON before the binary tensors."""
        return json.loads(self.body[: int(self.headers["inference-header-content-length"])])

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs by name, in whatever form they came."""
        assert self.status == 200, self.body
        return outputs_of(self.body, self.headers)


@dataclass(frozen=True)
class Ask:
    """``ask(method, path, body, headers)``."""

    router: Router
    runner: asyncio.Runner

    def __call__(self, method: str, path: str, body: object = b"", headers: Mapping[str, str] | None = None) -> Answered:
        data = body if isinstance(body, (bytes, bytearray)) else json.dumps(body).encode()
        lines = {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
        reply = self.runner.run(self.router.handle(Request(method, path, headers=lines, body=data)))
        back = {"content-type": reply.content_type.decode()} | {name.decode(): value.decode() for name, value in reply.headers}
        return Answered(reply.status, back, reply.body)


@contextmanager
def asking(*bundles: Path, **options: Any) -> Iterator[Ask]:
    """A server of these bundles to ask; ``options`` are those of ``dataplanes.opened``."""

    async def entered(stack: ExitStack) -> Router:
        plane = stack.enter_context(opened(*bundles, **options))
        return Router(plane, (OpenInference(plane),))

    with asyncio.Runner() as runner, ExitStack() as stack:
        yield Ask(runner.run(entered(stack)), runner)


def infer(ask: Ask, model: str, body: object, headers: Mapping[str, str] | None = None) -> Answered:
    """The answer to an inference request."""
    return ask("POST", f"/v2/models/{model}/infer", body, headers)


def assert_refused(answered: Answered, status: int = 400, says: str = "") -> None:
    """It is a refusal of one sentence, in the protocol's own form."""
    assert answered.status == status, answered.body
    assert list(answered.json) == ["error"]
    sentence = answered.json["error"]
    assert sentence and "\n" not in sentence and "Traceback" not in sentence and says in sentence, sentence
