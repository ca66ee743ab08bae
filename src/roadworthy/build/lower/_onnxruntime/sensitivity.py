"""Which layers of an ONNX graph lose most by being quantised: the noise that int8 puts into what each of them multiplies.

A layer's relative noise is the sum of those of its two factors, the activation and the weights, as for any product of quantities with
independent errors. Both are read from a quantised draft by ONNX Runtime's own tool (``qdq_loss_debug``).
"""

from __future__ import annotations

from pathlib import Path

from roadworthy.core.types import Arrays

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
SHARE = 0.15
"""How many of the layers stay in float32."""


def name_nodes(path: Path) -> None:
    """Give every node without a name one: the quantiser leaves nodes out by their names."""
    import onnx

    model = onnx.load(path)
    taken = {node.name for node in model.graph.node}
    for number, node in enumerate(model.graph.node):
        if not node.name:
            node.name = next(
                name for name in (f"{node.op_type}_{number}{'_' * more}" for more in range(len(taken) + 1)) if name not in taken
            )
            taken.add(node.name)
    onnx.save(model, path)


def most_sensitive(prepared: Path, draft: Path, feeds: Arrays) -> list[str]:
    """The names of the layers to leave in float32, the noisiest first; at least one where there are two.

    ``draft`` is ``prepared`` quantised; ``feeds`` are samples for one call.
    """
    import onnx
    from onnxruntime.quantization import qdq_loss_debug as debug

    augmented = draft.with_name("augmented.onnx")
    debug.modify_model_output_intermediate_tensors(draft, augmented)
    activations = debug.create_activation_matching(debug.collect_activations(str(augmented), iter([dict(feeds)])))
    weights = debug.compute_weight_error(debug.create_weight_matching(str(prepared), str(draft)))
    ratio = debug.compute_signal_to_quantization_noice_ratio
    noise = {name: 10 ** (-ratio(pair["pre_qdq"], pair["post_qdq"]) / 10) for name, pair in activations.items()}
    noise |= {name: 10 ** (-decibels / 10) for name, decibels in weights.items()}
    layers = [node for node in onnx.load(prepared, load_external_data=False).graph.node if node.op_type in LAYERS]
    found = {node.name: sum(noise[name] for name in node.input[:2]) for node in layers if all(name in noise for name in node.input[:2])}
    count = min(len(found) - 1, max(1, round(SHARE * len(found))))
    return sorted(found, key=lambda name: found[name], reverse=True)[: max(count, 0)]
