"""What the user asked for, as data that can be written to a file and run again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roadworthy.core.isolation import usercode
from roadworthy.core.types import Stated, TensorSpec

CODE = re.compile(r"([^:]*\.py|[\w.]+):.+", re.DOTALL)
Objective = Literal["latency", "throughput", "size", "memory"]


@dataclass(frozen=True)
class Job:
    """One call of ``roadworthy deploy``.

    ``signature`` names one of several that the source offers, ``outputs`` the tensors to answer with where it does not say.
    ``stated`` are the values that inputs hold, where the user states them: generated samples keep to them, and data must.
    ``data`` is a folder, an ``.npz``, ``module:callable``, or arrays; ``preprocess`` a preset's name or a TOML file; ``metric``
    of ``None`` is top-1 where there are labels, else agreement with the original. ``max_drop`` is a share of the metric, absolute:
    0.01 is one percent. ``runtimes``, ``precisions`` and ``plans`` narrow the search; empty means everything this host can do.
    ``samples`` caps the evaluation data. ``seconds`` bounds the whole deployment, ``memory_mb`` each step's process (0: most of the host).
    """

    source: Path
    output: Path
    arch: str | None = None
    signature: str = ""
    outputs: tuple[str, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    stated: tuple[Stated, ...] = ()
    data: str | None = None
    labels: Path | None = None
    preprocess: str | None = None
    metric: str | None = None
    max_drop: float = 0.01
    objective: Objective = "latency"
    runtimes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    samples: int | None = None
    seconds: float = 1800.0
    memory_mb: int = 0
    name: str = ""
    version: str = "1"
    trust: bool = False
    allow_training: bool = False
    allow_framework: bool = False

    @property
    def code(self) -> tuple[str, ...]:
        """The user's own code that is imported for ``arch``, ``data`` and ``metric``: ``FILE.py`` or dotted modules."""
        data = self.data if self.data is not None and not Path(self.data).exists() else None
        found = (CODE.fullmatch(text) for text in (self.arch, data, self.metric) if text)
        return tuple(match[1] for match in found if match)

    @property
    def code_files(self) -> tuple[Path, ...]:
        """Those of ``code`` that are files."""
        return tuple(Path(where) for where in self.code if where.endswith(".py"))

    @property
    def code_folders(self) -> tuple[Path, ...]:
        """The folders that the user's code comes from; empty where neither that nor code in the source runs."""
        folders = tuple(usercode.package_root(file.resolve()) for file in self.code_files)
        return folders or ((Path.cwd(),) if self.code or self.trust else ())

    @property
    def data_files(self) -> tuple[Path, ...]:
        """The files and folders that are read beside the source and the code; some of the values may not be paths."""
        return tuple(Path(path) for path in (self.data, self.labels, self.preprocess) if path)
