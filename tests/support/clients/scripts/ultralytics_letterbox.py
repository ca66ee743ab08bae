"""Ultralytics' own LetterBox on the images of an ``.npz``: ``IMAGES.npz OUT.npz ARGUMENTS`` (JSON: a list of keyword arguments).

The images are in RGB; the library gets them in BGR, as it reads files.
"""

import json
import sys

import numpy as np
from ultralytics.data.augment import LetterBox

with np.load(sys.argv[1]) as images:
    given = {name: images[name] for name in images.files}
answers = {
    f"{number}.{name}": LetterBox(**arguments)(image=image[:, :, ::-1])[:, :, ::-1]
    for number, arguments in enumerate(json.loads(sys.argv[3]))
    for name, image in given.items()
}
np.savez(sys.argv[2], **answers)
print(json.dumps(sorted(answers)))
