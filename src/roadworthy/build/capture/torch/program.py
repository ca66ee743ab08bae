"""What every exported program must satisfy: no training operator, and limits of its symbolic axes that are stated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.core.types import BATCH, Signature

BATCH_NORM_TRAINING = 5
"""The position of ``training`` in aten.batch_norm's arguments; ``running_mean`` is at 3."""


@dataclass(frozen=True)
class Program:
    """An ExportedProgram and the signature it keeps."""

    exported: Any
    signature: Signature


def stated_limit(path: Path, signature: Signature) -> int | None:
    """The largest batch that the program at ``path`` states; ``None`` where it states none, or takes one size only."""
    try:
        return checked(torch.export.load(path), signature).signature.max_batch
    except Refused:
        return None


def checked(exported: Any, signature: Signature) -> Program:
    """``exported`` with the batch limit that it states; raises Refused where it is live for training or static in silence."""
    _refuse_training(exported.graph)
    return Program(exported, _stated(exported, signature))


def _stated(exported: Any, signature: Signature) -> Signature:
    nodes = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    limit = signature.max_batch
    if len(exported.graph_signature.user_inputs) != len(signature.inputs):
        raise Refused(f"the program takes {len(exported.graph_signature.user_inputs)} inputs where the model takes {len(signature.inputs)}")
    for spec, name in zip(signature.inputs, exported.graph_signature.user_inputs, strict=True):
        for found, wanted in zip(nodes[name].meta["val"].shape, spec.shape, strict=True):
            if isinstance(wanted, int):
                continue
            if isinstance(found, int):
                raise Refused(f"{wanted} became the constant {found} in {spec.name}", batch=wanted == BATCH)
            span = exported.range_constraints.get(found.node.expr)
            if wanted == BATCH and span is not None and span.upper.is_Integer:
                limit = min(limit or int(span.upper), int(span.upper))
    return replace(signature, max_batch=limit)


def _refuse_training(graph: Any) -> None:
    """Exporting a model in training mode raises nothing: what stays live is seen in the graph alone."""
    for node in graph.nodes:
        name = str(node.target) if node.op == "call_function" else ""
        if "dropout" in name and any(argument is True for argument in (*node.args, *node.kwargs.values())):
            raise Refused(f"dropout is live in the exported graph ({node.name}): it was exported in training mode")
        if name.startswith("aten.batch_norm") and node.args[BATCH_NORM_TRAINING] is True and node.args[3] is not None:
            raise Refused(f"batch normalisation trains in the exported graph ({node.name}): it was exported in training mode")
