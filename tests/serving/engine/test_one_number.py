"""One number a sample: with two names the two classes of every protocol, and without them a number that no name is put to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import ImageTable
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols.messages import Request
from roadworthy.serving.protocols.oip.http import OpenInference
from roadworthy.serving.protocols.routes import Router
from roadworthy.serving.protocols.tfserving.http import TensorFlowServing
from roadworthy.serving.protocols.torchserve.http import TorchServe
from support.models import bundles
from support.servers.dataplanes import opened

NUMBER = Signature((TensorSpec("x", "float32", ("batch", 1)),), (TensorSpec("y", "float32", ("batch", 1)),))
PICTURE = Signature((TensorSpec("image", "float32", ("batch", 3, 8, 8)),), NUMBER.outputs)
CONTRACTS = {
    "probability": Contract((), Answer("applied", labels=("cat", "dog"))),
    "logit": Contract((), Answer("sigmoid", labels=("cat", "dog"))),
    "price": Contract((), Answer("none")),
    "older": Contract((), Answer("applied", labels=("cat", "dog", "bird"))),
}

Ask = Callable[..., Any]


def giving(*numbers: float) -> Array:
    """Samples [n, 1] to which the model answers ``numbers``."""
    held = bundles.weights(NUMBER)
    return ((np.array(numbers)[:, None] - held["bias"]) / held["weight"]).astype(np.float32)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A bundle for each contract, and one that sees images."""
    folder = tmp_path_factory.mktemp("bundles")
    made = [bundles.write_bundle(folder / name, name=name, signature=NUMBER, contract=one) for name, one in CONTRACTS.items()]
    sees = replace(CONTRACTS["logit"], image=ImageTable().steps())
    return [*made, bundles.write_bundle(folder / "picture", name="picture", signature=PICTURE, contract=sees)]


@pytest.fixture(scope="module")
def ask(paths: list[Path]) -> Iterator[Ask]:
    """``ask(protocol, path, body)``: the JSON of an answer, or the status of a refusal."""
    with asyncio.Runner() as runner, ExitStack() as stack:

        async def entered() -> dict[str, Router]:
            plane = stack.enter_context(opened(*paths))
            protocols = {"oip": OpenInference(plane), "torchserve": TorchServe(plane), "tfserving": TensorFlowServing(plane)}
            return {name: Router(plane, (protocol,)) for name, protocol in protocols.items()}

        routers = runner.run(entered())

        def ask(protocol: str, path: str, body: object, kind: str = "application/json") -> Any:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            reply = runner.run(routers[protocol].handle(Request("POST", path, headers={b"content-type": kind.encode()}, body=data)))
            return json.loads(reply.body) if reply.status == 200 else reply.status

        yield ask


@pytest.mark.parametrize(("name", "low", "high"), [("probability", 0.25, 0.75), ("logit", -1.0986123, 1.0986123)])
def test_the_second_class_is_what_the_number_gives_everywhere(ask: Ask, paths: list[Path], name: str, low: float, high: float) -> None:
    x = giving(low, high)
    with LocalEngine(paths[list(CONTRACTS).index(name)]) as model:
        assert model.ranks
        for labels, row in zip((["cat", "dog"], ["dog", "cat"]), model(x).ranked, strict=True):
            assert [one.label for one in row] == labels and [one.score for one in row] == pytest.approx([0.75, 0.25], abs=1e-5)

    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 1], "data": x.tolist()}]}
    wanted = {"outputs": [{"name": "label"}, {"name": "probability"}]}
    names, shares = ask("oip", f"/v2/models/{name}/infer", body | wanted)["outputs"]
    assert names["data"] == ["cat", "dog", "dog", "cat"] and names["shape"] == [2, 2]
    assert shares["data"] == pytest.approx([0.75, 0.25, 0.75, 0.25], abs=1e-5)
    extension = {"outputs": [{"name": "y", "parameters": {"classification": 1}}]}
    (output,) = ask("oip", f"/v2/models/{name}/infer", body | extension)["outputs"]
    assert [text.split(":")[1:] for text in output["data"]] == [["0", "cat"], ["1", "dog"]]
    assert [float(text.split(":")[0]) for text in output["data"]] == pytest.approx([0.75, 0.75], abs=1e-5)
    (whole,) = ask("oip", f"/v2/models/{name}/infer", body)["outputs"]
    assert whole["data"] == pytest.approx([low, high], abs=1e-5), "the output itself is changed"

    first, second = ask("torchserve", f"/predictions/{name}", {"instances": x.tolist()})["predictions"]
    assert list(first) == ["cat", "dog"] and list(second) == ["dog", "cat"]
    assert second == pytest.approx({"dog": 0.75, "cat": 0.25}, abs=1e-5)

    examples = {"examples": [{"x": row} for row in x.tolist()]}
    results = ask("tfserving", f"/v1/models/{name}:classify", examples)["results"]
    assert [[label for label, _ in row] for row in results] == [["cat", "dog"], ["dog", "cat"]]
    assert ask("tfserving", f"/v1/models/{name}:regress", examples)["results"] == pytest.approx([low, high], abs=1e-5)


@pytest.mark.parametrize("name", ["price", "older"])
def test_a_number_that_tells_no_two_named_classes_apart_gets_no_name(ask: Ask, paths: list[Path], name: str) -> None:
    x = giving(0.25, 0.75)
    with LocalEngine(paths[list(CONTRACTS).index(name)]) as model:
        assert not model.ranks and model(x).ranked == ((), ())
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 1], "data": x.tolist()}]}
    assert ask("oip", f"/v2/models/{name}/infer", body | {"outputs": [{"name": "label"}]}) == 400
    extension = {"outputs": [{"name": "y", "parameters": {"classification": 3}}]}
    (output,) = ask("oip", f"/v2/models/{name}/infer", body | extension)["outputs"]
    assert [text.split(":")[1:] for text in output["data"]] == [["0"], ["0"]]
    answers = ask("torchserve", f"/predictions/{name}", {"instances": x.tolist()})["predictions"]
    assert np.allclose(answers, [[0.25], [0.75]], atol=1e-5)
    assert ask("tfserving", f"/v1/models/{name}:classify", {"examples": [{"x": [0.5]}]}) == 400


def test_a_whole_image_is_answered_by_both_classes(ask: Ask, paths: list[Path], png: bytes) -> None:
    with LocalEngine(paths[-1]) as model:
        (row,) = model(png).ranked
    assert {one.label for one in row} == {"cat", "dog"} and row[0].score > 0.5
    outputs = {one["name"]: one["data"] for one in ask("oip", "/v2/models/picture/infer", png, "image/png")["outputs"]}
    assert outputs["label"] == [one.label for one in row] and outputs["probability"] == pytest.approx([one.score for one in row])
    assert list(ask("torchserve", "/predictions/picture", png, "image/png")) == [one.label for one in row]
