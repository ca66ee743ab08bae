"""From an untrusted file to the live original, proven to be in inference mode; static inspection comes first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from roadworthy.build.sources import formats
from roadworthy.build.sources.identify import IdentifyRequest, identify, identify_step, layout, layout_of, may_be_quantised
from roadworthy.build.sources.input_syntax import option as input_option
from roadworthy.build.sources.input_syntax import parse as parse_input
from roadworthy.build.sources.input_syntax import parse_all as parse_inputs
from roadworthy.build.sources.inputs import in_call
from roadworthy.build.sources.inspect import Inspection, InspectRequest, inspect, inspect_step
from roadworthy.build.sources.model import Model, Opened
from roadworthy.build.sources.samples.fixed import filled as with_fixed
from roadworthy.build.sources.samples.fixed import split as bound_inputs
from roadworthy.build.sources.samples.made import COUNT as MADE
from roadworthy.build.sources.samples.made import Fill, Making, guessed
from roadworthy.build.sources.samples.made import blocks as made_pictures
from roadworthy.build.sources.samples.made import notes as made_notes
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, InnerLayer, Source
from roadworthy.core.types import Signature, TensorSpec

__all__ = [
    "MADE", "IdentifyRequest", "InspectRequest", "Inspection", "LoadRequest", "Loaded", "Making", "bound_inputs", "float_type", "guessed",
    "identify", "identify_step", "in_call", "input_option", "inspect", "inspect_step", "labels", "layout", "layout_of", "load",
    "made_notes", "made_pictures", "may_be_quantised", "named_examples", "parameters", "parse_input", "parse_inputs", "required",
    "save_live", "with_fixed",
]  # fmt: skip


NO_MAKING = Making()


@dataclass(frozen=True)
class LoadRequest:
    """``inputs`` as the user stated them, maybe none; ``samples`` to infer them from and to prove with; ``out`` is made if missing.

    With ``allow_training`` behaviour of training mode is intended: it is recorded, and not refused. ``making`` says how samples
    are made up where there are none. ``examples`` are the shapes of the arrays that ``inputs`` were read from, where those are the
    user's example inputs: any axis of one call may count the samples.
    """

    source: Source
    inputs: tuple[TensorSpec, ...]
    samples: SampleSet | None
    out: Path
    allow_training: bool = False
    making: Making = NO_MAKING
    examples: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Loaded:
    """The original as a graph, in the format that its reader keeps it in. ``proofs`` and ``notes`` are sentences for the certificate.

    Where no samples were given, ``fills`` says what each input was fed, and ``samples`` are those that were made up; else these are the
    given ones in the form that the model takes. ``inner`` are parts of the live model that seem to normalise pixels. ``trained`` is the
    graph of the model as it was trained, where ``graph`` has steps in front of it.
    """

    graph: Graph
    parameters: int
    proofs: tuple[str, ...]
    notes: tuple[str, ...]
    samples: SampleSet | None = None
    fills: tuple[Fill, ...] = ()
    inner: tuple[InnerLayer, ...] = ()
    trained: Graph | None = None

    @property
    def signature(self) -> Signature:
        """What the original takes and gives."""
        return self.graph.signature


def load(request: LoadRequest) -> Loaded:
    """A step for ``isolate.call``: read the source, prove inference mode, learn the signature, keep the original as a file.

    Raises the leaves of SourceError, and UsageError for an ``arch`` or an input that does not fit.
    """
    source = replace(request.source, inputs=request.inputs)
    request.out.mkdir(parents=True, exist_ok=True)
    opened = formats.named(source.kind).open(source)
    if isinstance(opened, Opened):
        from roadworthy.build.sources.torch import module

        # Before the samples take the form that the module runs on.
        opened = module.in_float32(opened)
        if source.holder and not (request.inputs or opened.inputs):
            request = replace(request, inputs=module.named_as_called(opened, source.takes))
    samples, changes = _fitted(opened, request)
    loaded = _proven(opened, replace(request, samples=samples))
    return replace(loaded, samples=samples or loaded.samples, notes=(*source.notes, *loaded.notes, *changes))


def _fitted(opened: Model | Opened, request: LoadRequest) -> tuple[SampleSet | None, tuple[str, ...]]:
    """The given samples as the model takes them, and what changed; ``None`` where none were given."""
    if request.samples is None:
        return None, ()
    from roadworthy.build.sources.samples import fit

    if isinstance(opened, Model):
        taker = fit.Taker(opened.inputs or request.inputs, (), opened.call)
    else:
        from roadworthy.build.sources.torch import taker as torch_taker

        taker = torch_taker.taker(opened, request.inputs)
    values = {one.name: one.array for one in bound_inputs(request.inputs, request.making.stated)[1]}
    if values:
        call = taker.call
        taker = replace(
            taker,
            specs=tuple(spec for spec in taker.specs if spec.name not in values),
            names=tuple(name for name in taker.names if name not in values),
            call=lambda arrays: call({**arrays, **values}),
        )
    return fit.fitted(request.samples, taker, request.out.with_name(f"{request.out.name}-samples"))


def _proven(opened: Model | Opened, request: LoadRequest) -> Loaded:
    if isinstance(opened, Model):
        from roadworthy.build.sources import infer_signature

        return infer_signature.prove_and_keep(
            opened, request.inputs, request.samples, request.out, allow=request.allow_training, making=request.making,
            examples=request.examples,
        )  # fmt: skip
    from roadworthy.build.sources.torch import module

    return module.prove_and_save(
        opened, request.inputs, request.samples, request.out, allow=request.allow_training, making=request.making, examples=request.examples
    )


def save_live(model: Any, out: Path, inputs: tuple[TensorSpec, ...] = ()) -> Source:
    """Keep a live model of the caller's process as a file in ``out``: the Source that ``load`` reads in another.

    ``model`` is an nn.Module, an ExportedProgram, a Keras model or a tf.Module; the object itself does not change: neither its
    mode, nor its device, nor its weights. ``inputs`` is what is known of its inputs. Raises UsageError for anything else.
    """
    from roadworthy.build.sources import live_model

    return live_model.save(model, out, inputs)


def required(model: Any) -> tuple[str, ...]:
    """The names of the inputs that a live model cannot do without, in the order of its call."""
    from roadworthy.build.sources import live_model

    return live_model.required(model)


def labels(model: Any) -> tuple[str, ...]:
    """The names of the classes that a live model carries, in the order of its outputs."""
    from roadworthy.build.sources import live_model

    return live_model.labels(model)


def float_type(model: Any) -> str:
    """The dtype of a live model's floats."""
    from roadworthy.build.sources import live_model

    return live_model.float_type(model)


def parameters(model: Any) -> tuple[str, ...]:
    """The names of a live model's inputs, in the order of its call."""
    from roadworthy.build.sources import live_model

    return live_model.parameters(model)


def named_examples(model: Any, examples: Any) -> dict[str, Any]:
    """Example inputs of a live model by the names of its inputs; see ``live_model.named_examples``."""
    from roadworthy.build.sources import live_model

    return live_model.named_examples(model, examples)
