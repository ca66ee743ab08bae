"""A program of its own: the answers of a written model, loaded as a user loads it.

Arguments: the folder of the model, the number of threads, the file with what it is called with, and the file for its answers.
"""

from __future__ import annotations

import importlib
import sys

import torch

from roadworthy.frameworks.torch.calling import tensors

if __name__ == "__main__":
    folder, threads, inputs, answers = sys.argv[1:]
    sys.path.insert(0, folder)
    torch.set_num_threads(int(threads))
    network = importlib.import_module("model").model()
    positional, keywords = torch.load(inputs, weights_only=False)
    with torch.no_grad():
        torch.save(dict(tensors(network(*positional, **keywords))), answers)
