"""OpenVINO Model Server's ``config.json``: what its schema allows, what it does not, and what it says both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.errors import SourceUnreadable
from roadworthy.other_servers import ovms_config
from roadworthy.other_servers.ovms_config import OvmsModel
from roadworthy.other_servers.versions import VersionPolicy

FULL = {
    "name": "a", "base_path": "/m/a", "target_device": "CPU", "nireq": 2, "batch_size": "auto", "shape": {"x": "(1,3)"}, "layout": "NCHW",
    "allow_cache": False, "stateful": True, "idle_sequence_cleanup": True, "low_latency_transformation": True, "max_sequence_number": 3,
    "model_version_policy": {"specific": {"versions": [3, 1]}}, "custom_loader_options": {"loader_name": "l"},
    "plugin_config": {"NUM_STREAMS": 2, "ENABLE_CPU_PINNING": True, "INFERENCE_PRECISION_HINT": "f32"},
}  # fmt: skip


def of(**config: Any) -> dict[str, Any]:
    return {"model_config_list": [{"config": {"name": "a", "base_path": "b", **config}}]}


def read(found: Any) -> tuple[OvmsModel, ...]:
    return ovms_config.parse(json.dumps(found).encode(), "config.json", SourceUnreadable)


def test_everything_that_the_schema_has_is_read() -> None:
    assert ovms_config.mistakes({"model_config_list": [{"config": FULL}], "monitoring": {}, "mediapipe_config_list": []}) == ()
    (model,) = read({"model_config_list": [{"config": FULL}]})
    assert model.versions == VersionPolicy(specific=(3, 1)) and model.versions.served([1, 2, 3]) == (3, 1)
    assert model.property("NUM_STREAMS") == "2" and model.property("ENABLE_CPU_PINNING") == "YES" and model.custom_loader
    assert model.batch_size == "auto" and model.shape == (("x", "(1,3)"),) and model.nireq == 2


def test_what_is_written_is_read_back() -> None:
    model = OvmsModel("a", "/m/a", (("INFERENCE_PRECISION_HINT", "f32"),), "CPU", 3)
    assert ovms_config.parse(ovms_config.text((model,)).encode(), "it", SourceUnreadable) == (model,)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([], "the configuration is not an object"),
        ({}, "the configuration has no 'model_config_list'"),
        ({"model_config_list": {}}, "is not a list"),
        ({"model_config_list": [], "models": []}, "'models', which the server does not know"),
        ({"model_config_list": [{}]}, "entry 0 of 'model_config_list' of the configuration has no 'config'"),
        ({"model_config_list": [{"config": {"base_path": "b"}}]}, "has no 'name'"),
        (of(batch=1), "'batch', which the server does not know"),
        (of(name=3), "is not text"),
        (of(nireq="4"), "is not a whole number"),
        (of(nireq=True), "is not a whole number"),
        (of(nireq=-1), "is -1, below 0"),
        (of(batch_size=-1), "is -1, below 0"),
        (of(shape={"x": [1, 3]}), "'x' of 'shape'"),
        (of(plugin_config={"NUM_STREAMS": [1]}), "is not text, a number, true or false"),
        (of(plugin_config=["f32"]), "is not an object"),
        (of(model_version_policy={}), "has 0 policies"),
        (of(model_version_policy={"all": {}, "latest": {"num_versions": 1}}), "has 2 policies"),
        (of(model_version_policy={"latest": {"num_versions": 0}}), "is 0, below 1"),
        (of(model_version_policy={"latest": {}}), "has no 'num_versions'"),
        (of(model_version_policy={"newest": {}}), "'newest', which the server does not know"),
        (of(model_version_policy={"specific": {"versions": "1"}}), "is not a list"),
    ],
)
def test_each_rule_of_the_schema_is_held(found: Any, says: str) -> None:
    with pytest.raises(SourceUnreadable, match="OpenVINO Model Server") as refused:
        read(found)
    assert says in refused.value.message


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_any_json_gives_one_of_our_own_errors(value: Any) -> None:
    for found in (value, {"model_config_list": value}, of(model_version_policy=value), of(shape=value, plugin_config=value)):
        try:
            read(found)
        except SourceUnreadable:
            pass


def test_what_is_no_json_is_refused() -> None:
    for data in (b"{", b"\xff", b"[" * 10**5):
        with pytest.raises(SourceUnreadable, match="not valid JSON"):
            ovms_config.parse(data, "it", SourceUnreadable)
