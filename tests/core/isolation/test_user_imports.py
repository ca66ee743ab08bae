"""A package that the user's own code needs and that is missing is told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.core.errors import EnvironmentFault, UsageError
from roadworthy.core.isolation.user_imports import refuse_missing


def written(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


def test_a_missing_package_in_the_file_or_in_one_beside_it(tmp_path: Path) -> None:
    written(tmp_path, net="import math\nfrom blocks import Block\n", blocks="import json\nfrom nowhere_at_all.nn import Conv\n")
    with pytest.raises(EnvironmentFault, match=r"blocks\.py, line 2, imports nowhere_at_all\.nn, which is not installed") as caught:
        refuse_missing([tmp_path / "net.py"])
    assert caught.value.exit_code == 7 and "pip install nowhere_at_all" in caught.value.message


@pytest.mark.parametrize(
    "code",
    [
        "import math, sys, json\nimport numpy.linalg\n",
        "try:\n    import nowhere_at_all\nexcept ImportError:\n    nowhere_at_all = None\n",
        "def later():\n    import nowhere_at_all\n",
        "import sys\nsys.path.append('elsewhere')\nimport nowhere_at_all\n",
        "import __main__\n",
        "def broken(:\n",
    ],
)
def test_imports_that_may_be_meant(code: str, tmp_path: Path) -> None:
    written(tmp_path, net=code)
    refuse_missing([tmp_path / "net.py"])


def test_folders_that_a_file_beside_it_puts_on_the_path(tmp_path: Path) -> None:
    """As research code is laid out: one file extends the path, and others import by it."""
    written(tmp_path, net="import _init_paths\nfrom elsewhere.models import Net\n", _init_paths="import sys\nsys.path.insert(0, 'lib')\n")
    refuse_missing([tmp_path / "net.py"])


def test_a_cycle_between_files_ends(tmp_path: Path) -> None:
    written(tmp_path, one="import two\n", two="import one\n")
    refuse_missing([tmp_path / "one.py", tmp_path / "one.py"])


def test_a_relative_import_names_the_way_out(tmp_path: Path) -> None:
    package = tmp_path / "zoo" / "nets"
    package.mkdir(parents=True)
    written(package, resnet="from .blocks import Block\n", blocks="")
    with pytest.raises(UsageError, match=r"resnet\.py, line 1, imports from '\.blocks'.*nets\.resnet:CALLABLE"):
        refuse_missing([package / "resnet.py"])
    written(package, deep="from ..tools import thing\n")
    with pytest.raises(UsageError, match=r"run in .* and name the module, zoo\.nets\.deep:CALLABLE"):
        refuse_missing([package / "deep.py"])
    (package / "__init__.py").touch()
    refuse_missing([package / "resnet.py"])
