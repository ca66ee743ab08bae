"""Triton's ``config.pbtxt``: names and numbers are Triton's, both ways are one, and each rule on its meaning is held."""

from __future__ import annotations

import runpy
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core import descriptors
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.types import TensorSpec
from roadworthy.other_servers import proto, triton_config, triton_rules
from roadworthy.other_servers.proto import compile as compiling
from roadworthy.other_servers.triton_config import Instances, TritonConfig, TritonTensor, Warmup, WarmupInput
from roadworthy.other_servers.versions import VersionPolicy
from support.clients.environments import SCRIPTS, client_python, drive

CONFIG = TritonConfig(
    "digits",
    "onnxruntime",
    (TritonTensor("x", "float32", (1, 8, 8)),),
    (TritonTensor("y", "float32", (4,), labels="labels.txt"), TritonTensor("n", "int64", (1,), reshape=())),
    max_batch_size=8,
    versions=VersionPolicy(specific=(1, 3)),
    instances=(Instances(2, "KIND_CPU"),),
    parameters=(("inter_op_thread_count", "1"), ("intra_op_thread_count", "4")),
    batching=True,
    preferred=(4, 8),
    warmups=(Warmup("golden0", 1, (WarmupInput("x", "float32", (1, 8, 8), "golden0-0.bin"),)),),
)
INPUTS = (TensorSpec("x", "float32", ("batch", 1, 8, 8)),)
OUTPUTS = (TensorSpec("y", "float32", ("batch", 4)), TensorSpec("n", "int64", ("batch",)))


def parsed(text: str) -> TritonConfig:
    return triton_config.parse(text.encode(), "config.pbtxt", SourceUnreadable)


@pytest.mark.slow
def test_names_and_numbers_are_triton_s() -> None:
    theirs = drive(client_python("tritonclient-grpc", "tritonclient[grpc]==2.73.0"), "descriptors.py", "tritonclient.grpc.model_config_pb2")
    described = runpy.run_path(str(SCRIPTS / "descriptors.py"))["described"]
    ours = described(descriptors.pool("roadworthy.other_servers.proto", "model_config").FindFileByName("model_config.proto"))
    assert ours == {name: members for name, members in theirs.items() if name in ours} and len(ours) > 60
    assert ours["inference.ModelConfig"] == theirs["inference.ModelConfig"]


@pytest.mark.parametrize("family", proto.FAMILIES)
def test_the_descriptor_set_is_what_the_source_compiles_to(family: str) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    committed = descriptor_pb2.FileDescriptorSet.FromString((compiling.HERE / f"{family}.binpb").read_bytes())
    assert committed == descriptor_pb2.FileDescriptorSet.FromString(compiling.compiled(family))


def test_what_is_written_is_read_back() -> None:
    assert parsed(triton_config.text(CONFIG)) == CONFIG
    everything = replace(CONFIG, versions=VersionPolicy(latest=None), batching=False, preferred=())
    assert parsed(triton_config.text(everything)) == everything


