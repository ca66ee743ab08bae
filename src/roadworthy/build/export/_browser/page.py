"""What ``finish`` adds to the model of an export: the page, what it says and how it reads images and answers, and how it is run."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined, Template

from roadworthy.build.export._browser.flavour import Flavour
from roadworthy.build.exported import Export
from roadworthy.core import codec
from roadworthy.core.types import Quantization, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.steps import Step
from roadworthy.runtimes.exported._browser.held import PageModel

PAGE = Path(__file__).with_name("page")
NAME = "page.json"
KINDS = (
    "decode",
    "resize",
    "letterbox",
    "crop",
    "crop_fraction",
    "crop_to_aspect",
    "grey",
    "reverse_channels",
    "channels_first",
    "normalize",
)
"""The steps that ``js/preprocess/steps.js`` and ``decode.js`` carry out."""


@dataclass(frozen=True)
class PageTensor:
    """An input or output of the signature, as the page feeds and reads it."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    sample_axis: int | None
    quantization: Quantization | None


@dataclass(frozen=True)
class PageFacts:
    """``page.json``. ``threads`` is how many the model was found fastest on; ``gate`` the largest error that its answers may have.

    ``refused`` says in words why the page takes no images, and is empty where it does; ``described`` are the steps in words.
    """

    name: str
    version: str
    threads: int
    gate: float
    inputs: tuple[PageTensor, ...]
    outputs: tuple[PageTensor, ...]
    steps: tuple[Step, ...]
    described: tuple[str, ...]
    refused: str
    answer: Answer


def write(export: Export, model: PageModel, out: Path) -> None:
    """``index.html``, ``page.css`` and ``page.json`` beside the ``model`` in ``out``."""
    signature = export.signature.fixed(export.plan.batch) if export.plan.batch else export.signature
    inputs, outputs = (tuple(map(_tensor, specs)) for specs in (signature.inputs, signature.outputs))
    refused = refusal(export.contract, signature.inputs)
    facts = PageFacts(
        export.name, export.version, export.plan.threads, export.gate, inputs, outputs,
        () if refused else export.contract.image, export.contract.describe(), refused, export.contract.answer,
    )  # fmt: skip
    (out / NAME).write_bytes(codec.to_json(facts, indent=1))
    _render("index.html.j2", out / "index.html", policy=model.policy, imports=model.import_map)
    shutil.copyfile(PAGE / "page.css", out / "page.css")


def instructions(export: Export, flavour: Flavour, model: PageModel) -> str:
    """How the page of ``model`` is run, used and served, and its limits, in Markdown."""
    signature = export.signature.fixed(export.plan.batch or 1)
    return _template("README.md.j2", escaped=False).render(
        refused=refusal(export.contract, export.signature.inputs),
        threads=export.plan.threads,
        policy=model.policy,
        imports=model.import_map,
        packages=" and ".join(f"{package.name} {package.version}" for package in flavour.packages),
        inputs=[_example(spec) for spec in signature.inputs],
        output=signature.outputs[0].name,
        limits=flavour.limits,
    )


@dataclass(frozen=True)
class ExampleInput:
    """An input in the example of the README: the JavaScript ``array`` of its dtype, and how many numbers one call holds."""

    name: str
    dtype: str
    shape: list[int]
    array: str
    count: int


def _example(spec: TensorSpec) -> ExampleInput:
    shape = [size if isinstance(size, int) else 1 for size in spec.shape]
    kind = np.dtype(spec.dtype)
    array = {"f": "Float", "i": "Int", "u": "Uint", "b": "Uint"}[kind.kind] + f"{kind.itemsize * 8}Array"
    return ExampleInput(
        spec.name, spec.dtype, shape, f"Big{array}" if kind.kind in "iu" and kind.itemsize == 8 else array, math.prod(shape)
    )


def _render(name: str, file: Path, **values: object) -> None:
    file.write_text(_template(name, escaped=True).render(values), encoding="utf-8")


def _template(name: str, *, escaped: bool) -> Template:
    environment = Environment(autoescape=escaped, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string((PAGE / name).read_text(encoding="utf-8"))


def refusal(contract: Contract, inputs: tuple[TensorSpec, ...]) -> str:
    """Why the page takes no images, in a sentence; empty where it does."""
    if contract.text is not None or contract.audio is not None:
        return f"This page prepares no {'texts' if contract.text is not None else 'sounds'}: call the model with tensors (see README.md)."
    if not contract.image:
        return "The bundle does not say how an image becomes the model's input: call the model with tensors (see README.md)."
    if lacking := [kind for step in contract.image if (kind := step.__struct_config__.tag) not in KINDS]:
        return f"This page cannot carry out the step {lacking[0]}: call the model with tensors (see README.md)."
    if len(inputs) != 1 or inputs[0].sample_axis is None:
        return "The model takes more than one image: call it with tensors (see README.md)."
    return ""


def _tensor(spec: TensorSpec) -> PageTensor:
    return PageTensor(spec.name, spec.dtype, spec.shape, spec.sample_axis, spec.quantization)
