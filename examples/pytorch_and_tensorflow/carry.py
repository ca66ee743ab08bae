"""The weights that PyTorch trained, in Keras: ``python carry.py OUT`` makes ``net.keras``, and ``wrong.keras`` as it is often done.

Run ``in_pytorch.py OUT`` before. Then hold them side by side::

    roadworthy compare OUT/net.pt OUT/net.keras OUT/wrong.keras --arch A=in_pytorch.py:Net --data OUT/digits.npz -o OUT/comparison.html

Kernels are transposed: a convolution's from [out, in, height, width] to [height, width, in, out], a dense one's from [out, in] to
[in, out]. That alone is not enough. PyTorch flattens channels, height, width and Keras height, width, channels, so the first dense
layer behind a flattening gets its features in another order, and the rows of its kernel must follow. Every shape fits without
that, nothing raises, and the answers are wrong: ``wrong.keras``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import digits
import keras
import numpy as np
import torch
from in_pytorch import Net
from in_tensorflow import build


def carry(source: Net, target: keras.Model, *, reorder: bool = True) -> keras.Model:
    """``target`` with the weights of ``source``; without ``reorder`` the flatten order is forgotten."""
    state = {name: tensor.numpy() for name, tensor in source.state_dict().items()}
    for name in ("conv1", "conv2"):
        target.get_layer(name).set_weights([state[f"{name}.weight"].transpose(2, 3, 1, 0), state[f"{name}.bias"]])
    for name in ("dense1", "dense2"):
        kernel = state[f"{name}.weight"].T
        if name == "dense1" and reorder:
            channels = len(state["conv2.bias"])
            side = int((len(kernel) / channels) ** 0.5)
            kernel = kernel.reshape(channels, side, side, -1).transpose(1, 2, 0, 3).reshape(len(kernel), -1)
        target.get_layer(name).set_weights([kernel, state[f"{name}.bias"]])
    return target


def main(out: Path) -> None:
    source = Net()
    source.load_state_dict(torch.load(out / "net.pt", weights_only=True))
    carry(source, build()).save(out / "net.keras")
    carry(source, build(), reorder=False).save(out / "wrong.keras")
    images, labels = digits.held_out()
    np.savez(out / "digits.npz", x=np.moveaxis(images, -1, 1), y=labels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
