"""Templates of exports are filled in one pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.build.export._templates import filled


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "with_a_template").mkdir()
    (tmp_path / "with_a_template" / "__init__.py").touch()
    (tmp_path / "with_a_template" / "hello.template").write_text("@NAME@ at home@example.com: @WHAT@\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "with_a_template"


def test_what_goes_in_is_not_filled_itself(package: str) -> None:
    assert filled(package, "hello.template", {"NAME": "@WHAT@", "WHAT": "bread"}) == "@WHAT@ at home@example.com: bread\n"


def test_a_word_without_a_text_is_an_error(package: str) -> None:
    with pytest.raises(KeyError, match="WHAT"):
        filled(package, "hello.template", {"NAME": "a"})
