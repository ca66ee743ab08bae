"""Names and paths that no file system takes, by every protocol: refused in the protocol's own form, with nothing in the log."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import pytest

from roadworthy.core.errors import Forbidden, InvalidRequest, UnknownModel, UsageError
from roadworthy.serving import server
from roadworthy.serving.protocols import proto
from roadworthy.serving.registry import commands, repository
from roadworthy.serving.registry.catalogue import order
from roadworthy.serving.settings import Settings
from roadworthy.serving.transports.http import listeners
from support.models import bundles
from support.servers.dataplanes import opened
from support.servers.serving import Server

UNUSABLE = {
    "NUL": "a\0b",
    "a long name": "x" * 300,
    "a long name that is not ASCII": "中" * 2000,
    "a long path": "x/" * 3000,
    "three million characters": "y" * 3_000_000,
    "thousands of digits": "9" * 5000,
    "up and out": "../" * 50 + "etc",
    "a device": "/dev/zero",
    "a link to a device": "zero",
    "a link to the folder of devices": "devices/zero",
    "a FIFO": "fifo",
    "a folder with a FIFO for its manifest": "trap",
    "a link to itself": "loop",
    "a process's open file": "/proc/self/fd/0",
    "a line's end": "a\nb",
}
"""By which no model, no version and no bundle goes."""
MISENCODED = {"half a surrogate pair": b'"\\ud800"', "the other half": b'"\\udcff"', "bytes that are not UTF-8": b'"a\xff"'}
IN_JSON = {name: json.dumps(text).encode() for name, text in UNUSABLE.items()} | MISENCODED
BODIES = {
    "/v2/repository/models/linear/load": (b'{"parameters":{"path":%b}}', b'{"parameters":{"version":%b}}', b'{"parameters":{%b:"x"}}'),
    "/models": (b'{"url":%b}', b'{"url":"nothing","model_name":%b}'),
    "/manage": (
        b'{"type":"Load","name":"linear","path":%b}',
        b'{"type":"Load","name":%b}',
        b'{"type":"Load","name":"linear","version":%b}',
        b'{"type":"Unload","name":%b}',
        b'{"type":"Unload","name":"linear","version":%b}',
        b'{"type":"SetDefault","name":"linear","version":%b}',
        b'{"type":"SetCanary","name":"linear","version":%b}',
        b'{"type":"SetShadow","name":"linear","version":%b}',
        b'{"type":"SetLabels","name":"linear","labels":{"new":%b}}',
        b'{"type":"Scale","name":"linear","version":%b,"instances":1}',
        b'{"type":"Configure","name":"linear","path":%b}',
        b'{"type":"Configure","name":"linear","path":"linear","versions":[%b]}',
        b'{"type":"Replace","models":[{"type":"Configure","name":"linear","path":%b}]}',
    ),
    "/v1/models/linear:predict": (b'{"signature_name":%b,"inputs":[[NaN]]}', b'{"inputs":{%b:[NaN]}}'),
}
NUMBERS = (
    b'{"type":"Scale","name":"linear","instances":%d}' % 2**70,
    b'{"type":"Scale","name":"linear","instances":-%d}' % 2**70,
    b'{"type":"Configure","name":"linear","path":"linear","latest":%d}' % 2**70,
    b'{"type":"Configure","name":"linear","path":"linear","latest":-1}',
)
PLANELESS: Any = None
IN_PATHS = [
    (protocol, route)
    for protocol in listeners.http_protocols(PLANELESS)
    for route in protocol.routes
    if route.placeholders and route.right != "inference"
]
Serve = Callable[..., Server]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model, among what a path may lead to that is no bundle."""
    root = tmp_path_factory.mktemp("models")
    bundles.write_bundle(root / "linear" / "1", name="linear")
    (root / "trap").mkdir()
    for fifo in (root / "fifo", root / "trap" / "manifest.json"):
        os.mkfifo(fifo)
    for link, to in (("zero", "/dev/zero"), ("devices", "/dev"), ("loop", str(root / "loop"))):
        (root / link).symlink_to(to)
    return root


