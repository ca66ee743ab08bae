"""``roadworthy.export`` in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roadworthy.build.exporting import Exported, ExportJob, export
from roadworthy.build.workspace import Notify


def export_bundle(
    bundle: Any,
    to: str,
    output: Path | str | None = None,
    *,
    data: str | None = None,
    precisions: Sequence[str] = (),
    forms: Sequence[str] = (),
    on_target: bool = False,
    seconds: float = 1800.0,
    memory_mb: int = 0,
    cache: bool = True,
    notify: Notify = lambda progress: None,
) -> Exported:
    """Export ``bundle`` (its path, or what ``deploy`` returned) to the target ``to`` (docs/targets.md lists them).

    The export becomes part of the bundle, in ``exports/TARGET``, unless ``output`` names another directory. ``data`` are samples to
    compare the answers on beside the golden ones: a path or name that ``--data`` takes. ``precisions`` and ``forms`` narrow what is
    tried. With ``on_target`` an export that could not be run on its target is refused. ``seconds`` bounds the whole, ``memory_mb`` is the
    limit of each step in MiB (0: most of the host's memory). ``notify`` is told of the progress. Raises UsageError, BundleError,
    EnvironmentFault, NoCandidate and other errors of ``core.errors``; nothing is written then.
    """
    job = ExportJob(
        bundle=Path(getattr(bundle, "bundle", bundle)),
        target=to,
        output=Path(output) if output is not None else None,
        data=data,
        precisions=tuple(precisions),
        forms=tuple(forms),
        on_target=on_target,
        seconds=seconds,
        memory_mb=memory_mb,
        cache=cache,
    )
    return export(job, notify)
