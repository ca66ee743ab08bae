"""``roadworthy predict`` for texts and sounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from roadworthy.cli.predict import command
from roadworthy.core.errors import DataError
from roadworthy.serving.engine.local import LocalEngine
from support.files import wav_files
from support.models import item_bundles


def asked(*arguments: object) -> str:
    run = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
    assert run.exit_code == 0, run.output
    return run.output


def test_a_text_a_file_of_text_and_a_sound(tmp_path: Path) -> None:
    texts, sounds = item_bundles.write_text(tmp_path / "texts"), item_bundles.write_audio(tmp_path / "sounds")
    (tmp_path / "a.txt").write_text("a good film")
    (tmp_path / "a.wav").write_bytes(wav_files.wav(wav_files.tone(12)))
    with LocalEngine(texts) as model:
        best = model("a good film").ranked[0][0].label
    with LocalEngine(sounds) as model:
        heard = model(tmp_path / "a.wav").ranked[0][0].label
    plain = asked(texts, tmp_path / "a.txt", "--text", "a good film").splitlines()
    assert plain[0].startswith(f"{tmp_path}/a.txt: {best} ") and plain[1].startswith(f"'a good film': {best} ")
    found = json.loads(asked(texts, "--text", "a good film", "--text", "bad", "--json"))
    assert [one["text"] for one in found] == ["a good film", "bad"] and found[0]["samples"][0][0]["label"] == best
    assert asked(sounds, tmp_path / "a.wav").startswith(f"{tmp_path}/a.wav: {heard} ")
    with pytest.raises(DataError, match="takes no texts"):
        asked(sounds, "--text", "a")
    assert CliRunner().invoke(command, [str(sounds)]).exit_code == 2
