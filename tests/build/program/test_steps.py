"""Each step of the preprocessing in C++ gives the numbers of the same step in Python: uint8 to the bit, floats within a last bit or two."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from roadworthy.build.program import image_files, steps
from roadworthy.core.errors import DataError
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.sound.sounds import AudioSteps
from roadworthy.preprocess.steps import (
    ChannelsFirst,
    Crop,
    CropFraction,
    CropToAspect,
    Decode,
    Grey,
    Letterbox,
    Normalize,
    Resize,
    ReverseChannels,
    Step,
)
from support.programs import contracts

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing here")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def resizes() -> dict[str, tuple[Step, ...]]:
    """Every valid kernel, smaller in one axis and larger in the other."""
    found: dict[str, tuple[Step, ...]] = {}
    for like in ("pillow", "torch", "tf", "opencv"):
        for filter in FILTERS:
            for antialias in (True, False):
                for centers in ("half", "corner", "aligned"):
                    for rounded in (True, False):
                        step = Resize((19, 53), filter, antialias, None, centers, rounded, like)  # type: ignore[arg-type]
                        try:
                            step.check(10_000)
                        except DataError:
                            continue
                        found["-".join((like, filter, str(antialias), centers, str(rounded)))] = (Decode(), step)
    return found


OTHERS: dict[str, tuple[Step, ...]] = {
    "grey": (Decode("L"),),
    "shorter side, crop, normalised": (Decode(), Resize(24), Crop(20), ChannelsFirst(), Normalize(1 / 255, MEAN, STD, 0)),
    "torch's order": (Decode(), Resize((8, 9)), ChannelsFirst(), Normalize(1 / 255, MEAN, STD, 0, arithmetic="torch")),
    "numpy's order": (Decode(), Resize((8, 9)), Normalize(0.00392156862745098, MEAN, STD, 2, arithmetic="numpy")),
    "keras's order": (Decode(), Resize((8, 9)), Normalize(1 / 127.5, (1.0,), (1.0,), 2, arithmetic="keras")),
    "caffe": (Decode(), Resize((8, 9), rounded=False), ReverseChannels(), Normalize(1.0, (103.939, 116.779, 123.68), (1.0,), 2)),
    "int8": (Decode(), Resize((8, 9)), Normalize(1.0, (128.0,), (1.0,), 2, "int8")),
    "longest side": (Decode(), Resize(None, longest=20, like="torch")),
    "shorter side with a limit": (Decode(), Resize(28, longest=36, rounded=False, antialias=False)),
    "letterbox": (Decode(), Letterbox((40, 64))),
    "letterbox with a stride": (Decode(), Letterbox(64, stride=32, scale_up=False, centered=False)),
    "letterbox of Pillow": (Decode(), Letterbox(33, antialias=True, filter="bicubic")),
    "crop with padding": (Decode(), Crop((60, 20))),
    "crop with padding, floor": (Decode(), Crop((60, 21), "floor")),
    "crop rounded down": (Decode(), Crop((20, 20), "down")),
    "crop rounded to even": (Decode(), Crop((20, 20), "even")),
    "crop that resizes": (Decode(), Crop((50, 40), larger="resize")),
    "crop to a fraction": (Decode(), CropFraction(0.875)),
    "crop to an aspect": (Decode(), CropToAspect((30, 20)), Resize((30, 20))),
    "grey in three channels": (Decode(), Grey(3)),
    "grey as torch": (Decode(), Grey(1, "torch")),
    "turned": (Decode(orient=True), Resize((10, 12))),
}
ALL = resizes() | OTHERS


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return contracts(tmp_path_factory.mktemp("steps"), list(ALL.values()))


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.random.default_rng(5).integers(0, 256, (31, 47, 3), np.uint8)
    file = tmp_path_factory.mktemp("pictures") / "noise.ppm"
    file.write_bytes(b"P6\n# a comment\n47 31\n255\n" + pixels.tobytes())
    return file


def sample(program: Path, name: str, file: Path, like: np.ndarray) -> np.ndarray:
    done = subprocess.run([program, str(list(ALL).index(name)), file], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    dtype = np.float32 if like.dtype == np.int8 else like.dtype
    assert len(done.stdout) == like.size * np.dtype(dtype).itemsize
    return np.frombuffer(done.stdout, dtype).reshape(like.shape)


@pytest.mark.parametrize("name", ALL)
def test_a_step_gives_the_numbers_of_the_same_step_in_python(program: Path, picture: Path, name: str) -> None:
    pixels = np.frombuffer(picture.read_bytes()[-31 * 47 * 3 :], np.uint8).reshape(31, 47, 3)
    expected = Preprocessor(ALL[name]).one(pixels)
    found = sample(program, name, picture, expected)
    if expected.dtype == np.uint8:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=3e-7, atol=3e-5 * (np.abs(expected).max() / 255))


def formats(folder: Path) -> dict[str, Path]:
    """Images in every mode of the formats that are read."""
    generator = np.random.default_rng(9)
    smooth = Image.fromarray(generator.integers(0, 256, (5, 7, 3), np.uint8)).resize((50, 34), Image.Resampling.BICUBIC)
    files = {}

    def save(name: str, image: Image.Image, **options: object) -> None:
        files[name] = folder / name
        image.save(files[name], **options)

    for quality, subsampling in ((95, 0), (75, 2), (30, 1)):
        save(f"{quality}.jpg", smooth, quality=quality, subsampling=subsampling)
    save("grey.jpg", smooth.convert("L"))
    save("progressive.jpg", smooth, progressive=True)
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1"):
        save(f"{mode}.png", smooth.convert(mode))
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        save(f"turned{orientation}.jpg", smooth, exif=exif.tobytes())
    save("turned.png", smooth, exif=exif.tobytes())
    save("deep.png", Image.fromarray(generator.integers(0, 2**16, (9, 8), np.uint16)))
    return files


@pytest.mark.parametrize("name", ["grey", "turned", "crop rounded to even"])
def test_image_files_give_the_pixels_of_pillow(program: Path, tmp_path: Path, name: str) -> None:
    if len(image_files.found()) < 2:
        pytest.skip("the static libraries of libjpeg and libpng are not installed")
    for file in formats(tmp_path).values():
        expected = Preprocessor(ALL[name]).one(file)
        np.testing.assert_array_equal(sample(program, name, file, expected), expected, err_msg=file.name)


def test_truncated_and_damaged_files_are_refused(program: Path, picture: Path, tmp_path: Path) -> None:
    if len(image_files.found()) < 2:
        pytest.skip("the static libraries of libjpeg and libpng are not installed")
    files = [file for name, file in formats(tmp_path).items() if name in ("75.jpg", "progressive.jpg", "RGB.png", "P.png")]
    for file in [*files, picture]:
        whole = file.read_bytes()
        for kept in (3, 12, 30, len(whole) // 2, len(whole) - 20):
            cut = tmp_path / f"cut{file.suffix}"
            cut.write_bytes(whole[:kept])
            done = subprocess.run([program, "0", cut], capture_output=True, text=True, errors="replace", timeout=60)
            assert done.returncode == 1 and done.stderr.startswith("error: ") and not done.stdout, (file.name, kept)


def test_an_image_beyond_the_limit_of_pixels_is_refused(program: Path, tmp_path: Path) -> None:
    (tmp_path / "large.pgm").write_bytes(b"P5 60000 60000 255\n")
    done = subprocess.run([program, "0", tmp_path / "large.pgm"], capture_output=True, text=True)
    assert done.returncode == 1 and "has 60000 x 60000 pixels, more than the limit of 25000000" in done.stderr


def test_what_is_not_an_image_is_named() -> None:
    assert steps.lacking(Contract(audio=AudioSteps(16000))) == "it does not read sounds"
    assert steps.lacking(Contract(image=(Decode(), Resize(3)))) == ""
