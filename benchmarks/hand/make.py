"""The files of every plan that is made by hand: ``python make.py NETWORK OUT REAL`` writes them and ``plans.json`` to the folder OUT.

This is an expert's hour: the vendors' own converters and quantisers, called as their documentation calls them. What a converter cannot do
is printed and left out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import originals
from originals import CALIBRATION, Array, Original

CORES = len(os.sched_getaffinity(0))
FLAGS = frozenset(Path("/proc/cpuinfo").read_text().split())
VNNI, BF16 = bool(FLAGS & {"avx512_vnni", "avx_vnni"}), bool(FLAGS & {"avx512_bf16", "amx_bf16"})
THREADS = sorted({1, CORES})


@dataclass(frozen=True)
class HandPlan:
    """``file`` is loaded by ``runtime`` on ``threads`` threads; ``settings`` are the runtime's own words."""

    runtime: str
    name: str
    file: str
    threads: int
    settings: tuple[tuple[str, str], ...] = ()


def main(network: str, out: Path, real: Path) -> None:
    original = originals.load(network, real)
    x, rest = original.x[:CALIBRATION], slice(CALIBRATION, None)
    np.save(out / "calibration.npy", x)
    np.save(out / "x.npy", original.x[rest])
    if original.y is not None:
        np.save(out / "y.npy", original.y[rest])
    np.save(out / "truth.npy", np.concatenate([original.call(original.x[i : i + 1]) for i in range(CALIBRATION, len(original.x))]))
    onnx = out / "model.onnx"
    plans: list[HandPlan] = []
    makers: list[Callable[[], Iterator[HandPlan]]] = [
        lambda: framework_plans(original),
        lambda: onnxruntime_plans(original, onnx, out),
        lambda: openvino_plans(original, onnx, out, x),
        lambda: litert_plans(original, out, x),
    ]
    for maker in makers:
        try:
            plans += maker()
        except Exception as problem:
            print(f"by hand: left out: {problem!r}"[:300], file=sys.stderr)
    (out / "plans.json").write_text(json.dumps([asdict(plan) for plan in plans]))


def framework_plans(original: Original) -> Iterator[HandPlan]:
    """The framework itself: as it is called, and its own faster forms."""
    if original.framework == "torch":
        for threads in THREADS:
            for form in ("eager", "channels_last", "script"):
                yield HandPlan("torch", f"torch {form} t{threads}", "", threads, (("form", form),))
    else:
        for form in ("call", "function", "xla"):
            yield HandPlan("tensorflow", f"tensorflow {form}", "", CORES, (("form", form),))


def onnxruntime_plans(original: Original, onnx: Path, out: Path) -> Iterator[HandPlan]:
    """float32 and static QDQ int8, on one thread, on all, and spinning."""
    export_onnx(original, onnx)
    for threads in THREADS:
        yield HandPlan("onnxruntime", f"onnxruntime fp32 t{threads}", onnx.name, threads, (("spin", "0"),))
    yield HandPlan("onnxruntime", f"onnxruntime fp32 t{CORES} spin", onnx.name, CORES, (("spin", "1"),))
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str, x: Array) -> None:
            self._feeds = iter([{name: x[i : i + 1]} for i in range(len(x))])

        def get_next(self) -> Any:
            return next(self._feeds, None)

    import onnx as onnx_package

    prepared = out / "prepared.onnx"
    quant_pre_process(str(onnx), str(prepared), skip_symbolic_shape=True)
    name = onnx_package.load(prepared).graph.input[0].name
    for kind in ("U8", "S8") if VNNI else ("U8",):
        file = out / f"ort_{kind}.onnx"
        quantize_static(
            str(prepared), str(file), Reader(name, original.x[:CALIBRATION]), quant_format=QuantFormat.QDQ, per_channel=True,
            reduce_range=not VNNI, weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8 if kind == "U8" else QuantType.QInt8,
        )  # fmt: skip
        for threads in THREADS:
            yield HandPlan("onnxruntime", f"onnxruntime int8 {kind}S8 t{threads}", file.name, threads, (("spin", "0"),))


