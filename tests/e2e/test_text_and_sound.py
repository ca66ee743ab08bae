"""A classifier of texts and one of sounds from training to a served answer: the steps are the same in the data, the bundle and the call."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

import roadworthy as rw
from roadworthy.bundle import store
from roadworthy.preprocess.texts import TextReader
from support import short_races
from support.files import wav_files
from support.models import tokenizers

pytestmark = [pytest.mark.slow, pytest.mark.soak]

WORDS = ("good", "film", "about", "dogs", "bad", "cats")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    short_races.shorten(monkeypatch.setattr)


class Reads(torch.nn.Module):
    """The mean of the embeddings of all tokens that the mask does not hide."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(120, 8), torch.nn.Linear(8, 2)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        held = self.embedding(ids) * mask[..., None]
        return self.head(held.sum(1) / mask.sum(1, keepdim=True))


def test_texts_of_any_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tokenizers.word_piece(tmp_path)
    (tmp_path / "texts.toml").write_text('[text]\ntokenizer = "tokenizer.json"\npadding = "longest"\n[answer]\nlabels = ["sad", "glad"]\n')
    generator = np.random.default_rng(0)
    reviews = [" ".join(generator.choice(WORDS, generator.integers(1, 9))) for _ in range(60)]
    model, labels = Reads().eval(), [number % 2 for number in range(60)]
    rw.deploy(
        model, tmp_path / "bundle", data=(reviews, labels), preprocess=tmp_path / "texts.toml", runtimes=["onnxruntime"],
        precisions=["fp32"], seconds=300, inputs=["ids:int64[batch,tokens]", "mask:float32[batch,tokens]"],
    )  # fmt: skip
    path.unlink()
    manifest = store.read(tmp_path / "bundle")
    assert manifest.contract.text is not None and manifest.contract.text.inputs == {"ids": "ids", "mask": "mask"}
    assert "tokenizer.json" in {file.path for file in manifest.files}
    assert "tokenizers==" in (tmp_path / "bundle" / "deploy" / "requirements.txt").read_text()
    assert "tokenized by tokenizer.json" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "tokenized by tokenizer.json" in (tmp_path / "bundle" / "report.html").read_text()
    with rw.load(tmp_path / "bundle") as engine:
        reader = TextReader(manifest.contract.text, engine.signature.inputs, tmp_path / "bundle")
        for given in (["good film"], ["a good film about dogs and many more words than before"], ["bad", "good film about cats"], [""]):
            tokens = reader.many(given)
            with torch.no_grad():
                want = model(*(torch.tensor(tokens[name]) for name in ("ids", "mask"))).numpy()
            found = engine(given)
            np.testing.assert_allclose(found.outputs["output"], want, atol=1e-5)
            assert {one.label for one in found.ranked[0]} == {"sad", "glad"}
        # Alone or beside a longer one, a text has the same answer.
        together = engine(["bad", "good film about cats and dogs"]).outputs["output"]
        np.testing.assert_allclose(engine("bad").outputs["output"][0], together[0], atol=1e-5)


def test_sounds_of_another_rate_and_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for number in range(24):
        name, pitch = ("low", 220) if number % 2 else ("high", 880)
        (tmp_path / "sounds" / name).mkdir(parents=True, exist_ok=True)
        with wave.open(str(tmp_path / "sounds" / name / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(wav_files.tone(300 + 10 * number, pitch + number, 8000).tobytes())
    (tmp_path / "sounds.toml").write_text("[audio]\nrate = 16000\nlength = 800\npeak = true\n")
    model = torch.nn.Sequential(
        torch.nn.Conv1d(1, 4, 32, stride=8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    ).eval()
    rw.deploy(
        model, tmp_path / "bundle", data=tmp_path / "sounds", preprocess=tmp_path / "sounds.toml", runtimes=["onnxruntime"],
        precisions=["fp32"], seconds=300,
    )  # fmt: skip
    with rw.load(tmp_path / "bundle") as engine:
        assert engine.kind == "audio" and engine.signature.inputs[0].sample_shape == (1, 800)
        file = tmp_path / "sounds" / "low" / "1.wav"
        feeds = engine.feeds(file)
        with torch.no_grad():
            want = model(torch.tensor(next(iter(feeds.values())))).numpy()
        found = engine(file)
        np.testing.assert_allclose(next(iter(found.outputs.values())), want, atol=1e-5)
        assert {one.label for one in found.ranked[0]} == {"low", "high"}
