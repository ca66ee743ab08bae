"""The static look at what TensorFlow and Keras themselves write: nothing harmless is refused, and what would act is named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from roadworthy.build import sources
from roadworthy.build.sources.parsers import tf_operators
from roadworthy.core.errors import SourceRefused, UsageError
from roadworthy.core.types import BATCH, TensorSpec

pytestmark = pytest.mark.slow

MAKER = Path(__file__).parents[1] / "support" / "files" / "tensorflow_made.py"
IMAGE, EXTRA = TensorSpec("image", "float32", (BATCH, 8, 8, 3)), TensorSpec("extra", "float32", (BATCH, 4))

TELLING = re.compile(
    "File|PyFunc|Rpc|Remote|Service|Snapshot|SaveDataset|LoadDataset|Record|TextLine|Summary|ImportEvent|Debug|Dump|Collective"
    "|(Send|Recv)(V2|AtHost)?$|CustomCall|CallModule|HostCompute|FromGraph|LMDB|Sql|CSV|Reader|Checkpoint|Save|Restore|Passthrough|^Load"
    "|Abort|Vocab|Heartbeat|CacheDataset|RegisterDataset|RecordInput|Library|Skipgram"
)
REVIEWED = re.compile(
    # Readers are refused where they are made; what reads from one needs one. The same holds for writers of summaries.
    "(Identity)?Reader(V2|Num.*|Read.*|Reset.*|RestoreState.*|SerializeState.*)?|(Flush|Close)?Summary(Writer)"
    # A summary is a string that is not written; a file name too.
    "|(Audio|Histogram|Image|Merge|Scalar|Tensor)Summary(V2)?|(Experimental)?StatsAggregatorSummary|BoostedTrees.*|ShardedFile(name|spec)"
    # Tables of accelerators, and transfers between them, that a CPU has no kernels for.
    "|LoadTPUEmbedding.*|LoadAllTPUEmbeddingParameters|_Nccl.*|_XlaRecvAtHost"
    # Plain copies, and text that is parsed.
    "|Snapshot|DebugGradient(Ref)?Identity|DecodeCSV|DeleteRpcFutureResource"
)
"""Operators whose names tell of files or machines, and which were looked at and only compute."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorflow")
    done = subprocess.run([sys.executable, MAKER, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_no_operator_of_this_tensorflow_is_overlooked(made: Path) -> None:
    known = (made / "operators.txt").read_text().split()
    assert len(known) > 1500 and {"ReadFile", "WriteFile", "EagerPyFunc", "PyFunc", "SaveV2"} <= set(known)
    telling = [op for op in known if TELLING.search(op) and not REVIEWED.fullmatch(op) and op not in tf_operators.GIVEN]
    assert [op for op in telling if not tf_operators.does(op)] == []
    # The list is of real operators, and what Keras and TensorFlow put into every model is not on it.
    assert len(tf_operators.REFUSED & set(known)) > 100
    assert not tf_operators.REFUSED & {
        "StatefulPartitionedCall",
        "ShardedFilename",
        "HashTableV2",
        "DecodeWav",
        "PlaceholderWithDefault",
        "Print",
    }


def test_what_keras_writes_is_accepted_and_described(made: Path) -> None:
    for name, kind in (("model.keras", "keras"), ("model.h5", "hdf5"), ("model.weights.h5", "keras_weights")):
        seen = sources.inspect(made / name)
        assert (seen.kind, seen.framework, seen.executes, seen.needs, seen.unsupported) == (kind, "tensorflow", (), (), "")
        assert seen.values > 3 * 3 * 3 * 2 + 76 * 5
        if kind != "keras_weights":
            assert seen.signature is not None and seen.signature.inputs == (IMAGE, EXTRA)
            assert sources.identify(made / name).kind == kind
    with pytest.raises(UsageError, match=r"holds weights.*--arch FILE\.py:CALLABLE"):
        sources.identify(made / "model.weights.h5")


def test_saved_models_are_accepted_with_their_signatures(made: Path) -> None:
    exported = sources.inspect(made / "exported")
    assert (exported.executes, exported.signatures) == ((), ("serve", "serving_default"))
    assert exported.signature is not None and set(exported.signature.inputs) == {IMAGE, EXTRA}
    assert {spec.name for spec in exported.signature.outputs} == {"first", "second"}
    assert sources.inspect(made / "saved").executes == ()
    simple = sources.inspect(made / "simple")
    assert (simple.executes, simple.signatures) == ((), ("serving_default",))
    assert sources.identify(made / "exported", signature="serve").signature == "serve"
    with pytest.raises(UsageError, match="has no signature 'predict'; it has 'serve', 'serving_default'"):
        sources.identify(made / "exported", signature="predict")


def test_what_tensorflow_1_left_is_accepted(made: Path) -> None:
    folder = made / "version-1"
    named = [folder, *(folder / f"model.ckpt{end}" for end in ("", ".meta", ".index", ".data-00000-of-00001"))]
    seen = [sources.inspect(path) for path in named]
    assert {(one.path, one.kind, one.executes, one.sha256) for one in seen} == {(named[2], "tf1", (), seen[0].sha256)}
    assert seen[0].size == sum(path.stat().st_size for path in folder.glob("model.ckpt*"))
    assert TensorSpec("w", "float32", (4, 2)) in seen[0].tensors
    frozen = sources.identify(made / "frozen.pb", outputs=("y",))
    assert (frozen.kind, frozen.outputs) == ("graphdef", ("y",))
    assert sources.inspect(made / "frozen.pb").tensors == (TensorSpec("w", "float32", (4, 2)),)


@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5"])
def test_a_lambda_that_keras_wrote_is_refused_by_its_layers_name(name: str, made: Path) -> None:
    with pytest.raises(SourceRefused, match=r"Lambda in the layer 'hidden', which holds Python code.*--arch.*--trust"):
        sources.identify(made / name)
    assert sources.identify(made / name, trust=True).trust


def test_a_class_of_the_users_own_is_asked_for(made: Path, tmp_path: Path) -> None:
    assert sources.inspect(made / "custom.keras").needs == ("mine>Twice",)
    with pytest.raises(UsageError, match=r"classes that are not Keras's own \(mine>Twice\).*--arch FILE\.py:CALLABLE"):
        sources.identify(made / "custom.keras")
    (tmp_path / "layers.py").write_text("class Twice: pass\n")
    assert sources.identify(made / "custom.keras", arch=f"{tmp_path / 'layers.py'}:Twice").kind == "keras"


@pytest.mark.parametrize(
    ("name", "op"),
    [("thief-write", "ReadFile"), ("thief-write", "WriteFile"), ("thief-save", "SaveV2"), ("thief-python", "EagerPyFunc")],
)
def test_a_saved_model_that_acts_is_refused_and_never_acts(name: str, op: str, made: Path, tmp_path: Path) -> None:
    # TensorFlow wrote both when it was asked to, in the process that made the files; otherwise this would prove nothing.
    marks = [made / "marker", made / "marker-saved.index"]
    for mark in marks:
        mark.rename(tmp_path / mark.name)
    with pytest.raises(SourceRefused, match=f"{op}, which .* of the function .*--trust"):
        sources.identify(made / name)
    assert not any(mark.exists() for mark in marks)
    for mark in marks:
        (tmp_path / mark.name).rename(mark)
    assert sources.identify(made / name, trust=True).kind == "saved_model"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("exported", {"arch": "HERE:build"}, "brings its own architecture"),
        ("frozen.pb", {"arch": "HERE:build"}, "brings its own architecture"),
        ("version-1", {"arch": "HERE:build"}, "brings its own architecture"),
        ("frozen.pb", {"signature": "serve"}, "has no signatures to choose from"),
        ("model.keras", {"signature": "serve"}, "has no signatures to choose from"),
        ("model.keras", {"outputs": ("first",)}, "states what it answers with"),
    ],
)
def test_an_option_that_says_nothing_about_a_file(name: str, options: dict[str, str], words: str, made: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def build(): pass\n")
    options_here = {key: value.replace("HERE", str(tmp_path / "net.py")) if key == "arch" else value for key, value in options.items()}
    with pytest.raises(UsageError, match=words):
        sources.identify(made / name, **options_here)  # type: ignore[arg-type]
