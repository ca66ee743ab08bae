"""The programs of the pages on data run as they stand, up to the model that is loaded and proven on their samples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build import deploy_live
from roadworthy.build.certificate import Data
from roadworthy.build.data import file_data
from roadworthy.build.job import Job
from roadworthy.build.original import contract_of, identify, load_original
from roadworthy.build.sources import Loaded
from roadworthy.build.workspace import Notify, workspace_for
from roadworthy.core.types import Array
from support import warm_children

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Proven:
    """One call of ``deploy`` in a program: its bundle's name, what was loaded, and the samples and labels to evaluate with."""

    bundle: str
    loaded: Loaded
    arrays: dict[str, Array]
    labels: Array | None


def program(page: str) -> str:
    """All Python of a page, in its order."""
    return "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL))


def run(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Proven]:
    """What each deployment of the page's program was proven on."""
    seen: list[Proven] = []

    def until_loaded(job: Job, notify: Notify) -> None:
        with workspace_for((job,), notify) as workspace:
            source = identify(job, workspace)
            loaded, data = load_original(source, job, contract_of(job, source, workspace).contract, workspace)
            seen.append(Proven(job.output.name, loaded, in_memory(data), data.evaluation.labels()))

    monkeypatch.chdir(folder)
    monkeypatch.setattr(deploy_live, "deploy", until_loaded)
    exec(compile(program(page), page, "exec"), {"__name__": "__main__"})
    return seen


def in_memory(data: Data) -> dict[str, Array]:
    return {name: np.array(array) for name, array in data.evaluation.open().items()}


def inputs(found: Proven) -> dict[str, Any]:
    return {spec.name: (spec.dtype, spec.sample_shape) for spec in found.loaded.signature.inputs}


@pytest.fixture
def warm(torch_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warm_children.install(torch_server, monkeypatch.setattr)


@pytest.mark.slow
def test_the_page_on_data(warm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader, function, table = run("data.md", tmp_path, monkeypatch)
    assert inputs(loader) == {"input": ("float32", (4,))} and loader.labels is not None
    assert inputs(function) == {"input": ("float32", (4,))}
    np.testing.assert_allclose(function.arrays["input"].sum(axis=1), 1, rtol=1e-6)
    assert any("cast from float64 to float32" in note for note in function.loaded.notes)
    assert inputs(table) == {"input": ("float32", (3,))}
    assert {tuple(row) for row in table.arrays["input"].tolist()} == {(30, 70.5, 1), (41, 0, 0), (5, 18.25, 0)}


@pytest.mark.slow
def test_the_page_on_tables(warm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = run("tasks/tables.md", tmp_path, monkeypatch)
    assert inputs(found) == {"x": ("float32", (3,))} and found.labels is not None
    assert "the input 'x' was made of the columns age, income, visits, in this order" in found.loaded.notes


@pytest.mark.slow
def test_the_page_on_audio(warm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = run("tasks/audio.md", tmp_path, monkeypatch)
    assert inputs(found) == {"input": ("float32", (1, 1600))}
    assert found.labels is not None and set(found.labels.tolist()) == {0, 1}
    assert found.arrays["input"].shape[2] == 1600
    assert 0.2 < np.abs(found.arrays["input"]).max() < 0.5


@pytest.mark.slow
def test_the_page_on_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, ids = run("tasks/text.md", tmp_path, monkeypatch)
    assert inputs(texts) == {next(iter(texts.arrays)): ("object", (1,))}
    assert {text for (text,) in next(iter(texts.arrays.values()))} == {b"a good film", b"a bad film", b"good", b"bad bad bad"}
    assert inputs(ids) == {"input_ids": ("int64", (12,)), "attention_mask": ("int64", (12,))}
    assert sorted(set(ids.arrays["attention_mask"].sum(axis=1).tolist())) == [1, 3]


def test_every_form_of_a_file_is_on_the_page() -> None:
    page = (DOCS / "data.md").read_text()
    assert [suffix for suffix in re.findall(r"\.\w+", file_data.FORMS) if suffix not in page] == []


@pytest.mark.parametrize("page", ["data.md", "tasks/tables.md", "tasks/text.md", "tasks/audio.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]*)", (DOCS / page).read_text())
    assert [target for target in targets if target and not ((DOCS / page).parent / target).exists()] == []
