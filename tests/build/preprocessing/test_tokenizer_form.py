"""A tokenizer's file as the user names it, and beside a model in a folder of Hugging Face."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.build.preprocessing import ReadRequest, read_step
from roadworthy.core.errors import DataError
from roadworthy.core.stages import Source
from support.models import tokenizers


def request(asked: Path | None, source: Path) -> ReadRequest:
    return ReadRequest(str(asked) if asked else None, Source(source, "torch", "torch", "0" * 64, 1), "CHW")


def test_named_or_in_a_folder(tmp_path: Path) -> None:
    path = tokenizers.word_piece(tmp_path, model_max_length=512)
    other = path.rename(tmp_path / "words.json")
    tokenizers.word_piece(tmp_path, model_max_length=512)
    for asked in (path, other, tmp_path):
        found = read_step(request(asked, tmp_path / "model.pt"))
        assert found is not None and found.contract.text is not None and found.contract.kind == "text"
        # The file's own limit comes before that of the configuration, and the reader says so.
        assert found.contract.text.length == 12 and Path(found.contract.text.file).parent == tmp_path
        assert any("the truncation of" in note.text for note in found.notes) and any("padded to 12" in note.text for note in found.notes)


def test_beside_a_model_of_hugging_face_alone(tmp_path: Path) -> None:
    tokenizers.word_piece(tmp_path)
    weights = tmp_path / "model.safetensors"
    assert read_step(request(None, weights)) is None
    (tmp_path / "config.json").write_text("{}")
    for source in (weights, tmp_path):
        found = read_step(request(None, source))
        assert found is not None and found.contract.text is not None
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(DataError, match="does not name its class"):
        read_step(request(tmp_path, weights))