@pytest.fixture(scope="module")
def started(models: Path, third_party: None) -> Iterator[Server]:
    """A server that has nothing to say in its log when the tests are done."""
    server = Server(models, workers=1, grpc_port=0)
    server.wait_ready()
    yield server
    server.process.terminate()
    said = server.errors()
    server.kill()
    assert "Traceback" not in said and "no answer to" not in said, said[-2000:]


def assert_refused(answer: httpx.Response, torchserve: bool) -> None:
    """It is the client's fault, in the protocol's form, and without our insides."""
    assert 400 <= answer.status_code < 500, (answer.request.url.path, answer.status_code, answer.text[:200])
    said = answer.json()
    assert set(said) == ({"code", "type", "message"} if torchserve else {"error"})
    assert "Traceback" not in answer.text and "Errno" not in answer.text


@pytest.mark.parametrize("text", IN_JSON)
def test_in_a_body(started: Server, text: str) -> None:
    with started.client() as client:
        for path, forms in BODIES.items():
            for form in forms:
                answer = client.post(path, content=form % IN_JSON[text], headers={"content-type": "application/json"})
                assert_refused(answer, path == "/models")
        assert client.get("/v2/models/linear/ready").status_code == 200


@pytest.mark.parametrize(
    "text", [*(name for name in UNUSABLE if "million" not in name), "bytes that are not UTF-8", "half a surrogate pair"]
)
def test_in_a_path_or_a_query(started: Server, text: str) -> None:
    sent = {"bytes that are not UTF-8": "%ff", "half a surrogate pair": "%ed%a0%80"}.get(text) or quote(UNUSABLE[text], safe="")
    with started.client() as client:
        for protocol, route in IN_PATHS:
            names = {"model": sent, "version": sent, "label": sent, "repository": sent}
            answer = client.request(route.method, route.path.format_map(names))
            if "{repository}" in route.path:
                assert answer.status_code in (200, 404, 501)  # any repository has this index, and nothing else is offered there
                continue
            if not route.path.endswith("/unload"):  # to unload what is not there succeeds
                assert_refused(answer, protocol.error_schema == "TorchServeError")
            assert answer.status_code < 500
        for query in (
            f"url={sent}",
            f"url=nothing&model_name={sent}",
            f"url={sent}&initial_workers=1",
            f"url=linear/1&initial_workers={sent}",
        ):
            assert_refused(client.post(f"/models?{query}"), True)


@pytest.mark.parametrize("body", NUMBERS)
def test_numbers_that_no_server_has(started: Server, body: bytes) -> None:
    with started.client() as client:
        assert_refused(client.post("/manage", content=body), False)


@pytest.mark.parametrize("text", UNUSABLE)
def test_over_grpc(started: Server, text: str) -> None:
    def code(service: str, rpc: str, message: Any) -> str:
        described = proto.rpcs(service)[rpc]
        call = channel.unary_unary(
            f"/{service}/{rpc}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=described.response.FromString,
        )
        try:
            call(message, timeout=20)
        except grpc.RpcError as problem:
            assert "log says how" not in problem.details()
            return str(problem.code().name)
        return "OK"

    value = UNUSABLE[text]
    load = proto.inference.RepositoryModelLoadRequest(model_name="linear")
    load.parameters["path"].string_param = value
    reload = proto.tensorflow_serving.ReloadConfigRequest()
    reload.config.model_config_list.config.add(name="linear", base_path=value)
    labelled = proto.tensorflow_serving.ReloadConfigRequest()
    labelled.config.model_config_list.config.add(name="linear", base_path="linear").version_labels[value] = 1
    torchserve = "org.pytorch.serve.grpc.management.ManagementAPIsService"
    with grpc.insecure_channel(started.grpc_address) as channel:
        for service, rpc, message in (
            ("inference.GRPCInferenceService", "RepositoryModelLoad", load),
            ("inference.GRPCInferenceService", "RepositoryModelLoad", proto.inference.RepositoryModelLoadRequest(model_name=value)),
            ("inference.GRPCInferenceService", "ModelMetadata", proto.inference.ModelMetadataRequest(name=value)),
            ("tensorflow.serving.ModelService", "HandleReloadConfigRequest", reload),
            (torchserve, "RegisterModel", proto.torchserve_management.RegisterModelRequest(url=value)),
            (torchserve, "UnregisterModel", proto.torchserve_management.UnregisterModelRequest(model_name=value)),
            (torchserve, "SetDefault", proto.torchserve_management.SetDefaultRequest(model_name="linear", model_version=value)),
        ):
            assert code(service, rpc, message) in ("INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED"), rpc
        if len(value) >= 300:
            assert code("tensorflow.serving.ModelService", "HandleReloadConfigRequest", labelled) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("path", [text for name, text in UNUSABLE.items() if "million" not in name])
