"""Protocols of rows with samples along axis 1: each row of a request and of an answer is one sample."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import Signature
from roadworthy.serving.protocols import nested_json as values
from roadworthy.serving.protocols.oip import model_info
from roadworthy.serving.protocols.tfserving import examples
from roadworthy.serving.protocols.tfserving.http import _by_rows
from roadworthy.serving.protocols.torchserve.inference import _plain
from roadworthy.serving.protocols.torchserve.request import TorchServeInput, _alone, _raw
from support.models.sample_axis import FEATURES, SIGNATURE, TIME, TOTAL, X, Y, answers, rows


def test_tensorflow_serving_answers_one_row_a_sample() -> None:
    found = _by_rows(SIGNATURE, {"y": answers(rows(2)).T})
    assert json.loads(values.written({"found": found}))["found"] == pytest.approx(np.asarray(answers(rows(2)), float), rel=1e-5)
    with pytest.raises(InvalidRequest, match="one row for each sample"):
        _by_rows(Signature((X,), (Y, TOTAL)), {"y": answers(rows(2)).T, "total": np.float32(1)})


def test_examples_become_calls_of_the_layout() -> None:
    flat = [sample.ravel().tolist() for sample in rows(2)]
    np.testing.assert_allclose(examples._samples(X, flat), X.to_call(rows(2)), rtol=1e-6)


def test_torchserve_takes_and_gives_one_row_a_sample() -> None:
    asked = _alone(X, rows(1)[0])
    assert asked.single
    assert asked.feeds["x"].shape == (TIME, 1, FEATURES)
    assert _raw(X, rows(1).tobytes()).shape == (TIME, FEATURES)
    given = TorchServeInput(SIGNATURE.to_call({"x": rows(2)}))
    found = _plain(SIGNATURE, {"y": answers(rows(2)).T}, given)
    assert json.loads(values.written(found)) == pytest.approx(np.asarray(answers(rows(2)), float), rel=1e-5)


def test_triton_is_told_of_a_batch_where_it_is_the_first_axis() -> None:
    model: Any = SimpleNamespace(signature=SIGNATURE, name="m", version="1")
    found = model_info._config_tensor(X, False)
    assert found["dims"] == [TIME, -1, FEATURES]
    assert not model_info.batch_first(model.signature)
