"""The tables of a PyTorch model that its inputs choose rows of, seen in one call of its operators: embeddings and plain indexing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from roadworthy.build.sources.samples.table_rows import TableRows

aten = torch.ops.aten
EMBEDDINGS = (aten.embedding.default, aten._embedding_bag.default, aten._embedding_bag_forward_only.default)
SELECT, INDEX = aten.index_select.default, aten.index.Tensor


class Watched(TorchDispatchMode):  # type: ignore[misc]
    """Inside the block ``rows`` is told of every table that an operator looks identifiers up in."""

    def __init__(self, rows: TableRows) -> None:
        super().__init__()
        self._rows = rows

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in EMBEDDINGS:
            self._see(args[1], args[0].shape[0])
        elif func is SELECT:
            self._see(args[2], args[0].shape[args[1]])
        elif func is INDEX and len(args[1]) == 1 and args[1][0] is not None:
            self._see(args[1][0], args[0].shape[0])
        return func(*args, **(kwargs or {}))

    def _see(self, identifiers: torch.Tensor, rows: int) -> None:
        if not identifiers.is_floating_point() and identifiers.dtype != torch.bool:
            self._rows.see(identifiers.numpy(force=True), rows)
