"""What the user asked for, as data that can be written to a file and run again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roadworthy.core.errors import UsageError
from roadworthy.core.evidence import Budget
from roadworthy.core.isolation import usercode
from roadworthy.core.types import Stated, TensorSpec
from roadworthy.preprocess import spec

CODE = re.compile(r"([^:]*\.py|[\w.]+):.+", re.DOTALL)
DECODER = "map@"
"""What stands in front of a decoder in ``metric``."""
Objective = Literal["latency", "throughput", "size", "memory"]


@dataclass(frozen=True)
class Compression:
    """How a smaller model is looked for: by which ``ways`` (``prune``, ``distil``, ``quantise``), on which training ``data``.

    ``seconds`` are for teaching alone, beside the deployment's own. ``student`` is ``FILE.py:CALLABLE`` of the user's own smaller network.
    Images are mirrored with ``flip`` and shifted by up to ``crop`` pixels.
    """

    ways: tuple[str, ...]
    data: str
    seconds: float = 600.0
    student: str | None = None
    flip: bool = False
    crop: int = 0


@dataclass(frozen=True)
class Job:
    """One call of ``roadworthy deploy``.

    ``weights`` names one of several sets of weights in a checkpoint.
    ``signature`` names one of several that the source offers, ``outputs`` the tensors to answer with where it does not say.
    ``examples`` are the shapes of one call, where ``inputs`` were read from example arrays.
    ``stated`` are the values that inputs hold, where the user states them: generated samples keep to them, and data must.
    ``data`` is a folder, a file or ``module:callable``, and ``targets`` names the columns or arrays in it that the answers are compared
    with, where they do not have the usual names; ``preprocess`` is a preset's name, a file, or a name (see ``preprocessing.read_step``);
    ``training_transform`` is ``module:callable``, which is run on the data's images to be compared with it. ``metric`` of ``None`` is
    the one that fits the labels, else agreement with the original; for its forms see ``verify.metrics.find``. ``budget`` is by how much
    a candidate that is meant to differ may be worse. ``runtimes``, ``precisions`` and ``plans`` narrow the search; empty means
    everything this host can do.
    With ``pixels`` the deployed model takes uint8 pixels [batch, height, width, channels]: the steps behind the last geometric one are part
    of it.
    With ``graphs`` the bundle keeps the captured graphs that exports are made from; ``exports`` are the targets for which the bundle gets
    an export at once. With ``compress`` a smaller model is looked for, which then takes part as any other candidate.
    With ``cache`` graphs and candidates' files that an earlier deployment made from the same content are used again.
    ``samples`` caps the evaluation data. ``seconds`` bounds the whole deployment, ``memory_mb`` each step's process (0: most of the host).
    """

    source: Path
    output: Path
    arch: str | None = None
    weights: str = ""
    signature: str = ""
    outputs: tuple[str, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    examples: tuple[tuple[int, ...], ...] = ()
    stated: tuple[Stated, ...] = ()
    data: str | None = None
    targets: tuple[str, ...] = ()
    labels: Path | None = None
    preprocess: str | None = None
    pixels: bool = False
    training_transform: str | None = None
    metric: str | None = None
    budget: Budget = Budget()  # noqa: RUF009 (it is frozen)
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
    cache: bool = True
    graphs: bool = True
    exports: tuple[str, ...] = ()
    compress: Compression | None = None

    @property
    def twice(self) -> bool:
        """Whether the user says that training normalised outside of a model that does so itself."""
        return self.preprocess is not None and self.preprocess.startswith(spec.TWICE)

    @property
    def named_preprocess(self) -> str | None:
        """``preprocess`` without what may stand in front of it."""
        return None if self.preprocess is None else self.preprocess.removeprefix(spec.TWICE)

    @property
    def code(self) -> tuple[str, ...]:
        """The code that is imported for the options that may name some: ``FILE.py`` or dotted modules."""
        data = self.data if self.data is not None and not Path(self.data).exists() else None
        preprocess = self.named_preprocess
        if preprocess is not None and spec.is_spec(preprocess):
            preprocess = None
        metric = (self.metric or "").removeprefix(DECODER)
        student = self.compress.student if self.compress else None
        training = self.compress.data if self.compress and not Path(self.compress.data).exists() else None
        named = (self.arch, data, preprocess, self.training_transform, metric, student, training)
        found = (CODE.fullmatch(text) for text in named if text)
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
        training = self.compress.data if self.compress else None
        return tuple(Path(path) for path in (self.data, training, self.labels, self.named_preprocess) if path)


def read_budget(max_drop: str | float | None, max_rise: str | float | None) -> Budget:
    """The budget of ``--max-drop`` or ``--max-rise``: ``1%`` is a part of the original's score, a plain number is in the metric's units.

    The default is 1 %, in the direction that fits the metric. Raises UsageError for both at once and for what is not a number of this form.
    """
    if max_drop is not None and max_rise is not None:
        raise UsageError("--max-drop and --max-rise are for different metrics: give the one that fits yours")
    if max_drop is None and max_rise is None:
        return Budget()
    option, value = ("--max-drop", max_drop) if max_drop is not None else ("--max-rise", max_rise)
    text = str(value).strip()
    try:
        amount = float(text.removesuffix("%"))
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf") or (text.endswith("%") and amount > 100):
        raise UsageError(
            f"{option} {text}: give a percentage of the original's score such as 1%, or a number in the metric's units such as 0.01"
        )
    return Budget(amount / 100 if text.endswith("%") else amount, text.endswith("%"), "drop" if max_drop is not None else "rise")


def read_compression(
    ways: Sequence[str], data: str | None, minutes: float, student: str | None, *, flip: bool = False, crop: int = 0
) -> Compression | None:
    """What ``--compress`` and the options beside it ask for; ``None`` where nothing is.

    Raises UsageError where one of them is missing, or is there without the others.
    """
    if not ways:
        if data or student or flip or crop:
            raise UsageError("--train-data and the other options of training are for a smaller model: say how with --compress prune,distil")
        return None
    if not data:
        raise UsageError("--compress trains, and needs data for that beside the data in --data: name it with --train-data")
    return Compression(tuple(dict.fromkeys(ways)), data, 60 * minutes, student, flip, crop)
