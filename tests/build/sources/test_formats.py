"""Source formats are found by their files: a new one is one file, and of those here exactly one accepts each file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import sources
from roadworthy.build.sources import LoadRequest, formats, source_file
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, SourceUnreadable, UsageError
from roadworthy.core.types import BATCH, Signature, TensorSpec
from support.files import wire_files as made

PLANTED = '''
"""Text files of one factor: the output is the input times the factor."""

from pathlib import Path

from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.build.sources.model import Model
from roadworthy.core.stages import Graph
from roadworthy.core.types import TensorSpec

KIND = "factor"
FRAMEWORK = "none"
SUFFIXES = (".factor",)


def sniff(file):
    return file.head.startswith(b"factor ")


def inspect(file):
    return StaticFacts((TensorSpec("factor", "float32", ()),), notes=("one factor",))


def open(source):
    factor = float(source.path.read_text().split()[1])

    def keep(signature, out):
        (out / "model.factor").write_text(source.path.read_text())
        return Graph("factor", out / "model.factor", signature, "the original")

    return Model(lambda feeds: {"y": feeds["x"] * factor}, (TensorSpec("x", "float32", ("batch", 3)),), keep, 1)
'''


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One file more in the folder of formats, and a model of that format."""
    folder = tmp_path / "formats"
    folder.mkdir()
    (folder / "factor.py").write_text(PLANTED)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(folder)])
    registry.names.cache_clear()
    (tmp_path / "model.factor").write_text("factor 2.5\n")
    yield tmp_path / "model.factor"
    registry.names.cache_clear()


def test_a_format_in_one_file_is_identified_inspected_and_loaded(planted: Path, tmp_path: Path) -> None:
    seen = sources.inspect(planted)
    assert (seen.kind, seen.framework, seen.notes) == ("factor", "none", ("one factor",))
    source = sources.identify(planted)
    assert (source.kind, source.size) == ("factor", 11)
    loaded = sources.load(LoadRequest(source, (), None, tmp_path / "out"))
    assert loaded.signature == Signature((TensorSpec("x", "float32", (BATCH, 3)),), (TensorSpec("y", "float32", (BATCH, 3)),))
    assert loaded.graph.path.read_text() == "factor 2.5\n"
    with pytest.raises(UsageError, match="brings its own architecture"):
        sources.identify(planted, arch=f"{tmp_path / 'formats' / 'factor.py'}:open")


def test_its_suffix_is_among_those_that_are_known(planted: Path) -> None:
    planted.write_bytes(bytes(range(256)))
    with pytest.raises(SourceUnreadable, match=r"known are .*\.factor, .*\.onnx"):
        sources.inspect(planted)


def test_a_file_that_two_formats_accept_is_refused(planted: Path) -> None:
    second = Path(formats.__path__[-1]) / "multiple.py"
    second.write_text(PLANTED.replace('KIND = "factor"', 'KIND = "multiple"'))
    registry.names.cache_clear()
    with pytest.raises(SourceUnreadable, match=r"a file of several kinds \(factor and multiple\)"):
        sources.inspect(planted)


def test_a_format_that_cannot_be_imported_keeps_no_other_from_being_read(planted: Path) -> None:
    (Path(formats.__path__[-1]) / "broken.py").write_text("import no_such_package_anywhere\n")
    registry.names.cache_clear()
    assert sources.inspect(planted).kind == "factor"
    with pytest.raises(BackendMissing, match="broken cannot be used"):
        formats.named("broken")


@pytest.mark.parametrize("name", registry.names(formats.__name__))
def test_a_format_bears_the_name_of_its_file(name: str) -> None:
    module = formats.named(name)
    assert name == module.KIND
    assert module.FRAMEWORK in ("torch", "tensorflow", "numpy", "onnx")
    assert all(suffix.startswith(".") for suffix in module.SUFFIXES)


def written(folder: Path) -> dict[str, Path]:
    """One file of each format that can be written here without a framework."""
    np.savez(folder / "map.npz", weight=np.ones((4, 2)), bias=np.zeros(2))
    (folder / "frozen.pb").write_bytes(made.graph_def(*made.ORDINARY))
    (folder / "model.ckpt.meta").write_bytes(made.meta_graph(made.graph_def(*made.ORDINARY), made.saver(), tags=()))
    (folder / "model.onnx").write_bytes(made.onnx())
    (folder / "model.tflite").write_bytes(made.tflite())
    return {
        "npz": folder / "map.npz",
        "graphdef": folder / "frozen.pb",
        "tf1": folder / "model.ckpt.meta",
        "onnx": folder / "model.onnx",
        "tflite": folder / "model.tflite",
        "saved_model": made.saved_model(folder / "saved", made.meta_graph(made.graph_def(*made.ORDINARY), made.signature())),
        "keras": made.keras_file(folder / "model.keras", made.keras_config()),
        "hdf5": made.keras_hdf5(folder / "model.h5", made.keras_config()),
    }


def test_exactly_one_format_accepts_each_file(tmp_path: Path) -> None:
    for kind, path in written(tmp_path).items():
        file = source_file.read(path)
        assert [format.KIND for format in formats.every() if format.sniff(file)] == [kind]


def test_some_formats_may_be_quantised_from_the_start(planted: Path) -> None:
    assert not sources.may_be_quantised(sources.identify(planted))
    module = Path(formats.__path__[-1]) / "multiple.py"
    module.write_text(PLANTED.replace('KIND = "factor"', 'KIND = "multiple"\nQUANTISED = True').replace('b"factor "', 'b"multiple "'))
    registry.names.cache_clear()
    planted.write_text("multiple 3\n")
    assert sources.may_be_quantised(sources.identify(planted))


@pytest.mark.parametrize("name", registry.names("roadworthy.build.sources.holding"))
def test_what_holds_a_file_of_a_format_bears_the_name_of_its_module(name: str) -> None:
    assert [one.KIND for one in formats.every_holding()].count(name) == 1
    assert name not in registry.names(formats.__name__)