def test_a_path_that_no_file_system_takes_lies_nowhere(models: Path, path: str) -> None:
    with pytest.raises((Forbidden, UnknownModel)):
        repository.locate([models], "linear", None, path)


def test_a_folder_of_several_models_is_not_any_of_them(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        bundles.write_bundle(tmp_path / name / "1", name=name)
    assert [one.name for one in repository.locate([tmp_path], "cat", None, ".")] == ["cat"]
    with pytest.raises(UnknownModel):
        repository.locate([tmp_path], "horse", None, ".")


@pytest.mark.parametrize(
    "command",
    [
        commands.Load(name=""), commands.Load(name="a", version=""), commands.Load(name="\udcff"), commands.Load(name="a", path="\ud800"),
        commands.Unload(name="a\0"), commands.SetDefault(name="a", version="\x7f"), commands.SetLabels(name="a", labels={"\0": "1"}),
        commands.SetLabels(name="a", labels={"x": "1" * 256}), commands.SetCanary(name="a", version="\n"),
        commands.SetShadow(name="a", version="中" * 86), commands.Scale(name="a" * 256, instances=1),
        commands.Configure(name="a", path="x" * 4096), commands.Configure(name="a", path="x", versions=("1", "\0")),
        commands.Replace((commands.Configure(name="a", path="x"), commands.Configure(name="b", path="x", labels={"l": ""}))),
    ],
    ids=lambda command: type(command).__name__,
)  # fmt: skip
def test_a_command_never_leaves_with_them(null_bundle: Path, command: commands.AnyCommand) -> None:
    sent: list[commands.AnyCommand] = []
    usable = commands.Load(name="模" * 85, version="v" * 255, path="x" * 4095)

    async def manage() -> None:
        with opened(null_bundle, commands=sent) as plane:
            with pytest.raises(InvalidRequest):
                await plane.manage(command)
            await plane.manage(usable)

    asyncio.run(manage())
    assert sent == [usable]


def test_versions_of_any_length_have_an_order() -> None:
    versions = ["x", "9" * 5000, "10", "2", "002", "1", "0", "9" * 4999, ""]
    assert sorted(versions, key=order) == ["0", "1", "2", "002", "10", "9" * 4999, "9" * 5000, "", "x"]


def test_a_folder_that_no_client_can_name_keeps_no_other_from_being_served(serve: Serve, tmp_path: Path) -> None:
    bundles.write_bundle(tmp_path / "linear" / "1", name="linear")
    odd = os.fsencode(tmp_path) + b"/odd\xff"
    try:
        shutil.copytree(os.fsencode(tmp_path / "linear"), odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    started = serve(tmp_path, workers=1)
    with started.client() as client:
        assert [one["name"] for one in client.get("/manage").json()["models"]] == ["linear"]
    started.stop()
    said = started.errors()
    assert "odd" in said and "rename it" in said and "Traceback" not in said
    with pytest.raises(UsageError, match="is not UTF-8; rename it"):
        server.serve_as(Settings(sources=(os.fsdecode(odd),), port=0))
