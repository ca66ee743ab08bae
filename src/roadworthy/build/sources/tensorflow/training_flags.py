"""Placeholders that switch training on and off, recognised by name: each is fed the value for inference in every call."""

from __future__ import annotations

import re

from roadworthy.frameworks.tensorflow.entry import Constant

TRAINING = frozenset({
    "istraining", "istrain", "training", "train", "trainmode", "trainingmode", "modetrain", "trainphase", "trainingphase", "phasetrain",
    "phase", "istrainingphase", "istrainphase", "trainflag", "trainingflag", "traintime", "learningphase", "keraslearningphase",
    "bntraining", "bntrain", "bnistraining", "intraining", "usedropout", "applydropout",
})  # fmt: skip
"""False means inference. Written without case, digits and punctuation."""
INFERENCE = frozenset(
    {"istest", "istesting", "testing", "testmode", "testphase", "isinference", "inference", "isinfer", "iseval", "evalmode"}
)
UNNAMED = "placeholder"
"""TensorFlow's name for a placeholder without one. A single truth value that is fed to a model is taken for such a switch."""


def constant(
    tensor: str, dtype: str, shape: tuple[int | str, ...] | None, *, used: float | None = None, drawn: bool = False
) -> Constant | None:
    """What the placeholder ``tensor`` (``scope/is_training:0``) is fed in inference; ``None`` where it is an ordinary input.

    ``shape`` is ``None`` where the file does not state one; a flag is a single value. ``used`` is the value that switches off the
    dropout that uses it, where the graph shows one: under the same name it was the share to keep in 2016, and is the share to drop today.
    ``drawn`` says that the graph holds it against a random number, so that a placeholder without a name is such a share too.
    """
    if shape:
        return None
    name = re.sub(r"[^a-z]", "", tensor.partition(":")[0].rpartition("/")[2].lower())
    value = _truth(name, dtype) if dtype == "bool" or dtype.startswith("int") else _share(name, used, drawn) if "float" in dtype else None
    return None if value is None else Constant(tensor, dtype, value)


def said(constants: tuple[Constant, ...]) -> tuple[str, ...]:
    """A sentence for the certificate about the flags, if there are any."""
    flags = [one for one in constants if not one.stated]
    if not flags:
        return ()
    fed = ", ".join(f"{one.tensor.removesuffix(':0')} = {str(one.value).lower()}" for one in flags)
    return (f"in inference mode by its training flags: {fed} in every call",)


def _truth(name: str, dtype: str) -> bool | int | None:
    if name in INFERENCE:
        return True if dtype == "bool" else 1
    if name in TRAINING or (name == UNNAMED and dtype == "bool"):
        return False if dtype == "bool" else 0
    return None


def _share(name: str, used: float | None, drawn: bool) -> float | None:
    if "keep" in name or "drop" in name:
        return used if used is not None else 1.0 if "keep" in name else 0.0
    return used if drawn and name == UNNAMED else None
