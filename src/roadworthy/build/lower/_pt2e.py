"""int8 for AOTInductor, after PyTorch's "PT2E" recipe for x86 CPUs: what is quantised, and what has to stay in float32."""

from __future__ import annotations

import operator
from typing import Any

from roadworthy.build.lower import calibration_batches
from roadworthy.core.errors import StepFailed
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Signature

VNNI = ("avx512_vnni", "avx_vnni")
CALIBRATION_SAMPLES, CALIBRATION_BATCH = 256, 32


def quantised(program: Any, signature: Signature, calibration: SampleSet, host: Host) -> Any:
    """The module of ``program`` with int8 weights and activations, calibrated.

    Without VNNI the CPU adds products of 8-bit numbers in 16 bits, which saturate: activations then keep to 7 bits.
    Raises StepFailed where nothing can be quantised.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(reduce_range=not any(map(host.has, VNNI))))
    prepared = prepare_pt2e(with_sources(program.module(check_guards=False)), quantizer)
    with torch.no_grad():
        seen = 0
        for feeds in calibration_batches(calibration, signature, CALIBRATION_BATCH):
            prepared(*[torch.from_numpy(feeds[spec.name].copy()) for spec in signature.inputs])
            seen += signature.inputs[0].count(feeds[signature.inputs[0].name]) or 1
            if seen >= CALIBRATION_SAMPLES:
                break
    converted = convert_pt2e(prepared)
    if not any("quantize_per_tensor" in str(node.target) for node in converted.graph.nodes):
        raise StepFailed("int8 found nothing to quantise: the quantiser handles two-dimensional convolutions and linear layers only")
    return converted


def with_sources(module: Any) -> Any:
    """``module`` with every operator marked as if it came from its layer class, but for those that must stay float32.

    The quantiser looks for layers, and by marks that only a strict export of the original leaves. Without them it
    fails ("Input partition has more than one output node"), and on a strict export of an export it quantises
    nothing and says nothing. An operator says just as well what it is.
    """
    import torch

    aten, nn = torch.ops.aten, torch.nn
    layers = {
        aten.conv2d: nn.Conv2d,
        aten.conv1d: nn.Conv1d,
        aten.linear: nn.Linear,
        aten.add: operator.add,
        aten.add_: operator.add,
        aten.relu: nn.ReLU,
        aten.relu_: nn.ReLU,
        aten.hardtanh: nn.Hardtanh,
        aten.hardtanh_: nn.Hardtanh,
        aten.hardswish: nn.Hardswish,
        aten.hardswish_: nn.Hardswish,
        aten.silu: nn.SiLU,
        aten.silu_: nn.SiLU,
        aten.gelu: nn.GELU,
        aten.tanh: nn.Tanh,
        aten.leaky_relu: nn.LeakyReLU,
    }
    for node in module.graph.nodes:
        if node.op == "call_function":
            packet = getattr(node.target, "overloadpacket", None)
            layer = node.target if of_one_channel(node) else layers.get(packet, node.target)
            node.meta["source_fn_stack"] = [(node.name, layer)]
    return module


def of_one_channel(node: Any) -> bool:
    """Whether it is a convolution of images of one channel, whose memory is in order for channels first and for channels last alike.

    Where the number of samples is free, the compiler takes the answer to such an image for channels first; the int8 convolution gives it
    with the channels last, and the next operator reads the wrong numbers, without an error.
    """
    import torch

    if getattr(node.target, "overloadpacket", None) is not torch.ops.aten.conv2d:
        return False
    image = node.args[0].meta.get("val")
    return image is not None and image.dim() == 4 and int(image.shape[1]) == 1
