"""The export for browsers in a real Chromium: exact arrays, the page as a visitor sees it, and everything that can go wrong there."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image, ImageCms

from roadworthy.build.export._browser.flavours import FLAVOURS
from roadworthy.core.errors import ProgramMissing, StepFailed, UsageError
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec
from roadworthy.preprocess import answer
from roadworthy.preprocess.decode import ImageDecoder
from roadworthy.preprocess.image import Preprocessor
from roadworthy.runtimes import open_session
from roadworthy.runtimes.exported import browser
from roadworthy.runtimes.exported._browser import chromium, wire
from roadworthy.runtimes.exported._browser.chromium import ChromiumPage
from roadworthy.runtimes.exported._browser.pipe import PageTimeout
from roadworthy.runtimes.exported._browser.shown import ShownPage
from support import browser_exports
from support.browser_exports import PLAN, SEES, SIDE, SIGNATURE, Made
from support.waiting import until

pytestmark = pytest.mark.slow

HANGS = "export const open = () => new Promise((done) => { new Worker(new URL('never.js', import.meta.url)).onmessage = done; });"
SLEEPS = """
export const open = async () => ({ threads: 1, close() {}, run: () => { for (;;); } });
"""


@pytest.fixture(scope="module", autouse=True)
def needed() -> None:
    browser_exports.chromium_or_skip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return browser_exports.made(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def visitor() -> Iterator[ChromiumPage]:
    """One Chromium for the pages that people see."""
    with closing(ChromiumPage()) as page:
        yield page


def picture(height: int, width: int) -> Array:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def processes() -> list[str]:
    """The command lines of browsers that sessions of this test started and that still run."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in found if f"--user-data-dir={os.environ['TMPDIR']}" in line]


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each test's browsers have their files in a folder of its own; none of them, and no file, is left at its end."""
    # pytest's own folder must not be made in it.
    tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield
        until(lambda: processes() == [], "the browsers end")
        assert list(Path(folder).iterdir()) == []


def test_a_session_answers_as_the_original_refuses_what_does_not_fit_and_says_what_it_loaded(made: Made) -> None:
    feeds = {"image": np.random.default_rng(3).standard_normal((4, 3, SIDE, SIDE)).astype(np.float32)}
    with closing(browser.load(made.folder, SIGNATURE, replace(PLAN, threads=2))) as session:
        found, want = session.run(feeds)["logits"], made.answers(feeds)
        assert np.abs(found - want).max() < 1e-5 * np.abs(want).max()
        loaded, times = session.loaded(), session.time_calls(feeds, 5)
        with pytest.raises(StepFailed, match=r"the input image is float32 \[1,3,4,4\]; the model takes float32"):
            session.run({"image": np.zeros((1, 3, 4, 4), np.float32)})
        assert (session.run(feeds)["logits"] == found).all()
        assert session.threads == min(2, os.cpu_count() or 1)
    held = sum(path.stat().st_size for path in made.folder.rglob("*") if path.suffix in (".wasm", ".onnx"))
    assert held < loaded.bytes < held + 200_000 and 0 < loaded.gzipped < loaded.bytes and loaded.ms > 0
    assert len(times) == 5 and all(time > 0 for time in times)


def test_arrays_of_every_dtype_arrive_to_the_bit(tmp_path: Path) -> None:
    dtypes = ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
    inputs, outputs = (tuple(TensorSpec(f"{way}_{dtype}", dtype, ("batch", 37)) for dtype in dtypes) for way in ("in", "out"))
    signature = Signature(inputs, outputs)
    nodes = [helper.make_node("Identity", [one.name], [other.name]) for one, other in zip(inputs, outputs, strict=True)]
    folder = browser_exports.lowered(browser_exports.saved(tmp_path / "m.onnx", nodes, signature), tmp_path / "export")
    numbers = np.random.default_rng(4)
    feeds = {
        spec.name: numbers.integers(0, 256, (3, 37 * np.dtype(spec.dtype).itemsize), dtype=np.uint8).view(spec.dtype) for spec in inputs
    }
    feeds["in_bool"] = numbers.integers(0, 2, (3, 37)).astype(bool)
    feeds["in_float32"][0, :5] = [np.nan, np.inf, -np.inf, -0.0, 1e-45]
    with open_session(folder, signature, PLAN) as session:
        found = session.run(feeds)
    for one, other in zip(inputs, outputs, strict=True):
        assert found[other.name].dtype == one.dtype and found[other.name].tobytes() == feeds[one.name].tobytes(), one.name


