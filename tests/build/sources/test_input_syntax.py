"""The syntax of an input on the command line: what is written is read as it was meant, and mistakes are pointed at."""

from __future__ import annotations

import re
import shlex

import hypothesis.strategies as st
import pytest
from hypothesis import given

from roadworthy.build.sources.input_syntax import DTYPES, option, parse, parse_all
from roadworthy.core.errors import UsageError
from roadworthy.core.types import ANY_RANK, BATCH, BYTES, STRING, Distribution, Fixed, Range, Stated, TensorSpec

NAMES = st.one_of(
    st.text(min_size=1, max_size=20).filter(lambda name: not re.search(r":\s*\w+\s*\[", name)),
    st.sampled_from(["input_1:0", "serving_default_x:0", "0", "a b.c/d", "x:int64", "'", "a[0]", "in 0..1", "y:float32[4] = 1"]),
)
SYMBOLS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda symbol: symbol != BATCH)


@st.composite
def specs(draw: st.DrawFn) -> TensorSpec:
    """A spec that can be deployed: any name, type and sizes, and the sample axis anywhere or nowhere."""
    shape = draw(st.lists(st.one_of(st.integers(1, 999_999_999), SYMBOLS), max_size=6))
    axis = draw(st.none() | st.integers(0, len(shape)))
    if axis is not None:
        shape.insert(axis, BATCH)
    dtype = draw(st.sampled_from(DTYPES))
    return TensorSpec(draw(NAMES), BYTES if dtype == STRING else dtype, tuple(shape), sample_axis=axis)


@given(specs())
def test_what_a_spec_prints_is_read_as_that_spec(spec: TensorSpec) -> None:
    assert parse(str(spec)) == spec


@given(specs(), st.integers(-100, 27), st.integers(0, 100))
def test_what_a_message_shows_can_be_pasted(spec: TensorSpec, low: int, more: int) -> None:
    values: list[Stated] = [Fixed(spec.name, b'a "b"' if spec.dtype == BYTES else spec.dtype == "bool" or 1)]
    if spec.dtype.startswith(("float", "bfloat")):
        values += [Distribution(spec.name, "uniform"), Range(spec.name, float(low), float(low + more))]
    elif spec.dtype.startswith("int"):
        values.append(Range(spec.name, low, low + more))
    for one in values:
        flag, text = shlex.split(option(spec, str(one)))
        assert (flag, *parse_all([text])) == ("--input", (spec,), (one,))


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (TensorSpec("input_1:0", "float32", (BATCH, "?", 3)), "--input 'input_1:0:float32[batch,16,3]'"),
        (TensorSpec("it's", BYTES, (BATCH,)), "--input 'it'\"'\"'s:string[batch]'"),
        (TensorSpec("x", "int8", (ANY_RANK,)), "--input 'x:int8[batch,8,8]'"),
        (TensorSpec("x", "int8", (BATCH, "steps", "2*s0")), "--input 'x:int8[batch,steps,16]'"),
    ],
)
def test_a_shape_that_cannot_be_written_becomes_an_example(spec: TensorSpec, shown: str) -> None:
    assert option(spec, sizes=(8, 8)) == shown
    parse(shlex.split(shown)[1])


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("float32[batch,3]", 1, "'float32' is not a name followed by ':'"),
        ("x", 1, "'x' is not a name followed by ':'"),
        ("", 1, "is not a name followed by ':'"),
        (":float32[batch,3]", 1, "a name is missing"),
        ("x:flot32[batch,3]", 3, "did you mean float32?"),
        ("x:0:flot32[batch,3]", 5, "did you mean float32?"),
        ("x:float8[batch,3]", 3, "is not one of"),
        ("x:float32", 10, "must stand in"),
        ("x:float32[batch,3", 18, "must stand in"),
        ("x:float32[batch,-3]", 17, "'-3' is neither a positive number nor the name of an axis"),
        ("x:float32[batch,0]", 17, "neither a positive number"),
        ("x:float32[batch,,3]", 17, "'' is neither a positive number"),
        ("x:float32[batch,?]", 17, "'?' is neither a positive number"),
        ("x:float32[batch,3,batch]", 19, "stands there twice"),
        ("x:int64[batch] from 1", 16, "'from 1' is not a range such as 'in 0..255'"),
        ("x:int64[batch] in 0.5..7", 16, "holds whole numbers"),
        ("x:int64[batch] in 9..7", 16, "9 is more than 7"),
        ("x:uint8[batch] in 0..256", 16, "256 does not fit: uint8 holds 0 to 255"),
        ("x:float16[] = 1e6", 13, "1e6 does not fit: float16 holds"),
        ("x:uint64[] = -1", 12, "-1 does not fit: uint64 holds 0"),
        ("x:string[batch] in 0..1", 17, "an input of byte strings has no range"),
        ("x:complex64[batch] in 0..1", 20, "complex64 has no range"),
        ("x:bool[batch] = 2", 15, "'2' is neither true nor false"),
        ("x:int64[batch] = often", 16, "'often' is not a value of int64"),
        ("x:int64[batch] ~ normal", 16, "only floats are drawn from a distribution"),
        ("x:float32[batch] ~ cauchy", 18, "'cauchy' is neither normal nor uniform"),
    ],
)
def test_an_input_that_makes_no_sense_is_pointed_at(text: str, place: int, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        parse(text)
    assert f"at character {place}:" in caught.value.message


@pytest.mark.parametrize(
    ("text", "spec", "stated"),
    [
        ("x:float32[batch,3,32,32]", TensorSpec("x", "float32", (BATCH, 3, 32, 32)), None),
        ("mask: int64 [ batch , 8 ] ", TensorSpec("mask", "int64", (BATCH, 8)), None),
        ("h:float32[2,batch,64]", TensorSpec("h", "float32", (2, BATCH, 64), sample_axis=1), None),
        ("image:uint8[height,width,3]", TensorSpec("image", "uint8", ("height", "width", 3), sample_axis=None), None),
        ("t:float16[]", TensorSpec("t", "float16", (), sample_axis=None), None),
        ("ids:int64[batch] in 0..9223372036854775807", TensorSpec("ids", "int64", (BATCH,)), Range("ids", 0, 2**63 - 1)),
        ("y:float32[batch] in -1.5 .. 2e3", TensorSpec("y", "float32", (BATCH,)), Range("y", -1.5, 2000.0)),
        ("sr:int64[] = 16000", TensorSpec("sr", "int64", (), sample_axis=None), Fixed("sr", 16000)),
        ("m:int64[batch,seq]=ones", TensorSpec("m", "int64", (BATCH, "seq")), Fixed("m", 1)),
        ("f:bool[] = false", TensorSpec("f", "bool", (), sample_axis=None), Fixed("f", False)),
        ("lang:string[] = en us", TensorSpec("lang", BYTES, (), sample_axis=None), Fixed("lang", b"en us")),
        ('lang:string[] = " "', TensorSpec("lang", BYTES, (), sample_axis=None), Fixed("lang", b" ")),
        ("x:float32[batch,4] ~ normal", TensorSpec("x", "float32", (BATCH, 4)), Distribution("x", "normal")),
    ],
)
def test_inputs_that_make_sense(text: str, spec: TensorSpec, stated: Stated | None) -> None:
    (read,), values = parse_all([text])
    assert read == spec and repr(values) == repr(() if stated is None else (stated,))


def test_one_input_is_stated_once() -> None:
    with pytest.raises(UsageError, match="--input names 'x' twice"):
        parse_all(["x:float32[batch]", "x:float32[batch] in 0..1"])
