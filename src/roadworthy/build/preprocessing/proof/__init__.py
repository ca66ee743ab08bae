"""The preprocessing proven: training's own transform on the same images, and the usual conventions to try on labelled ones."""

from roadworthy.build.preprocessing.proof.conventions import Usual, plain, preset_of, usual
from roadworthy.build.preprocessing.proof.prove import Nearest, NearestRequest, ProofRequest, Proven, nearest_step, prove_step
from roadworthy.build.preprocessing.proof.toml import of_steps

__all__ = [
    "Nearest",
    "NearestRequest",
    "ProofRequest",
    "Proven",
    "Usual",
    "nearest_step",
    "of_steps",
    "plain",
    "preset_of",
    "prove_step",
    "usual",
]
