"""The header of a safetensors file, by the format's own reader, which maps the file and checks what the header claims."""

from __future__ import annotations

from pathlib import Path

from roadworthy.core.errors import BackendMissing, SourceUnreadable
from roadworthy.core.types import TensorSpec

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
}  # fmt: skip
PROBLEMS = {
    "header too large": "its header claims {length} bytes, more than the format allows",
    "header too small": "it ends within its header; it was cut short",
    "invalid header length": "its header claims {length} bytes and the file has {size}; it was cut short",
    "incomplete metadata": "its tensors do not take the bytes that it holds; it was cut short or added to",
    "invalid offset": "the bytes of a tensor overlap another tensor's or leave a hole",
    "invalid shape": "the shape of a tensor and the bytes that it takes do not agree",
    "overflow": "the shape of a tensor and the bytes that it takes do not agree",
}
"""Parts of the reader's messages, and our words for them."""


def read(path: Path) -> tuple[TensorSpec, ...]:
    """The tensors of the file, in the order of their bytes.

    Raises SourceUnreadable where the header is wrong: about its own length, a dtype, a shape, or offsets that overlap, leave holes or
    lead out of the file; BackendMissing without safetensors.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as problem:
        raise BackendMissing(f"{path} is a safetensors file, and safetensors is not installed: pip install safetensors") from problem
    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.offset_keys()}
            return tuple(
                TensorSpec(name, DTYPES.get(part.get_dtype(), "unknown"), tuple(part.get_shape())) for name, part in slices.items()
            )
    except (SafetensorError, OSError, ValueError) as problem:
        raise SourceUnreadable(f"{path} is not a valid safetensors file: {_words(str(problem), path)}; fetch it again") from None


def _words(message: str, path: Path) -> str:
    for phrase, words in PROBLEMS.items():
        if phrase in message:
            with open(path, "rb") as file:
                return words.format(length=int.from_bytes(file.read(8), "little"), size=path.stat().st_size)
    return f"the header is damaged ({' '.join(message.rpartition('header: ')[2].split())[:200]})"
