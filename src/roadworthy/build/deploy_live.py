"""``roadworthy.deploy`` in Python: a live model and arrays in memory are written to files and deployed as those are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from roadworthy.build import preprocessing, sources, verify
from roadworthy.build.data.live import forms, spool
from roadworthy.build.data.live.values import array_of
from roadworthy.build.data.live.wanted import Wanted
from roadworthy.build.deploy import Deployment, deploy
from roadworthy.build.job import DECODER, Job, Objective, read_budget, read_compression
from roadworthy.build.workspace import Notify
from roadworthy.core.errors import UsageError
from roadworthy.core.isolation import callables
from roadworthy.core.isolation.scratch import Directory
from roadworthy.core.types import Array, Fixed, Stated, TensorSpec
from roadworthy.preprocess import spec


def deploy_live(
    model: Any,
    output: Path | str,
    *,
    example_inputs: Any = None,
    data: Any = None,
    targets: Sequence[str] = (),
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    arch: str | None = None,
    weights: str = "",
    signature: str = "",
    labels: Sequence[str] | Mapping[int, str] | Path | str | None = None,
    preprocess: Any = None,
    pixels: bool = False,
    training_transform: str | Callable[..., Any] | None = None,
    metric: str | Callable[..., Any] | tuple[str, Callable[..., Any]] | None = None,
    max_drop: str | float | None = None,
    max_rise: str | float | None = None,
    objective: Objective = "latency",
    runtimes: Sequence[str] = (),
    precisions: Sequence[str] = (),
    plans: Sequence[str] = (),
    samples: int | None = None,
    seconds: float = 1800.0,
    memory_mb: int = 0,
    name: str = "",
    version: str = "1",
    trust: bool = False,
    allow_training: bool = False,
    allow_framework: bool = False,
    cache: bool = True,
    graphs: bool = True,
    exports: Sequence[str] = (),
    compress: Sequence[str] = (),
    train_data: str | None = None,
    train_minutes: float = 10.0,
    train_flip: bool = False,
    train_crop: int = 0,
    student: str | None = None,
    notify: Notify = lambda progress: None,
) -> Deployment:
    """Deploy ``model``: the path of a source, or a live model of PyTorch, Keras or TensorFlow, which is not changed.

    ``example_inputs`` (an array or tensor, several, or a mapping by name) are one call, and show the inputs of the model where ``data``
    does not. The axis that counts the samples is found by running the model; it has the same size in each of them.
    ``data`` is what ``--data`` takes, or samples in memory in any form of docs/data.md: arrays, ``(x, y)``, data sets of the
    frameworks, generators. Of what does not end, ``samples`` says how many are taken. ``targets`` names those of its arrays or columns
    that answers are compared with. ``labels`` are a file, names in the order of the outputs, or names by index. ``metric`` is a name, a
    function as ``--metric`` takes them (see ``verify.metrics.own``), or ``("map", decoder)``. ``max_drop`` and ``max_rise`` are parts of
    the original's score (``"1%"``) or in the metric's units (``0.01``). ``preprocess`` is what ``--preprocess`` takes, or an object
    (docs/preprocessing.md): torchvision's transforms or weights, timm's ``pretrained_cfg``, a processor of transformers, layers of
    Keras; without it a live model of timm brings its own. With ``pixels`` the deployed model takes uint8 pixels [batch, height, width,
    channels], and normalisation and layout are part of it. ``training_transform`` is training's own transform of one image, or its name:
    it is run on the images of the data and compared with ``preprocess``, or read where that is not given. All others are as for the
    command (see ``Job``): ``seconds`` is the time for the whole deployment, ``memory_mb`` the limit of each step in MiB (0: most of the
    host's memory). ``cache`` says whether graphs and candidates' files that an earlier deployment made from the same content are used
    again. ``exports`` are the targets that the bundle is exported to at once; without ``graphs`` it cannot be exported later.
    ``compress`` are ways to a smaller model (``prune``, ``distil``, ``quantise``), which learns from ``train_data`` for ``train_minutes``;
    ``student`` is ``FILE.py:CALLABLE`` of a smaller network of yours. ``train_flip`` and ``train_crop`` change training images at random.
    ``notify`` is told of the progress. Raises UsageError, SourceError, DataError, NoCandidate and other errors of ``core.errors``.
    """
    with Directory() as made:
        scratch = made.path
        specs, stated = sources.parse_inputs(inputs)
        shown = not specs and example_inputs is not None
        live = None if isinstance(model, str | Path) else model
        if isinstance(model, str | Path):
            source = Path(model)
            if example_inputs is not None and not isinstance(example_inputs, Mapping):
                raise UsageError("the example inputs of a file must be named: example_inputs={'image': array}")
            specs = _beside(specs, stated, _specs(live, example_inputs))
            given, _ = _data_file(data, Wanted(_open(specs, stated), tuple(targets), samples), scratch)
            shapes = specs
        else:
            specs = _beside(specs, stated, _specs(model, example_inputs))
            names = _open(specs, stated) or tuple(name for name in sources.required(model) if name not in {spec.name for spec in specs})
            optional = tuple(name for name in sources.parameters(model) if name not in names)
            given, seen = _data_file(data, Wanted(names, tuple(targets), samples, optional), scratch)
            shapes = _beside(specs, stated, _specs(model, seen))
            source = sources.save_live(model, scratch, shapes).path
            trust, name = True, name or type(model).__name__
        job = Job(
            source,
            Path(output),
            arch=arch,
            weights=weights,
            signature=signature,
            outputs=tuple(outputs),
            inputs=specs,
            examples=tuple(array.shape for array in _by_name(live, example_inputs).values()) if shown else (),
            stated=stated,
            data=given,
            targets=tuple(targets) if isinstance(data, str | Path) else (),
            labels=_labels_file(labels if labels is not None else _names_of(live, preprocess), scratch),
            preprocess=_preprocessing(preprocess, live if training_transform is None else None, shapes, scratch),
            pixels=pixels,
            training_transform=_kept(training_transform, scratch),
            metric=_metric_name(metric, scratch),
            budget=read_budget(max_drop, max_rise),
            objective=objective,
            runtimes=tuple(runtimes),
            precisions=tuple(precisions),
            plans=tuple(plans),
            samples=samples,
            seconds=seconds,
            memory_mb=memory_mb,
            name=name,
            version=version,
            trust=trust,
            allow_training=allow_training,
            allow_framework=allow_framework,
            cache=cache,
            graphs=graphs,
            exports=tuple(exports),
            compress=read_compression(compress, train_data, train_minutes, student, flip=train_flip, crop=train_crop),
        )
        return deploy(job, notify)


def _preprocessing(preprocess: Any, model: Any, inputs: tuple[TensorSpec, ...], scratch: Path) -> str | None:
    """What the job takes for ``preprocess``: its text, or the file of what the object, or else the live model, says."""
    if isinstance(preprocess, str | Path):
        return str(preprocess)
    if preprocess is not None:
        return str(preprocessing.write_live(preprocess, scratch))
    found = None if model is None else preprocessing.write_of_model(model, inputs, scratch)
    return None if found is None else str(found)


def _names_of(model: Any, preprocess: Any) -> tuple[str, ...] | None:
    """The names of a live model's classes; None where it has none, and where the user's own file of preprocessing states some."""
    if model is None:
        return None
    if isinstance(preprocess, str | Path) and spec.is_spec(str(preprocess)) and spec.read(preprocess).answer.labels:
        return None
    return sources.labels(model) or None


def _beside(said: tuple[TensorSpec, ...], stated: tuple[Stated, ...], shown: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """The inputs as said, and those that the examples show where only inputs of one fixed value were said."""
    fixed = {one.name for one in stated if isinstance(one, Fixed)}
    if not {spec.name for spec in said} <= fixed:
        return said
    return (*(spec for spec in shown if spec.name not in fixed), *said)


def _open(said: tuple[TensorSpec, ...], stated: tuple[Stated, ...]) -> tuple[str, ...]:
    """The inputs that data must hold: those that have no fixed value."""
    fixed = {one.name for one in stated if isinstance(one, Fixed)}
    return tuple(spec.name for spec in said if spec.name not in fixed)


def _specs(model: Any, examples: Any) -> tuple[TensorSpec, ...]:
    """The inputs as the examples show them; positional ones take the names of the model's own parameters."""
    arrays = _by_name(model, examples)
    samples = next((len(array) for array in arrays.values() if array.ndim), 0)
    floats = None if model is None else sources.float_type(model)
    dtypes = {name: floats if floats and array.dtype.kind == "f" else str(array.dtype) for name, array in arrays.items()}
    return tuple(sources.in_call(TensorSpec(name, dtypes[name], array.shape), samples) for name, array in arrays.items())


def _by_name(model: Any, examples: Any) -> dict[str, Array]:
    if examples is None:
        return {}
    named = examples if model is None else sources.named_examples(model, examples)
    return {name: array_of(example, f"the example for {name!r}") for name, example in named.items()}


def _data_file(data: Any, wanted: Wanted, scratch: Path) -> tuple[str | None, Any]:
    """Where the samples of ``data`` are for other processes, and the arrays that show the inputs; ``None`` for those of a file."""
    if data is None or isinstance(data, str | Path):
        return None if data is None else str(data), None
    samples = spool.hand_over(forms.read(data, wanted, "the data"), scratch / "data")
    return str(samples.path), samples.open()


def _metric_name(metric: str | Callable[..., Any] | tuple[str, Callable[..., Any]] | None, scratch: Path) -> str | None:
    """The metric's name in any process: a function in memory is written to a file."""
    if metric is None or isinstance(metric, str):
        return metric
    if isinstance(metric, tuple):
        if len(metric) != 2 or metric[0] != "map" or not callable(metric[1]):
            raise UsageError("a metric of two parts is ('map', decoder), with your function that turns outputs into boxes")
        return f"{DECODER}{verify.keep_function(metric[1], scratch)}"
    if not callable(metric):
        raise UsageError(f"metric is a {type(metric).__name__}; give a name or a function")
    return verify.keep_function(metric, scratch)


def _kept(transform: str | Callable[..., Any] | None, scratch: Path) -> str | None:
    """The transform's name in any process: one in memory is written to a file."""
    if transform is None or isinstance(transform, str):
        return transform
    if not callable(transform):
        raise UsageError(f"training_transform is a {type(transform).__name__}; give a callable that takes an image, or its name")
    return callables.keep(transform, scratch, "training transform")


def _labels_file(labels: Sequence[str] | Mapping[int, str] | Path | str | None, scratch: Path) -> Path | None:
    if labels is None or isinstance(labels, str | Path):
        return None if labels is None else Path(labels)
    path = scratch / "labels.json"
    named = {str(index): str(name) for index, name in labels.items()} if isinstance(labels, Mapping) else [str(name) for name in labels]
    path.write_text(json.dumps(named), encoding="utf-8")
    return path
