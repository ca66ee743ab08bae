"""PyTorch modules, which do not say what they take, get samples in the form that they run on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.samples.fit import fitted
from roadworthy.core.samples import write
from roadworthy.core.types import Array, TensorSpec

torch = pytest.importorskip("torch")


class Recommender(torch.nn.Module):  # type: ignore[misc]
    """Takes a column of ids and one of numbers, both [samples]."""

    def __init__(self) -> None:
        super().__init__()
        self.users = torch.nn.Embedding(10, 4)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, user: Any, age: Any) -> Any:
        return self.head(torch.cat([self.users(user), age[:, None]], 1))


class Masked(torch.nn.Module):  # type: ignore[misc]
    """Takes a mask where there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x: Any, mask: Any = None) -> Any:
        return self.head(x if mask is None else x * mask)


def forms(module: Any, folder: Path, said: tuple[TensorSpec, ...] = (), **arrays: Array) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The dtype and shape in which ``module`` gets each of its inputs."""
    from roadworthy.build.sources.torch.taker import taker

    found, _ = fitted(write(folder / "given", arrays), taker(Opened(module), said), folder / "out")
    return {name: (str(array.dtype), array.shape) for name, array in found.open().items()}


@pytest.mark.parametrize(
    ("module", "x", "wanted"),
    [
        (lambda: torch.nn.Linear(4, 3), np.ones((6, 4)), ("float32", (6, 4))),
        (lambda: torch.nn.Linear(4, 3).half(), np.ones((6, 4)), ("float32", (6, 4))),
        (lambda: torch.nn.Linear(4, 3), np.ones((6, 4), np.uint8), ("float32", (6, 4))),
        (lambda: torch.nn.Linear(4, 3), np.ones((6, 4), bool), ("float32", (6, 4))),
        (lambda: torch.nn.Embedding(9, 2), np.ones((6, 4), np.int16), ("int64", (6, 4))),
        (lambda: torch.nn.Embedding(9, 2), np.ones((6, 4), np.int32), ("int32", (6, 4))),
        (lambda: torch.nn.Embedding(9, 2), np.ones((6, 4)), ("int64", (6, 4))),
        (lambda: torch.nn.Conv1d(1, 2, 3), np.ones((6, 30)), ("float32", (6, 1, 30))),
        (lambda: torch.nn.Conv2d(1, 2, 3), np.ones((6, 9, 9), np.uint8), ("float32", (6, 1, 9, 9))),
        (lambda: torch.nn.Conv2d(5, 2, 3), np.ones((3, 5, 9, 9), np.float32), ("float32", (3, 5, 9, 9))),
    ],
)
def test_the_form_that_runs(module: Any, x: Array, wanted: Any, tmp_path: Path) -> None:
    (found,) = forms(module(), tmp_path, x=x).values()
    assert found == wanted


def test_each_column_has_a_form_of_its_own(tmp_path: Path) -> None:
    found = forms(Recommender(), tmp_path, age=np.array([30.5, 41]), user=np.array([1, 2]), row=np.arange(2))
    assert found == {"user": ("int64", (2,)), "age": ("float32", (2,))}


def test_an_optional_input_is_taken_where_the_data_has_it(tmp_path: Path) -> None:
    x, mask = np.ones((3, 4)), np.ones((3, 4))
    assert tuple(forms(Masked(), tmp_path / "a", mask=mask, x=x)) == ("x", "mask")
    assert tuple(forms(Masked(), tmp_path / "b", input=x)) == ("x",)


def test_what_the_user_states_is_taken_at_its_word(tmp_path: Path) -> None:
    said = (TensorSpec("input", "float64", ("batch", 4)),)
    assert forms(torch.nn.Linear(4, 3), tmp_path, said, input=np.ones((3, 4), np.float32)) == {"input": ("float64", (3, 4))}


def test_trying_changes_no_statistics(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout()).train()
    before, state = {name: value.clone() for name, value in module.state_dict().items()}, torch.random.get_rng_state()
    forms(module, tmp_path, x=np.ones((3, 4)))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
