"""Write Keras's MobileNetV2 for 224 x 224 images with random weights, the same every time: ``python keras_networks.py OUT.keras``."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras

if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    keras.applications.MobileNetV2(weights=None, classifier_activation=None).save(sys.argv[1])
