"""The report's section on the preprocessing: its steps, where they were read, training's transform beside them, and the conventions."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from roadworthy.bundle.certificate import Certificate

if TYPE_CHECKING:
    from jinja2 import Environment


def render(certificate: Certificate, environment: Environment) -> str:
    """The section as HTML; empty where the model takes tensors as they are."""
    if not certificate.preprocessing:
        return ""
    text = files("roadworthy.build.package.report").joinpath("preprocessing.html.j2").read_text()
    return environment.from_string(text).render(c=certificate, proof=certificate.preprocessing_proof)
