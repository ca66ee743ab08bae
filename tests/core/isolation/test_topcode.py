"""What a file does at import is seen in its text: work is found, definitions and setting up are not."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from roadworthy.core.isolation import topcode

DEFINITIONS = '''"""A model."""
from __future__ import annotations
import logging, os, sys
import torch
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from collections import namedtuple
from dataclasses import dataclass

if TYPE_CHECKING:
    import numpy
__all__ = ["Net"]
__all__.extend(["Other"])
T = TypeVar("T")
Point = namedtuple("Point", "x y")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SCALE = torch.nn.Parameter(torch.zeros(3))
NAME = "a-b".replace("-", "_")
LABELS = open("labels.txt").read().split()
logger = logging.getLogger(__name__)
logging.basicConfig(level="INFO")
logger.info("here")
torch.manual_seed(0)
torch.set_num_threads(1)
torch.nn.init.xavier_uniform_(SCALE)
sys.path.append("lib")
os.environ.setdefault("OMP_NUM_THREADS", "1")
print("a model")
try:
    import apex
except ImportError:
    apex = None
with open("config.yaml") as file:
    CONFIG = file.read()
for size in (1, 2, 3):
    __all__.append(f"Net{size}")
later = lambda: train()

@register("net")
@dataclass
class Net(torch.nn.Module):
    size: int = field(default=3)

    def forward(self, x):
        return train(x)

def train(x):
    torch.save(x, "net.pt")

model = Net()
model.eval()
model.load_state_dict(torch.load("net.pt"))
train_transform = Compose([ToTensor()])
if __name__ == "__main__":
    train(model)
if "__main__" != __name__:
    pass
else:
    train(model)
'''


def test_definitions_and_setting_up_run_nothing() -> None:
    assert topcode.statements(DEFINITIONS) == ()


@pytest.mark.parametrize(
    "line",
    [
        "train(model)",
        "main()",
        "model(x)",
        "history = model.fit(x, y)",
        "accuracy: float = evaluate(model)",
        "total += run_epoch(model)",
        "torch.save(model, 'net.pt')",
        "Path('net.pt').write_bytes(b'')",
        "Path(__file__).with_name('net.pt').unlink()",
        "open('log.txt', 'w').write('x')",
        "log = open('log.txt', mode='a')",
        "os.remove('net.pt')",
        "os.rename('a.pt', 'net.pt')",
        "shutil.copyfile('a.pt', 'net.pt')",
        "os.system('python train.py')",
        "done = subprocess.run(['python', 'train.py'])",
        "trainset = MNIST('data', download=True)",
        "(x, y), test = keras.datasets.mnist.load_data()",
        "results = [train(seed) for seed in range(3)]",
        "while True: pass",
        "for epoch in range(10): step(epoch)",
        "for images, labels in train_loader: total = total + 1",
        "for seed in range(3):\n    model = Net()\n    model.fit(seed)",
        "if not os.path.exists('net.pt'): train(model)",
        "try:\n    train(model)\nfinally:\n    pass",
        "with torch.no_grad(): train(model)",
        "with mlflow.start_run() as run: optimizer.step()",
        "match mode:\n    case 'train': train(model)",
        "class Net:\n    weights = train()",
        "if __name__ != '__main__': train(model)",
        "if __name__ == '__main__':\n    pass\nelse:\n    train(model)",
        "asyncio.run(main())",
    ],
)
def test_work_at_the_top_level_is_found(line: str) -> None:
    ast.parse(line)
    (found,) = topcode.statements(f"import torch\n\n{line}\n")
    assert found.line >= 3


def test_the_sentence_names_lines_and_the_first_statements() -> None:
    found = topcode.statements("\n".join(f"train({number})" for number in range(5)) + "\n" + "x" * 80 + "()")
    said = topcode.sentence("train.py", found)
    assert said.startswith("train.py runs code when it is imported: line 1 `train(0)`; line 2 `train(1)`; line 3 `train(2)`; and 3 more.")
    assert said.endswith('Move it under `if __name__ == "__main__":`')
    assert len(found[-1].text) == topcode.WIDTH


@pytest.mark.parametrize("content", [b"def (", b"\xff\xfe\x00", b"\0", b"(" * 100_000])
def test_what_is_no_python_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.py").write_bytes(content)
    assert topcode.of_file(tmp_path / "net.py") == ()
    assert topcode.of_file(tmp_path / "none.py") == ()


def test_most_of_the_standard_library_only_defines() -> None:
    files = [file for file in Path(ast.__file__).parent.glob("*.py") if file.stem in sys.stdlib_module_names]
    noticed = [file.name for file in files if topcode.of_file(file)]
    assert len(files) > 100
    assert len(noticed) < len(files) / 5, noticed
