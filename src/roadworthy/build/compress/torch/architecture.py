"""The smaller model for those who deploy elsewhere: its weights, and code that builds the user's own class with the smaller layers."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from roadworthy.build.compress.stages import WriteRequest, WrittenModel
from roadworthy.build.compress.torch import constructors
from roadworthy.build.compress.torch.network import Feeds, TorchNetwork, feeds_of, open_network
from roadworthy.build.program import templates
from roadworthy.core.errors import SourceError, StepFailed
from roadworthy.core.isolation import confinement, usercode
from roadworthy.core.numerics import output_error
from roadworthy.core.text import identifier
from roadworthy.frameworks.torch import calling

FILES = Path(__file__).parent
WEIGHTS, CODE, FRESH = "weights.pt", "model.py", "fresh_answers.py"
TAKEN = ("model", "torch", "nn", "Path", constructors.RESIZED)
"""Names of the file that is written."""
ROUNDING = 1e-5
"""Of the output's scale: the same weights in the same operators, perhaps on another number of threads."""
SAMPLES = 2
LIMIT_S = 300
USAGE = """\
# in the folder of these files, or with it on the import path
from model import model

network = model()
"""


@dataclass(frozen=True)
class _Code:
    """The user's code: the ``module`` that has ``name``, the expression that builds the model, and the files by their place in a folder."""

    module: str
    name: str
    built: str
    files: dict[str, Path]


def write(request: WriteRequest) -> WrittenModel:
    """As ``roadworthy.build.compress.write``."""
    if request.arch is None:
        raise SourceError(
            "the smaller model cannot be given back as code: its class was not named; give the weights with --arch FILE.py:CALLABLE"
        )
    request.out.mkdir(parents=True, exist_ok=True)
    # The user's module first: what a pickled class brings of it would stand under the same name.
    code, original = _built(request.arch)
    network = open_network(request.model)
    files = [_copied(source, request.out / place) for place, source in code.files.items()]
    torch.save(nn.Module.state_dict(network.user), request.out / WEIGHTS)
    layers = [(repr(name), made) for name, made in _changed(network.user, original)]
    alias = f"original_{code.name}" if code.name in TAKEN else code.name
    imported = f"from {code.module} import {code.name}" + (f" as {alias}" if alias != code.name else "")
    built = alias + code.built.removeprefix(code.name)
    resized = any(constructors.RESIZED in made for _, made in layers)
    origin = f"{len(layers)} layers of {code.built} have other sizes here; everything else is as it was."
    text = templates.text(FILES / f"{CODE}.j2", origin=origin, imported=imported, built=built, layers=layers, resized=resized)
    (request.out / CODE).write_text(text)
    _prove(network, request)
    return WrittenModel((request.out / CODE, request.out / WEIGHTS, *files), USAGE)


def _built(arch: str) -> tuple[_Code, Any]:
    """The user's code of ``arch``, which was used before and is as it should be, and the model that it builds."""
    where, _, what = arch.partition(":")
    call = ast.parse(what.strip(), mode="eval").body
    name = ast.unparse(call.func if isinstance(call, ast.Call) else call)
    root, *attributes = name.split(".")
    home = usercode.module(where, "roadworthy_arch")
    found: Any = getattr(home, root)
    for attribute in attributes:
        found = getattr(found, attribute)
    keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords} if isinstance(call, ast.Call) else {}
    if isinstance(found, nn.Module):
        built, model = name, found
    else:
        built, model = ast.unparse(call) if isinstance(call, ast.Call) else f"{name}()", found(**keywords)
    if not where.endswith(".py"):
        return _Code(where, root, built, _beside(home) if usercode.is_users(str(home.__file__)) else {}), model
    file = confinement.located(Path(where)).resolve()
    top = usercode.package_root(file)
    if top != file.parent:
        return _Code(".".join(file.relative_to(top).with_suffix("").parts), root, built, _beside(home)), model
    # The user's own file may be called model.py, as the one that is written is.
    module = identifier(file.stem) if file.stem != Path(CODE).stem else f"original_{file.stem}"
    others = {place: source for place, source in _beside(home).items() if source != file and place != CODE}
    return _Code(module, root, built, {f"{module}.py": file, **others}), model


def _beside(home: Any) -> dict[str, Path]:
    """The user's files that were imported with the module ``home``, from the folder that it is imported from, by their place in it."""
    file = Path(str(home.__file__)).resolve()
    top = usercode.package_root(file)
    origins = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    files = {Path(origin).resolve() for origin in origins if origin and origin.endswith(".py") and usercode.is_users(origin)} | {file}
    packages = {package for one in files for package in _packages(one, top)}
    return {str(one.relative_to(top)): one for one in sorted(files | packages) if one.is_relative_to(top)}


def _packages(file: Path, top: Path) -> Iterator[Path]:
    """The ``__init__.py`` of every package that ``file`` is in."""
    for folder in file.parents if file.is_relative_to(top) else ():
        if folder == top:
            break
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"


def _copied(source: Path, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)
    return place


def _changed(smaller: Any, original: Any) -> Iterator[tuple[str, str]]:
    """Each layer whose tensors have other names or shapes than in ``original``, and the expression that makes it."""
    before = dict(nn.Module.named_modules(original, remove_duplicate=False))
    for name, layer in nn.Module.named_modules(smaller, remove_duplicate=False):
        if name in before and _sizes(layer) != _sizes(before[name]):
            yield name, constructors.expression(name, layer)


def _sizes(layer: Any) -> dict[str, tuple[int, ...]]:
    tables = (layer._parameters, layer._buffers)
    return {name: tuple(tensor.shape) for table in tables for name, tensor in table.items() if tensor is not None}


def _prove(network: TorchNetwork, request: WriteRequest) -> None:
    """StepFailed where the written files, loaded in a fresh process as a user does, do not give the answers of ``network``."""
    feeds = feeds_of(request.samples, network.signature, SAMPLES, torch.float32)[0]
    with TemporaryDirectory() as scratch:
        inputs, answers = Path(scratch) / "inputs", Path(scratch) / "answers"
        torch.save(_arguments(network, feeds), inputs)
        command = [sys.executable, "-P", str(FILES / FRESH), str(request.out), str(torch.get_num_threads()), str(inputs), str(answers)]
        # The user's own folder is not on the import path: what is needed of it lies in ``out``. No compiled files are left there.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(FILES.parents[3])}
        done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, errors="replace", timeout=LIMIT_S)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise StepFailed(f"the {CODE} that was written does not run in a process of its own: {said}", detail=done.stderr)
        given = torch.load(answers, weights_only=True)
    with torch.no_grad():
        positional, keywords = _arguments(network, feeds)
        wanted = dict(calling.tensors(network.user(*positional, **keywords)))
    if given.keys() != wanted.keys() or not wanted or _error(given, wanted) > ROUNDING:
        raise StepFailed(f"the {CODE} that was written does not give the answers of the model that it was written from")


def _arguments(network: TorchNetwork, feeds: Feeds) -> Any:
    """What the user's own module is called with."""
    feeds = tuple(tensor.clone() for tensor in feeds)
    return network.call.call.arguments.filled(feeds) if isinstance(network.call, calling.AdaptedModule) else (feeds, {})


def _error(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    return max(output_error(given[name].numpy(), wanted[name].numpy()) for name in wanted)
