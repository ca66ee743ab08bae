"""TFLite models as data: signature, operators and quantisation, read from the flatbuffer without an interpreter.

Field numbers are those of tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build.sources.parsers import flatbuffer, tf_operators
from roadworthy.build.sources.parsers.batch_symbol import UNNAMED
from roadworthy.build.sources.parsers.untrusted import mapped, reading, shown
from roadworthy.core.types import BATCH, BYTES, Quantization, Signature, TensorSpec

DTYPES = (
    "float32", "float16", "int32", "uint8", "int64", BYTES, "bool", "int16", "complex64", "int8", "float64", "complex128", "uint64",
    "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4", "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip
"""TensorType, by number."""
_NAMES = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED
    HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU
    RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM
    EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE
    UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE
    BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN
    TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX
    PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE
    RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU
    REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5
    SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D
    IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE
    ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1
    UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT
    STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP
    STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE
    STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
    STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER
    STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA
    STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE
    STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
"""
OPERATORS = tuple(_NAMES.split())
"""BuiltinOperator, by number."""
CUSTOM = 32
STORED_BEHIND = 1


SERVING = "serving_default"


@dataclass(frozen=True)
class TfliteSignature:
    """A function of the file: the ``number`` of its signature definition, its key, its subgraph, inputs and outputs by its own names.

    Without a definition (``number`` -1) it is the first subgraph under the names of the tensors. ``among_others`` says that a reader
    without signatures would run another function, or know its tensors by other names.
    """

    number: int
    key: str
    subgraph: int
    signature: Signature
    quantised: bool
    among_others: bool = False


@dataclass(frozen=True)
class TfliteFile:
    """One TFLite model. ``signatures`` are its signature definitions, and ``bare`` is the first subgraph under its tensors' names.

    ``operators`` are names of TFLite's own, ``custom`` those that the interpreter must be given; ``executes`` the ones among
    these that would do more than compute. ``variables`` counts operators on variables, which a correct conversion freezes;
    ``states`` names the tensors that keep their values between calls.
    """

    bare: TfliteSignature
    signatures: tuple[TfliteSignature, ...]
    tensors: tuple[TensorSpec, ...]
    operators: tuple[str, ...]
    custom: tuple[str, ...]
    executes: tuple[str, ...]
    version: int
    variables: int
    states: tuple[str, ...]

    @property
    def usual(self) -> str | None:
        """The key of the signature that is meant where none is named, "" for ``bare``; ``None`` where that leaves a choice."""
        keys = [one.key for one in self.signatures]
        if SERVING in keys:
            return SERVING
        return None if len(keys) > 1 else (keys or [""])[0]


def read(path: Path) -> TfliteFile:
    """What the file states; SourceUnreadable where it is damaged."""
    with reading(path, "TFLite model"):
        return _model(flatbuffer.root(mapped(path)))