def export_onnx(original: Original, onnx: Path) -> None:
    """The ONNX file with a batch of any size."""
    if original.framework == "torch":
        import torch

        example = torch.from_numpy(original.x[:2])
        torch.onnx.export(
            original.model, (example,), onnx, dynamo=True, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), external_data=False
        )
        return
    import tensorflow as tf
    import tf2onnx

    spec = (tf.TensorSpec((None, *original.x.shape[1:]), tf.float32, name="x"),)
    tf2onnx.convert.from_function(tf_function(original), input_signature=spec, opset=17, output_path=str(onnx))


def tf_function(original: Original) -> Any:
    """The original as one tf.function of one tensor."""
    import tensorflow as tf

    if original.framework == "keras":
        return tf.function(lambda x: original.model(x, training=False))
    function = original.model.signatures["serving_default"]
    (name,) = function.structured_input_signature[1]
    return tf.function(lambda x: next(iter(function(**{name: x}).values())))


def openvino_plans(original: Original, onnx: Path, out: Path, x: Array) -> Iterator[HandPlan]:
    """float32, bf16 and NNCF's int8 by both presets; a batch of any size and of one; the rest in bf16; pinned and not."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import nncf
    import openvino as ov

    def read() -> Any:
        return ov.convert_model(onnx)

    def save(model: Any, name: str, batch: bool) -> str:
        if batch:
            model.reshape([1, *x.shape[1:]])
        ov.save_model(model, out / f"{name}.xml", compress_to_fp16=False)
        return f"{name}.xml"

    def settings(precision: str, pinned: str) -> tuple[tuple[str, str], ...]:
        return (("precision", precision), ("pinned", pinned))

    precisions = ("f32", "bf16") if BF16 else ("f32",)
    dynamic, static = save(read(), "ov", batch=False), save(read(), "ov_b1", batch=True)
    for precision in precisions:
        for threads in THREADS:
            yield HandPlan("openvino", f"openvino {precision} t{threads}", dynamic, threads, settings(precision, "0"))
            for pinned in ("0", "1"):
                name = f"openvino {precision} b1 t{threads}{' pinned' if pinned == '1' else ''}"
                yield HandPlan("openvino", name, static, threads, settings(precision, pinned))
    for preset in ("MIXED", "PERFORMANCE"):
        dataset = nncf.Dataset([x[i : i + 1] for i in range(len(x))])
        quantised = nncf.quantize(read(), dataset, preset=nncf.QuantizationPreset[preset], subset_size=len(x))
        file = save(quantised, f"ov_{preset}_b1", batch=True)
        for precision in precisions:
            for threads in THREADS:
                for pinned in ("0", "1"):
                    name = f"openvino int8 {preset} {precision} b1 t{threads}{' pinned' if pinned == '1' else ''}"
                    yield HandPlan("openvino", name, file, threads, settings(precision, pinned))


def litert_plans(original: Original, out: Path, x: Array) -> Iterator[HandPlan]:
    """float32 and int8 from TensorFlow's own converter."""
    if original.framework == "torch":
        return
    import tensorflow as tf

    def converter_of() -> Any:
        if original.framework == "keras":
            return tf.lite.TFLiteConverter.from_keras_model(original.model)
        return tf.lite.TFLiteConverter.from_concrete_functions([original.model.signatures["serving_default"]], original.model)

    for kind in ("fp32", "int8"):
        converter = converter_of()
        if kind == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([x[i : i + 1]] for i in range(len(x)))
        (out / f"{kind}.tflite").write_bytes(converter.convert())
        for threads in THREADS:
            yield HandPlan("litert", f"litert {kind} t{threads}", f"{kind}.tflite", threads)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
