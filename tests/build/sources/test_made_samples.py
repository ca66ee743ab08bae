"""Values that are made up where no data was given: of a model that is a plain function it is known what it should be fed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from roadworthy.build.sources import Loaded, LoadRequest, Making, identify, load, parse_inputs
from roadworthy.build.sources.infer_signature import prove_and_keep
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import made
from roadworthy.build.sources.samples.made import Draw, Fill
from roadworthy.build.sources.samples.table_rows import TableRows
from roadworthy.core import samples
from roadworthy.core.errors import DataError, SourceError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import Array, Arrays

TABLE = np.random.default_rng(0).standard_normal((101, 8)).astype(np.float32)
Call = Callable[[Arrays], dict[str, Array]]
Settled = Callable[..., Loaded]


@pytest.fixture
def settled(tmp_path: Path) -> Settled:
    def run(call: Call, *said: str, given: SampleSet | None = None, count: int = 64) -> Loaded:
        specs, ranges = parse_inputs(said)
        model = Model(call, (), lambda signature, out: Graph("planted", out, signature, "the original"), 1)
        out = tmp_path / f"made{len(list(tmp_path.iterdir()))}"
        return prove_and_keep(model, specs, given, tmp_path, allow=False, making=Making(count, ranges, out))

    return run


def looked_up(ids: Array) -> Array:
    if ids.min() < 0 or ids.max() >= len(TABLE):
        raise IndexError("index out of range in self")
    return TABLE[ids].reshape(len(ids), -1)


def hashed(feeds: Arrays) -> dict[str, Array]:
    return {"y": looked_up(feeds["ids"] % 101)}


def arrays(loaded: Loaded) -> dict[str, Array]:
    assert loaded.samples is not None
    return loaded.samples.open()


def warnings(loaded: Loaded) -> list[str]:
    return [note.text for note in made.notes(loaded.signature.inputs, loaded.fills) if note.warning]


def test_identifiers_reach_from_the_first_row_of_their_table_to_the_last(settled: Settled) -> None:
    loaded = settled(lambda feeds: {"y": looked_up(feeds["ids"])}, "ids:int64[batch,4]")
    ids = arrays(loaded)["ids"]
    assert (ids.min(), ids.max()) == (0, 100)
    (said,) = warnings(loaded)
    assert said.startswith("'ids' takes whole numbers (int64), and nothing says which: it was fed made-up ones, 0 to 100,")
    assert "--data" in said and "--input 'ids:int64[batch,4] in 0..1000'" in said


def test_identifiers_that_are_hashed_hold_what_32_bits_lose(settled: Settled) -> None:
    ids = arrays(settled(hashed, "ids:int64[batch,4]"))["ids"]
    assert (ids.min(), ids.max()) == (-(2**63), 2**63 - 1)
    assert ((ids >= 0) & (ids < 2**31)).any() and ((ids >= 0) & (ids < 1000)).any()
    narrowed = hashed({"ids": ids.astype(np.int32).astype(np.int64)})["y"]
    assert not np.allclose(hashed({"ids": ids})["y"], narrowed)


def test_a_mask_hides_some_of_a_sample_and_never_all(settled: Settled) -> None:
    def attention(feeds: Arrays) -> dict[str, Array]:
        kept = feeds["mask"] != 0
        values = looked_up(feeds["ids"]).reshape(len(kept), -1, 8)
        with np.errstate(invalid="ignore"):
            return {"y": (values * kept[..., None]).sum(1) / kept.sum(1, keepdims=True).astype(np.float32)}

    found = arrays(settled(attention, "ids:int64[batch,6]", "mask:int64[batch,6]"))
    assert found["ids"].max() == 100
    assert set(np.unique(found["mask"]).tolist()) == {0, 1} and found["mask"].any(1).all()


def test_lengths_start_at_one_and_end_where_the_model_does(settled: Settled) -> None:
    def padded(feeds: Arrays) -> dict[str, Array]:
        if feeds["lengths"].min() < 1 or feeds["lengths"].max() > 12:
            raise ValueError("Length of all samples has to be greater than 0")
        kept = np.arange(12) < feeds["lengths"][:, None]
        return {"y": (feeds["x"] * kept).sum(1, keepdims=True)}

    lengths = arrays(settled(padded, "x:float32[batch,12]", "lengths:int64[batch]"))["lengths"]
    assert (lengths.min(), lengths.max()) == (1, 12)


def test_counts_do_not_grow_until_they_hide_all_else(settled: Settled) -> None:
    loaded = settled(lambda feeds: {"y": feeds["age"].astype(np.float32) @ TABLE[:3, :2]}, "age:int64[batch,3]")
    assert 10 < arrays(loaded)["age"].max() < 1000


def test_a_stated_range_is_kept_with_both_its_ends(settled: Settled) -> None:
    loaded = settled(hashed, "ids:int64[batch,4] in 5..4611686018427387904")
    ids = arrays(loaded)["ids"]
    assert (ids.min(), ids.max()) == (5, 2**62) and not warnings(loaded)
    with pytest.raises(DataError, match=r"refuses the made-up values that were tried \('ids' of 0 to 500 \(stated\)\).*out of range"):
        settled(lambda feeds: {"y": looked_up(feeds["ids"])}, "ids:int64[batch,4] in 0..500")


def test_whole_numbers_that_are_all_refused_ask_for_data(settled: Settled) -> None:
    def picky(feeds: Arrays) -> dict[str, Array]:
        if feeds["code"].min() < 1000:
            raise ValueError("no such code")
        return {"y": feeds["code"].astype(np.float32)}

    with pytest.raises(DataError, match=r"no data was given.*no such code.*--data.*--input 'code:int64\[batch,2\] in 1\.\.100'"):
        settled(picky, "code:int64[batch,2]")
    with pytest.raises(SourceError, match=r"the model does not take x:float32\[2, 7\]"):
        settled(lambda feeds: {"y": feeds["x"] @ TABLE[:4]}, "x:float32[batch,7]")


def test_a_network_that_scales_pixels_itself_is_shown_pixels(settled: Settled) -> None:
    def scaled(feeds: Arrays) -> dict[str, Array]:
        return {"y": 1 + feeds["x"].reshape(len(feeds["x"]), -1) / np.float32(255) @ TABLE[:48, :3] * np.float32(0.1)}

    assert arrays(settled(scaled, "x:float32[batch,4,4,3]"))["x"].max() > 250
    plain = settled(lambda feeds: {"y": feeds["x"] @ TABLE[:4]}, "x:float32[batch,4]")
    assert plain.fills == (Fill("x", (Draw(kind="normal"),)),)


def test_floats_of_which_normal_noise_gives_no_number_are_positive(settled: Settled) -> None:
    def rooted(feeds: Arrays) -> dict[str, Array]:
        with np.errstate(invalid="ignore"):
            return {"y": np.sqrt(feeds["x"])}

    assert arrays(settled(rooted, "x:float32[batch,4]"))["x"].min() >= 0


@pytest.mark.parametrize("size", [1, 3])
def test_a_fixed_batch_gets_as_many_samples_as_any_other(size: int, settled: Settled) -> None:
    def fixed(feeds: Arrays) -> dict[str, Array]:
        return {"y": feeds["x"].reshape(size, 4) @ TABLE[:4]}

    assert len(arrays(settled(fixed, f"x:float32[{size},4]", count=50))["x"]) == 50


def test_with_data_nothing_is_made_up(settled: Settled, tmp_path: Path) -> None:
    """Fewer samples than a batch, a length of 0 that breaks the model, and floats that it takes the root of."""

    def picky(feeds: Arrays) -> dict[str, Array]:
        if feeds["lengths"].min() < 3 or feeds["x"].min() < 0:
            raise ValueError("a value that no sample has")
        return {"y": np.sqrt(feeds["x"]) * feeds["lengths"][:, None].astype(np.float32)}

    x = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    given = samples.write(tmp_path / "given", {"x": x, "lengths": np.array([3, 4, 5, 6])})
    loaded = settled(picky, "x:float32[batch,3]", "lengths:int64[batch]", given=given)
    assert loaded.samples is None and loaded.fills == ()


def gathered(path: Path, *between: str, one_hot: bool = False) -> Path:
    """Identifiers that reach a table of 30 rows, or a one-hot vector of that depth, by way of other operators."""
    nodes = []
    here = "ids"
    for number, kind in enumerate(between):
        more = {"Clip": ["low", "high"], "Reshape": ["flat"]}.get(kind, [])
        attributes = {"to": TensorProto.INT64} if kind == "Cast" else {}
        nodes.append(helper.make_node(kind, [here, *more], [f"t{number}"], **attributes))
        here = f"t{number}"
    last = ["OneHot", [here, "depth", "ends"]] if one_hot else ["Gather", ["table", here]]
    nodes += [helper.make_node(*last, ["rows"]), helper.make_node("Reshape", ["rows", "out"], ["y"])]
    constants = {
        "table": TABLE[:30], "low": np.array(0), "high": np.array(29), "flat": np.array([-1, 4]), "out": np.array([0, -1]),
        "depth": np.array(30), "ends": np.array([0, 1], np.float32),
    }  # fmt: skip
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "gathered",
        [helper.make_tensor_value_info("ids", TensorProto.INT32 if "Cast" in between else TensorProto.INT64, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "features"])],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return path


@pytest.mark.parametrize(
    ("between", "one_hot"),
    [((), False), (("Cast",), False), (("Reshape",), False), (("Clip",), False), (("Cast", "Reshape", "Clip"), False), ((), True)],
)
def test_a_table_in_the_file_says_which_identifiers_there_are(between: tuple[str, ...], one_hot: bool, tmp_path: Path) -> None:
    """A clip or a one-hot vector refuses no identifier: without the table any of them would be made up."""
    source = identify(gathered(tmp_path / "m.onnx", *between, one_hot=one_hot))
    loaded = load(LoadRequest(source, (), None, tmp_path / "kept", making=Making(64, (), tmp_path / "made")))
    ids = arrays(loaded)["ids"]
    assert (ids.min(), ids.max()) == (0, 29) and not warnings(loaded)
    assert made.guessed(loaded.signature.inputs, loaded.fills) == ()
    (note,) = made.notes(loaded.signature.inputs, loaded.fills)
    assert note.text == "'ids' was fed 0 to 29, the rows of the table that the model looks it up in"


def test_a_table_is_known_by_the_numbers_that_reach_it() -> None:
    ids, types = np.array([[3, 1, 2], [0, 2, 2]]), np.array([[0, 1, 1], [0, 0, 1]])
    rows = TableRows({"ids": ids, "types": types, "one": np.array([[1]]), "x": types.astype(np.float32)})
    rows.see(ids.astype(np.int32).reshape(-1), 30)
    rows.see(ids, 20)
    rows.see(types + 1, 9)
    rows.see(np.array([1]), 5)
    assert rows.found == {"ids": 20}
    rows = TableRows({"a": types, "b": types})
    rows.see(types, 9)
    assert rows.found == {}


def test_no_number_is_tried_beyond_one_that_is_refused(settled: Settled) -> None:
    """A model that repeats a row as often as a number says would take all memory for a number of 31 bits."""
    most = 0

    def repeated(feeds: Arrays) -> dict[str, Array]:
        nonlocal most
        most = max(most, int(feeds["lengths"].max()))
        if feeds["lengths"].max() > 12:
            raise ValueError("longer than the sequence")
        return {"y": feeds["lengths"].astype(np.float32)[:, None]}

    assert arrays(settled(repeated, "lengths:int64[batch]"))["lengths"].max() == 12
    assert most <= 99
