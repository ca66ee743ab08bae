"""Bundles of texts and of sounds on the null runtime."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from roadworthy.bundle import store
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.sound.sounds import AudioSteps
from roadworthy.preprocess.texts import TextReader
from support.models import bundles, tokenizers

LENGTH = bundles.FEATURES
LABELS = ("calm", "glad", "sad", "angry")
ANSWER = Answer("softmax", 2, LABELS)
TEXTS = Signature(
    (TensorSpec("input_ids", "int64", ("batch", LENGTH)), TensorSpec("attention_mask", "float32", ("batch", LENGTH))),
    (TensorSpec("y", "float32", ("batch", 4)),),
)
LONGEST = Signature(
    (TensorSpec("input_ids", "int64", ("batch", "tokens")), TensorSpec("attention_mask", "float32", ("batch", "tokens"))),
    (TensorSpec("y", "float32", ("batch", 1)),),
)
AUDIO = Contract(answer=ANSWER, audio=AudioSteps(16000, length=LENGTH))


def write_text(target: Path, name: str = "texts") -> Path:
    """A bundle that maps the ids of a text linearly, and takes a mask that it does not use; its tokenizer is trained here."""
    with tempfile.TemporaryDirectory() as scratch:
        path = tokenizers.word_piece(Path(scratch))
        contract = Contract(answer=ANSWER, text=tokenizers.steps(path)).bound(TEXTS.inputs)
        assert contract.text is not None
        inputs = TextReader(contract.text, TEXTS.inputs).many(tokenizers.TEXTS)
        held = bundles.weights(TEXTS)
        answers = inputs["input_ids"].astype(np.float32) @ held["weight"] + held["bias"]
        golden = {f"in.{key}": array for key, array in inputs.items()} | {"out.y": answers}
        bundles.write_bundle(target, name=name, signature=TEXTS, contract=Contract(answer=ANSWER), golden=golden)
        packed = contract.packed()
        shutil.copyfile(contract.files[0], target / packed.files[0])
    manifest = store.manifests.parse((target / "manifest.json").read_bytes(), str(target))
    store.seal(target, store.replace(manifest, contract=packed))
    return target


def write_audio(target: Path, name: str = "sounds") -> Path:
    """A bundle that maps the first samples of a sound linearly."""
    return bundles.write_bundle(target, name=name, contract=AUDIO)
