"""A smaller network of the user's own: built, called as the original is, and refused in words where it does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from roadworthy.build.compress import StudentRequest, student
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.samples import write
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.calling import TorchCall, by_position

pytestmark = pytest.mark.slow

SIGNATURE = Signature((TensorSpec("x", "float32", (BATCH, 6)),), (TensorSpec("output", "float32", (BATCH, 3)),))
CODE = """
import torch
from torch import nn

def small(): return nn.Sequential(nn.Linear(6, 2), nn.ReLU(), nn.Linear(2, 3))
def wide(): return nn.Linear(6, 4)
def takes_more(): return nn.Linear(7, 3)
def text(): return "a network"
def fails(): raise ValueError("no such size")
ready = small()
"""


def request(tmp_path: Path, name: str) -> StudentRequest:
    torch.manual_seed(1)
    folder = tmp_path / "teacher"
    folder.mkdir()
    teacher = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    path = torch_module.save(teacher, folder, call=TorchCall(by_position(1), ("output",), True))
    (tmp_path / "net.py").write_text(CODE)
    samples = write(tmp_path / "samples", {"x": np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)})
    return StudentRequest(f"{tmp_path / 'net.py'}:{name}", Graph("module", path, SIGNATURE, "as it is"), samples, tmp_path / "student")


@pytest.mark.parametrize("name", ["small", "ready"])
def test_a_student_is_built_and_answers_in_the_shapes_of_the_original(tmp_path: Path, name: str) -> None:
    made = student(request(tmp_path, name))
    assert made.parameters == 6 * 2 + 2 + 2 * 3 + 3 and made.multiplications == 6 * 2 + 2 * 3
    assert made.graph.derived_from == "module" and made.graph.compression == "student" and made.graph.signature == SIGNATURE
    (answer,) = torch_module.load(made.graph.path)(torch.zeros(5, 6))
    assert answer.shape == (5, 3)


def test_its_first_weights_are_the_same_each_time(tmp_path: Path) -> None:
    answers = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        answers.append(torch_module.load(student(request(folder, "small")).graph.path)(torch.ones(1, 6))[0])
    assert torch.equal(*answers)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wide", r"gives \[2, 4\] for 'output', where the original gives \[2, 3\]"),
        ("takes_more", "does not run on the training samples"),
        ("text", "gives a str, where a torch.nn.Module is needed"),
        ("fails", "ValueError: no such size"),
        ("smal", "has no smal; it has small"),
    ],
)
def test_what_cannot_be_taught_is_refused_in_words(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        student(request(tmp_path, name))


def test_another_form_of_name_is_refused(tmp_path: Path) -> None:
    asked = request(tmp_path, "small")
    with pytest.raises(UsageError, match=r"write FILE\.py:CALLABLE"):
        student(StudentRequest("net.py", asked.teacher, asked.samples, asked.out))