def _model(model: flatbuffer.FlatTable) -> TfliteFile:
    graphs = model.tables(2)
    if not graphs:
        raise ValueError("it holds no graph")
    codes = [operator(code) for code in model.tables(1)]
    used = [codes[_index(one.scalar(0, "I"), codes)] for graph in graphs for one in graph.tables(3)]
    stored = _stored(model)
    tensors = [[_tensor(tensor) for tensor in graph.tables(0)] for graph in graphs]
    weights: dict[int, TensorSpec] = {}
    for graph, specs in zip(graphs, tensors, strict=True):
        for spec, tensor in zip(specs, graph.tables(0), strict=True):
            if (buffer := int(tensor.scalar(2, "I"))) in stored:
                weights.setdefault(buffer, spec)
    names = sorted({name for name, custom in used if not custom})
    custom = sorted({shown(name) for name, custom in used if custom})
    return TfliteFile(
        _bare(graphs[0], tensors[0]), _signatures(model, graphs, tensors), tuple(weights.values()), tuple(names), tuple(custom),
        tuple(use for name in custom if (use := _flex(name))),
        int(model.scalar(0, "I")), sum(name in ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE") for name, _ in used),
        tuple(shown(spec.name) for graph, specs in zip(graphs, tensors, strict=True)
              for spec, tensor in zip(specs, graph.tables(0), strict=True) if tensor.scalar(5, "b")),
    )  # fmt: skip


def _whole(spec: TensorSpec) -> bool:
    return spec.dtype in ("int8", "uint8", "int16", "int4")


def operator(code: flatbuffer.FlatTable) -> tuple[str, bool]:
    """Its name, and whether the interpreter must be given it. A code above 127 is in the newer of the two fields only."""
    number = max(int(code.scalar(0, "b")), int(code.scalar(3, "i")))
    if number == CUSTOM:
        return code.text(1), True
    return (OPERATORS[number], False) if 0 <= number < len(OPERATORS) else (f"BUILTIN_{number}", False)


def _flex(name: str) -> str:
    op = name.removeprefix("Flex")
    return f"{name}, TensorFlow's {op}, which {tf_operators.does(op)}" if name.startswith("Flex") and tf_operators.does(op) else ""


def _tensor(tensor: flatbuffer.FlatTable) -> TensorSpec:
    kind = int(tensor.scalar(1, "b"))
    sizes, signature = tensor.numbers(0, "i"), tensor.numbers(7, "i")
    # A size that is not fixed is 1 in the shape and -1 in the shape's signature.
    open_ = {axis for axis, size in enumerate(signature) if size < 0} if len(signature) == len(sizes) else set()
    shape = tuple((UNNAMED if axis else BATCH) if axis in open_ else int(size) for axis, size in enumerate(sizes))
    scales = _scales(tensor)
    dtype = DTYPES[kind] if 0 <= kind < len(DTYPES) else "unknown"
    quantization = Quantization(scales[0][0], scales[0][1]) if len(scales) == 1 else None
    return TensorSpec(tensor.text(3), dtype, shape, quantization)


def _scales(tensor: flatbuffer.FlatTable) -> tuple[tuple[float, int], ...]:
    quantization = tensor.table(4)
    if quantization is None:
        return ()
    scales, zeros = quantization.numbers(2, "f"), quantization.numbers(3, "q")
    return tuple((float(scale), int(zeros[number]) if number < len(zeros) else 0) for number, scale in enumerate(scales))


def _bare(graph: flatbuffer.FlatTable, tensors: list[TensorSpec]) -> TfliteSignature:
    inputs, outputs = (tuple(tensors[_index(number, tensors)] for number in graph.numbers(field, "i")) for field in (1, 2))
    return TfliteSignature(-1, "", 0, Signature(inputs, outputs), _quantised(graph, tensors))


def _quantised(graph: flatbuffer.FlatTable, tensors: list[TensorSpec]) -> bool:
    """Whether some of it computes in whole numbers."""
    return any(_whole(spec) and _scales(tensor) for spec, tensor in zip(tensors, graph.tables(0), strict=True))


def _signatures(
    model: flatbuffer.FlatTable, graphs: tuple[flatbuffer.FlatTable, ...], tensors: list[list[TensorSpec]]
) -> tuple[TfliteSignature, ...]:
    found = []
    for number, definition in enumerate(model.tables(7)):
        subgraph = int(definition.scalar(4, "I"))
        if subgraph >= len(graphs):
            raise ValueError(f"it names number {subgraph} of {len(graphs)}")
        own = tensors[subgraph]
        sides = [[(one.text(0), own[_index(one.scalar(1, "I"), own)]) for one in definition.tables(field)] for field in (0, 1)]
        given, answered = (tuple(replace(spec, name=name) for name, spec in side) for side in sides)
        # One of each is told apart without its name.
        renamed = any(len(side) > 1 and any(name != spec.name for name, spec in side) for side in sides)
        among = len(model.tables(7)) > 1 or subgraph > 0 or renamed
        whole = _quantised(graphs[subgraph], own)
        found.append(TfliteSignature(number, definition.text(2), subgraph, Signature(given, answered), whole, among))
    return tuple(found)


def _index(number: int | float, among: Sequence[object]) -> int:
    if not 0 <= number < len(among):
        raise ValueError(f"it names number {int(number)} of {len(among)}")
    return int(number)


def _stored(model: flatbuffer.FlatTable) -> frozenset[int]:
    """The numbers of the buffers that hold something. In a file above 2 GB their bytes lie behind the FlatBuffer."""
    found = set()
    for number, buffer in enumerate(model.tables(4)):
        start, size = int(buffer.scalar(1, "Q")), int(buffer.scalar(2, "Q"))
        if start > STORED_BEHIND and start + size > len(model.data):
            raise ValueError(f"its weights end at {start + size} and the file at {len(model.data)}")
        if buffer.length(0) or (start > STORED_BEHIND and size):
            found.add(number)
    return frozenset(found - {0})