@pytest.mark.parametrize(
    "text", ['name: "a" bach: 3', "max_batch_size: many", "input { data_type: TYPE_FP33 }", "{", "instance_group { kind: KIND_TPU }"]
)
def test_what_is_not_triton_s_is_refused(text: str) -> None:
    with pytest.raises(SourceUnreadable, match=r"config.pbtxt is not a configuration of Triton"):
        parsed(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed(text)
    except SourceUnreadable:
        pass


def test_bytes_that_are_no_text_and_files_that_are_too_large_are_refused() -> None:
    for data in (b"\xff\xfe", b"#" * (2**20 + 1), b"optimization { cuda { graph_spec {" * 10**4):
        with pytest.raises(SourceUnreadable):
            triton_config.parse(data, "it", SourceUnreadable)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_batch_size": -1, "batching": False, "preferred": ()}, "max_batch_size is -1"),
        ({"max_batch_size": 0, "preferred": ()}, "without a batch it cannot gather requests"),
        ({"preferred": (16,)}, "preferred_batch_size 16 is not in 1..8"),
        ({"inputs": CONFIG.inputs * 2}, "'x' is stated twice"),
        ({"inputs": (TritonTensor("x", "unknown", (1,)),)}, "'x' has no data_type"),
        ({"inputs": (TritonTensor("x", "float32", ()),)}, "'x' has no dims; a single number a sample is dims: [ 1 ]"),
        ({"inputs": (TritonTensor("x", "float32", (0,)),)}, "a dimension of size 0"),
        ({"inputs": (TritonTensor("x", "float32", (4,), reshape=(2, 3)),)}, "not as many elements"),
        ({"instances": (Instances(-1, "KIND_CPU"),)}, "a count of -1"),
        ({"instances": (Instances(1, "KIND_CPU", (0,)),)}, "is KIND_CPU and names the GPUs 0"),
        ({"parameters": (("intra_op_thread_count", "all"),)}, "'all', which is not a number of threads"),
        ({"warmups": (Warmup("w", 9, CONFIG.warmups[0].inputs),)}, "a batch_size of 9, which is not in 1..8"),
        ({"warmups": (Warmup("w", 1, ()),)}, "has the inputs none, not 'x'"),
    ],
)
def test_each_mistake_is_found(change: dict[str, Any], says: str) -> None:
    assert triton_rules.mistakes(CONFIG) == ()
    (found,) = triton_rules.mistakes(replace(CONFIG, **change))
    assert says in found


def tensor(dims: tuple[int, ...], dtype: str = "float32", name: str = "x") -> tuple[TritonTensor, ...]:
    return (TritonTensor(name, dtype, dims),)


@pytest.mark.parametrize(
    ("change", "inputs", "says"),
    [
        ({"inputs": tensor((-1, 1, 8, 8))}, INPUTS, "with max_batch_size above 0 the batch is left out of dims"),
        ({"inputs": tensor((1, 8, 9))}, INPUTS, "stated with dims [1, 8, 9]"),
        ({"inputs": tensor((1, 8, -1))}, INPUTS, "stated with dims [1, 8, -1]"),
        ({"inputs": tensor((1, 8, 8), "float16")}, INPUTS, "stated as float16, and the model has float32"),
        ({"inputs": tensor((1, 8, 8), name="z")}, INPUTS, "'z' is not in the model, which has 'x'"),
        ({}, (TensorSpec("x", "float32", (1, 1, 8, 8)),), "a first dimension of 1 alone"),
        ({}, (*INPUTS, TensorSpec("m", "float32", ("batch",))), "the model's input 'm' is not stated"),
        ({"max_batch_size": 0}, INPUTS, "stated with dims [1, 8, 8]"),
    ],
)
def test_each_contradiction_is_found(change: dict[str, Any], inputs: tuple[TensorSpec, ...], says: str) -> None:
    assert triton_rules.contradictions(CONFIG, INPUTS, OUTPUTS) == ()
    assert any(says in sentence for sentence in triton_rules.contradictions(replace(CONFIG, **change), inputs, OUTPUTS))


def test_what_is_left_to_the_server_contradicts_nothing() -> None:
    left = replace(CONFIG, inputs=(), outputs=())
    assert triton_rules.contradictions(left, INPUTS, OUTPUTS) == ()
    free = replace(CONFIG, inputs=tensor((1, 8, -1)))
    assert triton_rules.contradictions(free, (TensorSpec("x", "float32", ("batch", 1, 8, "width")),), OUTPUTS) == ()
    one_output = replace(CONFIG, outputs=CONFIG.outputs[:1])
    assert triton_rules.contradictions(one_output, INPUTS, OUTPUTS) == ()


def test_what_the_server_does_in_silence_is_said() -> None:
    assert triton_rules.acts_in_silence(CONFIG, INPUTS, OUTPUTS) == ()
    unsaid = replace(CONFIG, max_batch_size=0, instances=(), parameters=())
    filled, threads, gpu = triton_rules.acts_in_silence(unsaid, INPUTS, OUTPUTS)
    assert "fills in 4" in filled and "a thread for each core" in threads and "on a GPU" in gpu


def test_versions_by_policy() -> None:
    assert VersionPolicy().served([1, 3, 2]) == (3,)
    assert VersionPolicy(latest=None).served([1, 3, 2]) == (3, 2, 1)
    assert VersionPolicy(specific=(1, 9)).served([1, 3, 2]) == (1,)
