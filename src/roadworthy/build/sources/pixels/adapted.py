"""The values of a Keras Normalization that was adapted to data: they are among the weights of its file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from roadworthy.build.sources.pixels.affine import normalised
from roadworthy.build.sources.pixels.keras_layers import FirstLayers


def filled(found: FirstLayers, statistics: Mapping[str, tuple[float, ...]]) -> FirstLayers:
    """``found`` with the values of its adapted Normalization, where ``statistics`` (see ``parsers.hdf5``) are those of one layer."""
    unknown = [layer for layer in found.layers if not layer.scale]
    means = [name for name in statistics if _variance(name) != name and _variance(name) in statistics]
    if len(unknown) != 1 or len(means) != 1:
        return found
    mean, variance = statistics[means[0]], statistics[_variance(means[0])]
    if not mean or len(mean) != len(variance) or not all(map(math.isfinite, (*mean, *variance))) or min(variance) < 0:
        return found
    return replace(found, layers=tuple(normalised(one.name, mean, variance) if one is unknown[0] else one for one in found.layers))


def _variance(mean: str) -> str:
    """The name of the variance beside a mean; any other name as it is."""
    return re.sub(r"/vars/0$", "/vars/1", re.sub(r"/mean(:0)?$", r"/variance\1", mean))
