"""SavedModels by their signatures and functions: several outputs, settings beside the batch, ragged and sparse tensors, no signature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build import sources
from roadworthy.build.sources import Loaded, LoadRequest
from roadworthy.core import samples
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow import function as tensorflow_function
from support.files.tensorflow_files import weights

pytestmark = pytest.mark.slow


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Loaded]:
    def run(path: Path, *said: str, given: dict[str, Any] | None = None, **choices: Any) -> Loaded:
        folder = tmp_path / f"read{len(list(tmp_path.iterdir()))}"
        kept = samples.write(folder / "samples", given) if given else None
        specs = tuple(sources.parse_input(text) for text in said)
        return sources.load(LoadRequest(sources.identify(path, **choices), specs, kept, folder / "out"))

    return run


def saved(path: Path, functions: dict[str, tuple[Any, list[Any]]], signed: bool = True) -> Path:
    """A SavedModel whose functions, by name, are these with these argument specs; as signatures or as functions alone."""
    tf = framework.framework()
    model = tf.Module()
    model.table = tf.Variable(weights(6, 2))
    traced = {}

    def on_the_table(body: Any) -> Any:
        return lambda *given: body(tf, model.table, *given)

    for name, (body, specs) in functions.items():
        function = tf.function(on_the_table(body), input_signature=specs, autograph=False)
        setattr(model, name, function)
        traced[name] = function
    for function in traced.values():
        function.get_concrete_function()
    tf.saved_model.save(model, str(path), signatures=traced if signed else {})
    return path


def spec(*shape: int | None, dtype: str = "float32", name: str = "x") -> Any:
    return framework.framework().TensorSpec(shape, dtype, name)


def test_outputs_are_chosen_and_ordered(tmp_path: Path, read: Any) -> None:
    def two(tf: Any, table: Any, x: Any) -> Any:
        return {"best": tf.argmax(x @ table, 1), "scores": x @ table}

    path = saved(tmp_path / "two", {"classify": (two, [spec(None, 6)])})
    assert [str(one) for one in read(path, outputs=("scores", "best")).signature.outputs] == [
        "scores:float32[batch,2]",
        "best:int64[batch]",
    ]
    assert [one.name for one in read(path, outputs=("best",)).signature.outputs] == ["best"]
    with pytest.raises(UsageError, match=r"no output 'logits'; it has best, scores: --outputs best,scores"):
        read(path, outputs=("logits",))


def test_a_setting_beside_the_batch(tmp_path: Path, read: Any) -> None:
    def above(tf: Any, table: Any, x: Any, least: Any) -> Any:
        return {"y": tf.maximum(x @ table, least)}

    loaded = read(saved(tmp_path / "setting", {"serving_default": (above, [spec(None, 6), spec(name="least")])}))
    assert {str(one) for one in loaded.signature.inputs} == {"x:float32[batch,6]", "least:float32[]"}
    x = weights(3, 6, seed=4)
    found = tensorflow_function.open_function(loaded.graph.path)({"x": x, "least": np.float32(0.25)})
    np.testing.assert_allclose(found["y"], np.maximum(x @ weights(6, 2), 0.25), rtol=1e-6)


def test_ragged_and_sparse_inputs_are_named_with_the_signature_that_is_dense(tmp_path: Path, read: Any) -> None:
    tf = framework.framework()

    def mean(tf: Any, table: Any, ids: Any) -> Any:
        return {"mean": tf.reduce_mean(tf.gather(table, ids), axis=1)}

    def product(tf: Any, table: Any, rows: Any) -> Any:
        return {"y": tf.sparse.sparse_dense_matmul(rows, table)}

    ragged, sparse = tf.RaggedTensorSpec([None, None], tf.int64), tf.SparseTensorSpec([None, 6], tf.float32)
    path = saved(tmp_path / "both", {"serving_default": (mean, [ragged]), "dense": (mean, [spec(None, 3, dtype="int64", name="ids")])})
    wanted = (
        r"'serving_default' takes '\w+' as a RaggedTensor \(RaggedTensorSpec\), which is not an array; 'dense' has.*: --signature dense$"
    )
    with pytest.raises(SourceError, match=wanted):
        read(path)
    dense = read(path, signature="dense", given={"ids": np.arange(12).reshape(4, 3) % 6})
    assert [str(one) for one in dense.signature.inputs] == ["ids:int64[batch,3]"]
    with pytest.raises(SourceError, match=r"takes '\w+' as a SparseTensor \(SparseTensorSpec\).*begins with tf.sparse.from_dense\(x\)"):
        read(saved(tmp_path / "sparse", {"serving_default": (product, [sparse])}))


def test_a_model_without_signatures_is_called_by_its_function(tmp_path: Path, read: Any) -> None:
    def scores(tf: Any, table: Any, x: Any) -> Any:
        return x @ table

    def total(tf: Any, table: Any, x: Any) -> Any:
        return tf.reduce_sum(x @ table, 1)

    one = saved(tmp_path / "one", {"predict": (scores, [spec(None, 6)])}, signed=False)
    loaded = read(one)
    assert any("called by its function predict" in note for note in loaded.notes)
    x = weights(2, 6, seed=4)
    (found,) = tensorflow_function.open_function(loaded.graph.path)({loaded.signature.inputs[0].name: x}).values()
    np.testing.assert_allclose(found, x @ weights(6, 2), atol=1e-6)
    two = saved(tmp_path / "two", {"predict": (scores, [spec(None, 6)]), "total": (total, [spec(None, 6)])}, signed=False)
    with pytest.raises(UsageError, match=r"no signature; it has the functions predict, total; name one: --signature predict"):
        read(two)
    assert [len(one.shape) for one in read(two, signature="total").signature.outputs] == [1]
