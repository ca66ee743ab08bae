"""Importing this module imports TensorFlow and Keras, set as its models need it: seconds, for a process that is then forked."""

from __future__ import annotations

from roadworthy.frameworks.tensorflow import framework

framework.framework()

import h5py  # noqa: E402, F401
import keras  # noqa: E402, F401
