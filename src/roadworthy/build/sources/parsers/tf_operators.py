"""Which operators of a TensorFlow graph do more than compute, and where in a file they sit.

TensorFlow has no safe mode: a graph can read and write files, run code and reach other machines when it is called, some
of it when it is loaded. The names were gathered from the operator registry of TensorFlow 2.21; a test holds the list
against the registry of the version installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roadworthy.build.sources.parsers.tf_graph import GraphNode, MetaGraph
from roadworthy.build.sources.parsers.untrusted import listed, shown
from roadworthy.build.sources.static_facts import Refusal

VERSIONS = ("", "V2", "V3", "V4")


def _group(text: str) -> frozenset[str]:
    """Operators by name, in all their versions; those of tf.data began as experimental ones."""
    return frozenset(before + name + after for name in text.split() for before in ("", "Experimental") for after in VERSIONS)


READS = _group(
    "ReadFile MatchingFiles MatchingFilesDataset TextLineDataset TFRecordDataset FixedLengthRecordDataset CSVDataset SqlDataset "
    "LMDBDataset LMDBReader WholeFileReader TextLineReader TFRecordReader FixedLengthRecordReader RecordInput LoadDataset "
    "SnapshotDatasetReader SnapshotNestedDatasetReader SnapshotChunkDataset ListSnapshotChunksDataset LoadAndRemapMatrix "
    "GenerateVocabRemapping Skipgram InitializeTableFromTextFile"
)
WRITES = _group(
    "WriteFile CacheDataset SnapshotDataset SaveDataset DatasetToTFRecord DistributedSave DumpTensor CalibrationStatisticsSaver "
    "CreateSummaryFileWriter CreateSummaryDbWriter ImportEvent WriteSummary WriteRawProtoSummary WriteScalarSummary "
    "WriteHistogramSummary WriteImageSummary WriteAudioSummary WriteGraphSummary StatsAggregatorSetSummaryWriter DebugIdentity "
    "DebugNanCount DebugNumericSummary FileSystemSetConfiguration"
)
RUNS_CODE = _group(
    "PyFunc PyFuncStateless EagerPyFunc DatasetFromGraph XlaCallModule XlaCustomCall XlaHostCompute _XlaHostComputeMlir "
    "RemoteFusedGraphExecute MlirPassthroughOp Abort"
)
REACHES_OUT = _group(
    "RemoteCall Send Recv _Send _Recv _HostSend _HostRecv RpcServer RpcServerStart RpcServerRegister RpcClient RpcCall RpcCheckStatus "
    "RpcGetValue WorkerHeartbeat DataServiceDataset RegisterDataset CollectiveInitializeCommunicator CollectiveAssignGroup "
    "CollectiveReduce CollectiveGather CollectiveBcastSend CollectiveBcastRecv CollectiveAllToAll CollectiveReduceScatter "
    "CollectivePermute XlaSend XlaRecv"
)
REFUSED = READS | WRITES | RUNS_CODE | REACHES_OUT
"""Operators that are not part of a computation: a graph that holds one does more than compute."""

SAVES = frozenset({"Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints", "DTensorSave"})
"""Every SavedModel holds some of these for its own checkpoint. Where a call of the model reaches one, it writes files."""
RESTORES = frozenset({"Restore", "RestoreSlice", "RestoreV2", "DTensorRestoreV2"})

GIVEN = {
    "PrintV2": ("output_stream", ("stdout", "stderr", "log(")),
    "DecodeProtoV2": ("descriptor_source", ("", "local://", "bytes://")),
    "EncodeProto": ("descriptor_source", ("", "local://", "bytes://")),
    "FixedUnigramCandidateSampler": ("vocab_file", ("",)),
}
"""Operators that use files only where an attribute names one: the attribute, and how its harmless values begin ("" stands for itself)."""


def does(op: str) -> str:
    """What ``op`` does besides computing, as a predicate; empty where it only computes."""
    if op in READS:
        return "reads files"
    if op in WRITES or op in SAVES:
        return "writes files"
    if op in RUNS_CODE:
        return "runs code"
    if op in REACHES_OUT:
        return "reaches other processes or machines"
    return "reads files" if op in RESTORES else ""


def refusal(executes: tuple[str, ...]) -> Refusal | None:
    """Why a TensorFlow graph is read with ``--trust`` only; ``None`` where it only computes."""
    if not executes:
        return None
    return Refusal(f"does more than compute when it is loaded or called: {listed(executes)}", "save the model without these operators")


def beyond_computing(graph: MetaGraph) -> tuple[str, ...]:
    """Every operator of ``graph`` that does more than compute, each with what it does and the node and function it sits in."""
    found = [use for where, node in _every_node(graph) for use in _uses(node, where)]
    return tuple(dict.fromkeys((*found, *_stray_savers(graph))))


def _uses(node: GraphNode, where: str) -> Iterator[str]:
    if node.op in REFUSED:
        yield _use(node, where)
    elif node.op in GIVEN:
        key, beginnings = GIVEN[node.op]
        for value in node.texts.get(key, ()):
            if not _harmless(value, beginnings):
                yield f"{node.op} with {key} {shown(value)!r} (node {shown(node.name)}{where})"


def _harmless(value: str, beginnings: tuple[str, ...]) -> bool:
    return any(value.startswith(start) if start else not value for start in beginnings)


def _every_node(graph: MetaGraph) -> Iterator[tuple[str, GraphNode]]:
    for node in graph.nodes:
        yield "", node
    for name, nodes in graph.functions.items():
        for node in nodes:
            yield f" of the function {shown(name)}", node


def _use(node: GraphNode, where: str) -> str:
    return f"{node.op}, which {does(node.op)} (node {shown(node.name)}{where})"


def _stray_savers(graph: MetaGraph) -> Iterator[str]:
    """Operators that save or restore, reached by something other than the saver.

    Only ``saver.save`` may lead to those that write, and only ``saver.save`` and ``saver.restore`` to those that read. What else runs:
    the nodes that the signatures read, those that run at load, and the functions that are offered. In a graph without signatures every
    node outside the saver counts as run.

    Worked example: the graph ``x -> y``, ``(file, x) -> save`` with the signature ``x -> y`` is accepted, since ``y`` does not depend
    on ``save``. With a control input ``^save`` at ``y`` it is refused: a call of the model writes the checkpoint.
    """
    by_name = {node.name: node for node in graph.nodes}
    save = _before((graph.saver.save,), by_name)
    restore = _before((graph.saver.restore,), by_name)
    rest = (*graph.ends, *graph.starts) if graph.signatures or graph.offered else tuple(by_name.keys() - save - restore)
    called = _before(rest, by_name)
    yield from _within(graph, by_name, called, graph.offered, SAVES | RESTORES)
    yield from _within(graph, by_name, restore, (), SAVES)


def _within(
    graph: MetaGraph, by_name: dict[str, GraphNode], reached: set[str], offered: Iterable[str], banned: frozenset[str]
) -> Iterator[str]:
    nodes = [by_name[name] for name in reached]
    yield from (_use(node, "") for node in nodes if node.op in banned)
    for name in _called(graph, nodes, offered):
        yield from (_use(node, f" of the function {shown(name)}") for node in graph.functions[name] if node.op in banned)


def _before(ends: Iterable[str], by_name: dict[str, GraphNode]) -> set[str]:
    """The nodes ``ends``, and all that they depend on."""
    waiting, seen = [name for name in ends if name in by_name], set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [source for edge in by_name[name].inputs if (source := edge.removeprefix("^").partition(":")[0]) in by_name]
    return seen


def _called(graph: MetaGraph, nodes: Iterable[GraphNode], offered: Iterable[str]) -> set[str]:
    """The functions that ``nodes`` call, those ``offered``, and all that these call."""
    waiting, seen = [*offered, *(name for node in nodes for name in (node.op, *node.calls))], set()
    while waiting:
        name = waiting.pop()
        if name in graph.functions and name not in seen:
            seen.add(name)
            waiting += [inner for node in graph.functions[name] for inner in (node.op, *node.calls)]
    return seen
