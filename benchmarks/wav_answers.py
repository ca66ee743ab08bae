"""A bundle of the frozen keyword graph beside TensorFlow itself, on every wav: ``python wav_answers.py BUNDLE REAL``.

TensorFlow is called as its own documentation calls a graph of version 1: import the GraphDef, run a session.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import roadworthy as rw


def by_hand(model: Path, files: list[Path]) -> np.ndarray:
    """The softmax of each wav, [n, 12]."""
    definition = tf.compat.v1.GraphDef.FromString(model.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return np.concatenate([session.run("labels_softmax:0", {"wav_data:0": file.read_bytes()}) for file in files])


def main(bundle: Path, real: Path) -> None:
    files = sorted((real / "speech-commands").glob("*/*.wav"))
    wanted = by_hand(real / "models" / "keyword_spotting_ds_cnn_s_tf1_frozen.pb", files)
    with rw.load(bundle) as model:
        output = model.signature.outputs[0].name
        given = np.concatenate([np.reshape(model(file).outputs[output], (1, -1)) for file in files])
    same = int((given.argmax(1) == wanted.argmax(1)).sum())
    print(f"{same} of {len(files)} wavs get TensorFlow's own top class, largest difference {np.abs(given - wanted).max():.1e}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
