"""Protobuf messages of model files: compiled from what lies beside them, and filled without a copy of what is large."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from roadworthy.build import sources
from roadworthy.build.sources.parsers import onnx as parsers_onnx
from roadworthy.build.sources.parsers import proto, tf_graph
from roadworthy.build.sources.parsers.proto import compile as messages_compile
from roadworthy.core.types import TensorSpec
from support.files import wire_files as made

LARGE = 64 * 2**20


@pytest.mark.parametrize("family", proto.FAMILIES)
def test_the_descriptor_sets_are_what_the_sources_compile_to(family: str) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    committed = descriptor_pb2.FileDescriptorSet.FromString((messages_compile.HERE / f"{family}.binpb").read_bytes())
    assert committed == descriptor_pb2.FileDescriptorSet.FromString(messages_compile.compiled(family))


def constant(values: bytes) -> bytes:
    """A node that holds a float32 [1024, n] in its file."""
    shape = made.shape(1024, len(values) // 4096)
    tensor = made.message((1, made.FLOAT), (2, shape), (4, values))
    return made.node("Const", "w", dtype=made.message((6, made.FLOAT)), value=made.message((8, tensor)))


def test_the_values_of_a_tensor_are_never_copied(tmp_path: Path) -> None:
    (tmp_path / "frozen.pb").write_bytes(made.graph_def(*made.ORDINARY, constant(bytes(LARGE))))
    weight = made.message((1, 4096), (1, LARGE // 16384), (2, made.FLOAT), (8, "w"), (9, bytes(LARGE)))
    graph = made.message((1, made.message((1, "x"), (2, "y"), (4, "Relu"))), (5, weight))
    (tmp_path / "model.onnx").write_bytes(made.message((1, 8), (7, graph)))
    tracemalloc.start()
    try:
        frozen = tf_graph.graph_def(tmp_path / "frozen.pb")
        model = parsers_onnx.read(tmp_path / "model.onnx")
        assert tracemalloc.get_traced_memory()[1] < LARGE / 8
    finally:
        tracemalloc.stop()
    assert frozen.tensors == (TensorSpec("w", "float32", (1024, LARGE // 4096)),)
    assert model.tensors == (TensorSpec("w", "float32", (4096, LARGE // 16384)),)


def test_a_large_message_in_pieces_counts_as_one(tmp_path: Path) -> None:
    """A large part is walked and a small one is parsed as a whole: both are merged, as protobuf has it."""
    many = made.graph_def(*(made.node("Identity", f"node{number}") for number in range(500)))
    pieces = made.meta_graph(many, (2, made.graph_def(made.node("ReadFile", "evil"))), (2, many), made.signature())
    (found,) = tf_graph.saved_model(made.saved_model(tmp_path / "model", pieces) / "saved_model.pb")
    assert len(found.nodes) == 1001
    assert [use.split(",")[0] for use in sources.inspect(tmp_path / "model").executes] == ["ReadFile"]
