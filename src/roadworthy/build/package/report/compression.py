"""The report's section on the search for a smaller model: every step, what it cut, what it was taught, and why it stayed or left."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from roadworthy.bundle.certificate import Certificate

if TYPE_CHECKING:
    from jinja2 import Environment


def render(certificate: Certificate, environment: Environment) -> str:
    """The section as HTML; empty where no smaller model was looked for."""
    if certificate.compression is None:
        return ""
    text = files("roadworthy.build.package.report").joinpath("compression.html.j2").read_text()
    return environment.from_string(text).render(c=certificate, proof=certificate.compression)