def dropped(shown: ShownPage, image: Path) -> None:
    """Drag the file to the page and let it go, anywhere on it."""
    with answering(shown):
        dragged(shown, files=[str(image)])


def dragged(shown: ShownPage, **held: Any) -> None:
    for step in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "dragOperationsMask": 1, **held}
        shown.page.call("Input.dispatchDragEvent", 100, type=step, x=300, y=20, data=data)


COPY = """
navigator.clipboard.write([new ClipboardItem({
  'image/png': new Blob([Uint8Array.from(atob('%s'), (letter) => letter.charCodeAt(0))], { type: 'image/png' }),
})])
"""


def pasted(shown: ShownPage, image: Path) -> None:
    """Copy the file's image, and press the keys that paste it."""
    shown.page.call("Browser.grantPermissions", 100, permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    shown.page.evaluate(COPY % base64.b64encode(image.read_bytes()).decode(), 100)
    with answering(shown):
        shown.page.call("Input.dispatchKeyEvent", 100, type="keyDown", key="v", code="KeyV", modifiers=2, commands=["paste"])


@contextmanager
def answering(shown: ShownPage) -> Iterator[None]:
    """The page answers once more."""
    shown.page.evaluate("document.documentElement.dataset.state = 'ready'", 100)
    yield
    until(lambda: shown.page.evaluate("document.documentElement.dataset.state", 100) == "answered", "the page answers")


def test_the_page_checks_itself_and_answers_an_image(made: Made, visitor: ChromiumPage, tmp_path: Path) -> None:
    pixels = picture(41, 30)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    (tmp_path / "image.tif").write_bytes(b"II*\0")
    with ShownPage(visitor, made.folder) as shown:
        assert shown.text("verdict") == "Ready: this browser gives the original’s answers."
        (error,) = shown.data("errors")
        assert error["name"] == "logits" and error["error"] < 1e-5
        assert " ms for the model, " in shown.give(tmp_path / "image.png")
        feeds = {"image": Preprocessor(SEES.image).one(pixels)[None]}
        want = made.answers(feeds)
        assert np.abs(np.array(shown.data("outputs")[0]) - want).max() < 1e-5 * np.abs(want).max()
        best = answer.read_out(SEES.answer, {"logits": want})[0]
        assert shown.text("ranking").split("\n") == [text for one in best for text in (one.label, f"{one.score * 100:.1f} %")]
        shown.give(tmp_path / "image.png")  # the same once more
        shown.photograph(tmp_path / "page.png")
        for way in (dropped, pasted):
            pixels = picture(30, 41 if way is dropped else 43)
            Image.fromarray(pixels).save(tmp_path / "image.png")
            way(shown, tmp_path / "image.png")
            want = made.answers({"image": Preprocessor(SEES.image).one(pixels)[None]})
            assert np.abs(np.array(shown.data("outputs")[0]) - want).max() < 1e-5 * np.abs(want).max(), way
        dragged(shown, items=[{"mimeType": "text/plain", "data": "words"}])
        until(lambda: shown.text("said") == "That has no image file in it.", "the page says that it was given no image")
        assert "no browser decodes TIFF" in shown.give(tmp_path / "image.tif")
        assert all(url.startswith((shown.site.address, f"blob:{shown.site.address}", "data:")) for url in shown.page.requested())
        assert shown.page.said() == ""
    with Image.open(tmp_path / "page.png") as photo:
        assert photo.format == "PNG" and photo.width == 1000 and len(set(photo.convert("L").get_flattened_data())) > 20


@pytest.mark.parametrize("flavour", [flavour.name for flavour in FLAVOURS[1:]])
def test_the_page_of_every_other_flavour_is_ready_too(visitor: ChromiumPage, tmp_path: Path, flavour: str) -> None:
    batch = next(one.batch for one in FLAVOURS if one.name == flavour)
    other = browser_exports.made(tmp_path, replace(PLAN, flavour=flavour, batch=batch))
    Image.fromarray(picture(41, 30)).save(tmp_path / "image.png")
    with ShownPage(visitor, other.folder) as shown:
        assert shown.text("verdict") == "Ready: this browser gives the original’s answers." and flavour in shown.text("runtime")
        shown.give(tmp_path / "image.png")
        want = other.answers({"image": Preprocessor(SEES.image).one(picture(41, 30))[None]})
        assert np.abs(np.array(shown.data("outputs")[0]) - want).max() < 1e-5 * np.abs(want).max()
        imports = json.loads((other.folder / "model.json").read_bytes())["import_map"]
        assert bool(imports) == (flavour == "litertjs") and imports in (other.folder / "README.md").read_text()


def test_the_readmes_own_server_is_enough_and_gives_one_thread(made: Made, visitor: ChromiumPage, tmp_path: Path) -> None:
    folder = made.copied(tmp_path / "export")
    page = json.loads((folder / "page.json").read_bytes())
    (folder / "page.json").write_text(json.dumps(page | {"threads": 2}))
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        visitor.show(f"http://127.0.0.1:{port}/", 100)
        until(lambda: visitor.evaluate("document.documentElement.dataset.state", 100) in ("ready", "failed"), "the page is ready")
        words = visitor.evaluate("document.body.innerText", 100)
        assert "Ready: this browser gives the original’s answers." in words
        assert "onnxruntime-web on 1 thread; this server does not isolate the page" in words
        assert visitor.said() == ""
    finally:
        server.kill()
        server.wait()
        if server.stdout:
            server.stdout.close()


def test_the_page_says_so_where_its_answers_are_others(made: Made, visitor: ChromiumPage, tmp_path: Path) -> None:
    folder = made.copied(tmp_path / "export")
    arrays = dict(np.load(folder / "golden.npz"))
    arrays["out.logits"][0, 0] += 1
    np.savez(folder / "golden.npz", **arrays)
    with ShownPage(visitor, folder) as shown:
        assert shown.text("verdict").startswith("This browser gives other answers than the original")
        assert "different" in shown.text("outputs")


def other_colours() -> bytes:
    """A profile of colours by which red is blue: a browser that follows it shows other pixels."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"....", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"....", b"bXYZ", 1)


def images() -> dict[str, bytes]:
    """Files of each format that the browser decodes, in odd sizes."""
    rows, columns = np.mgrid[0:61, 0:83]
    waves = np.stack([128 + 90 * np.sin(columns / 9 + rows / 17), 128 + 90 * np.cos(rows / 7), columns * 3 % 256], -1)
    image = Image.fromarray(waves.astype(np.uint8))
    ways: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "jpeg": (image, "JPEG", {}),
        "jpeg, all colours": (image, "JPEG", {"subsampling": 0, "quality": 95}),
        "jpeg, progressive": (image, "JPEG", {"progressive": True, "quality": 60}),
        "jpeg, grey": (image.convert("L"), "JPEG", {}),
        "jpeg, a profile of colours": (image, "JPEG", {"icc_profile": other_colours()}),
        "webp": (image, "WEBP", {}),
        "webp, lossless": (image, "WEBP", {"lossless": True}),
        "bmp": (image, "BMP", {}),
        "gif": (image, "GIF", {}),
    }
    for orientation in (3, 5, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        ways[f"jpeg, orientation {orientation}"] = (image, "JPEG", {"exif": exif})
    exif = Image.Exif()
    exif[0x0112] = 6
    ways["webp, orientation 6"] = (image, "WEBP", {"exif": exif})
    files = {}
    for name, (one, kind, options) in ways.items():
        file = BytesIO()
        one.save(file, kind, **options)
        files[name] = file.getvalue()
    return files


DECODED = """
(async () => {
  const { decode } = await import('/js/preprocess/decode.js');
  const bytes = Uint8Array.from(atob('%s'), (letter) => letter.charCodeAt(0));
  const { height, width, channels, data } = await decode({ color: 'RGB', pixel_limit: 1e8, orient: %s, deep: 'upper' }, bytes);
  let text = '';
  for (const value of data) text += String.fromCharCode(value);
  return [height, width, channels, btoa(text)];
})()
"""


def decoded(shown: ShownPage, file: bytes, *, orient: bool = True) -> Array:
    *shape, text = shown.page.evaluate(DECODED % (base64.b64encode(file).decode(), str(orient).lower()), 100)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


CANVAS = """
(async () => {
  const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob('%s'), (letter) => letter.charCodeAt(0))]));
  const canvas = Object.assign(document.createElement('canvas'), { height: bitmap.height, width: bitmap.width });
  const context = canvas.getContext('2d');
  context.drawImage(bitmap, 0, 0);
  return [canvas.height, canvas.width, ...context.getImageData(0, 0, 1, 1).data];
})()
"""


def test_a_canvas_by_itself_changes_pixels_without_a_word(made: Made, visitor: ChromiumPage) -> None:
    clear = BytesIO()
    Image.new("RGBA", (4, 4), (201, 101, 51, 3)).save(clear, "PNG")
    with ShownPage(visitor, made.folder) as shown:
        for name, file in {**images(), "png, nearly clear": clear.getvalue()}.items():
            height, width, *pixel = shown.page.evaluate(CANVAS % base64.b64encode(file).decode(), 100)
            want = np.asarray(ImageDecoder("RGB", 10**8).decode(file).image)
            differs = (height, width) != want.shape[:2] or np.abs(np.array(pixel[:3]) - want[0, 0]).max() > JPEG_LEVELS
            assert differs == (name in ("jpeg, a profile of colours", "png, nearly clear") or name.startswith("jpeg, orientation")), name
        assert (decoded(shown, clear.getvalue()) == [201, 101, 51]).all()


JPEG_LEVELS = 2
"""By how many levels of 255 a pixel may differ where another version of a decoder is built into the browser. Seen: none."""


def test_images_that_the_browser_decodes_have_the_servers_pixels(made: Made, visitor: ChromiumPage) -> None:
    with ShownPage(visitor, made.folder) as shown:
        for name, file in images().items():
            for orient in (False, True):
                got, want = decoded(shown, file, orient=orient), np.asarray(ImageDecoder("RGB", 10**8, orient).decode(file).image)
                assert got.shape == want.shape, name
                lossy = name.startswith("jpeg") or name == "webp"
                assert np.abs(got.astype(int) - want).max() <= (JPEG_LEVELS if lossy else 0), name
        clear = BytesIO()
        Image.new("RGBA", (8, 8), (200, 100, 50, 128)).save(clear, "WEBP", lossless=True)
        with pytest.raises(StepFailed, match="transparent in places"):
            decoded(shown, clear.getvalue())
        with pytest.raises(StepFailed, match="the browser cannot decode this image"):
            decoded(shown, images()["jpeg"][:40] + b"\xff\xd9")


# What goes wrong.


def test_a_runtime_that_never_opens_is_ended(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made.copied(tmp_path / "export")
    (folder / "runtime" / "never.js").write_text("for (;;);")
    (folder / "runtime" / "adapter.js").write_text(HANGS)
    browser_exports.restated(folder)
    real = ChromiumPage.evaluate
    monkeypatch.setattr(
        ChromiumPage, "evaluate", lambda page, words, limit: real(page, words, 1.0 if "roadworthy.open" in words else limit)
    )
    with pytest.raises(PageTimeout, match="onnxruntime-web in the browser cannot open the model: the page did not answer within 1 s"):
        browser.load(folder, SIGNATURE, PLAN)


def test_a_call_that_never_returns_is_ended_and_no_other_follows(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made.copied(tmp_path / "export")
    (folder / "runtime" / "adapter.js").write_text(SLEEPS)
    browser_exports.restated(folder)
    session = browser.load(folder, SIGNATURE, PLAN)
    monkeypatch.setattr(browser, "CALL_S", 0.5)
    try:
        with pytest.raises(PageTimeout, match=r"did not answer within 0\.5 s"):
            session.run(made.golden.inputs)
        with pytest.raises(StepFailed, match="open the session again"):
            session.run(made.golden.inputs)
    finally:
        session.close()


def test_a_page_that_crashes_is_said(made: Made, tmp_path: Path) -> None:
    with closing(browser.load(made.folder, SIGNATURE, PLAN)) as session:
        assert session._page is not None
        with pytest.raises(StepFailed):
            session._page.call("Page.crash", 1.0)
        with pytest.raises(StepFailed, match="the page crashed"):
            session.run(made.golden.inputs)


def test_a_policy_without_webassembly_is_said(made: Made, tmp_path: Path) -> None:
    folder = made.copied(tmp_path / "export")
    policy = json.loads((folder / "model.json").read_bytes())["policy"]
    browser_exports.restated(folder, policy=policy.replace(" 'wasm-unsafe-eval'", ""))
    with pytest.raises(StepFailed, match=r"cannot open the model: .*(CompileError|Content Security Policy)"):
        browser.load(folder, SIGNATURE, PLAN)


def test_an_operator_that_the_runtime_does_not_know_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Rotate", ["image"], ["logits"], name="turn_it")
    folder = browser_exports.lowered(browser_exports.saved(tmp_path / "m.onnx", [node], SIGNATURE), tmp_path / "export")
    with pytest.raises(StepFailed, match="Rotate"):
        browser.load(folder, SIGNATURE, PLAN)


@pytest.mark.parametrize("name", ["model/model.onnx", "runtime/ort-wasm-simd-threaded.wasm", "js/open.js", "runtime/adapter.js"])
def test_a_damaged_file_is_named(made: Made, visitor: ChromiumPage, tmp_path: Path, name: str) -> None:
    folder = made.copied(tmp_path / "export")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(StepFailed, match=f"{name} is damaged"):
        browser.load(folder, SIGNATURE, PLAN)
    if name.startswith("model/"):
        with pytest.raises(StepFailed, match=r"the page cannot open the model: model/model\.onnx is damaged"), ShownPage(visitor, folder):
            pass
    (folder / name).unlink()
    with pytest.raises(StepFailed, match=f"{name} cannot be read"):
        browser.load(folder, SIGNATURE, PLAN)


def test_another_models_folder_is_refused(made: Made, tmp_path: Path) -> None:
    other = replace(SIGNATURE, inputs=(TensorSpec("x", "float32", ("batch", 3)),))
    with pytest.raises(StepFailed, match="not the model of this signature"):
        browser.load(made.folder, other, PLAN)
    with pytest.raises(StepFailed, match=r"model\.json cannot be read"):
        browser.load(tmp_path, SIGNATURE, PLAN)
    with pytest.raises(UsageError, match="spinning"):
        browser.load(made.folder, SIGNATURE, replace(PLAN, spin=True))


def test_without_a_browser_the_remedy_is_said(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match="apt-get install chromium") as caught:
        browser.load(made.folder, SIGNATURE, PLAN)
    assert caught.value.exit_code == 7


def test_a_program_that_is_no_browser_is_said(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "chromium").write_text("#!/bin/sh\necho cannot open display >&2\nexit 1\n")
    (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StepFailed, match="Chromium does not start: the browser ended: cannot open display"):
        browser.load(made.folder, SIGNATURE, PLAN)


def test_a_temporary_directory_of_a_long_name_is_no_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    ChromiumPage().close()
    assert list(Path(folder).iterdir()) == []


def test_a_browser_ends_with_the_process_that_started_it(made: Made) -> None:
    words = (
        "import sys, time; from pathlib import Path; from roadworthy.runtimes.exported._browser.chromium import ChromiumPage;"
        "ChromiumPage(); print('open', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "open\n"
    assert processes()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    until(lambda: processes() == [], "the browser ends")
    for left in Path(os.environ["TMPDIR"]).iterdir():
        shutil.rmtree(left)


def test_arrays_survive_the_way_there_and_back() -> None:
    arrays: Arrays = {"a b": np.arange(6, dtype=np.int64).reshape(1, 2, 3)[:, ::-1], "scalar": np.float32(2.5)[()] * np.ones(())}
    back = dict(wire.unpacked(wire.packed(arrays)))
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype and (back[name] == array).all()
    with pytest.raises(ValueError):
        list(wire.unpacked(b""))


def test_programs_are_found_by_the_names_that_distributions_give_them() -> None:
    assert "chromium" in chromium.NAMES and "google-chrome" in chromium.NAMES
