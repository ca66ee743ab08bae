"""The report, the card and the terminal say what was proven of the preprocessing, and a warning stands on the first screen."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from roadworthy.build.package.report import card, report
from roadworthy.build.pixels import notes_on
from roadworthy.bundle.certificate import Certificate
from roadworthy.bundle.pixels import (
    ConventionTrial,
    EitherScore,
    PreprocessingProof,
    TransformProof,
    TriedConvention,
    WorstImage,
)
from roadworthy.cli.console.deployment import show_deployment
from roadworthy.core import codec
from support.models import certificates

HOSTILE = "<script>alert(1)</script>"
STREAM = io.BytesIO()
Image.new("RGB", (4, 4), (10, 20, 30)).save(STREAM, "PNG")
PNG = base64.b64encode(STREAM.getvalue()).decode()
WORST = WorstImage("images/cat.jpg", (375, 500), (5, 7, 1), 3, (1.0, 2.5), (1.0, 90.0), PNG, PNG, PNG)
TRANSFORM = TransformProof(
    "training.py:test_transform", "a PIL image", 300, "different", 0.412, 96.0, 2.7, 9e6, differs=("training resizes without antialias",),
    remedy="antialias = false", after="equal to the bit", worst=WORST, either=EitherScore(300, "top1", 0.39, 0.43, True, 0.73),
)  # fmt: skip
TRIED = (
    TriedConvention("ImageNet's mean and std", 0.804, 'image = [\n  { kind = "decode" },\n]', "", False, 0.31, 0.22),
    TriedConvention("values of 0 to 1", 0.61, "image = []", "unit", False, 0.12, 0.05),
    TriedConvention("as given", 0.494, "image = []", "", True),
)
CONVENTIONS = ConventionTrial("top1", 300, True, TRIED, 0)


def certificate(proof: PreprocessingProof) -> Certificate:
    whole = certificates.realistic()
    steps = certificates.CONTRACT.describe()
    return replace(whole, preprocessing=steps, preprocessing_proof=proof, notes=(*notes_on(proof), *whole.notes))


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def first_screen(page: str) -> str:
    found = re.search(r'<section class="first-screen".*?</section>', page, re.DOTALL)
    assert found is not None
    return text_of(found[0])


def test_a_transform_that_differs_is_a_warning_on_the_first_screen() -> None:
    page = report.render(certificate(PreprocessingProof("timm config.json", TRANSFORM)), certificates.CONTRACT)
    said = first_screen(page)
    assert "training's transform training.py:test_transform gives other pixels" in said
    assert "training resizes without antialias (antialias = false: then equal to the bit)" in said
    assert "top1 39.00% with the preprocessing and 43.00% with training's transform; the deployment keeps its own" in said


def test_the_section_has_the_origin_the_proof_and_the_pictures() -> None:
    page = report.render(certificate(PreprocessingProof("timm config.json", TRANSFORM, CONVENTIONS)), certificates.CONTRACT)
    section = text_of(page[page.index('id="preprocessing"') : page.index('id="details"')])
    for words in (
        "Read from: timm config.json", *certificates.CONTRACT.describe(), "images/cat.jpg ( 500 x 375 pixels)".replace("( ", "("),
        "row 5, column 7, channel 1", "the same for 73.0 %", "To write: antialias = false",
    ):  # fmt: skip
        assert words in section
    assert page.count(f"data:image/png;base64,{PNG}") == 3
    table = section[section.index("Images as") :]
    assert table.index("ImageNet's mean and std") < table.index("values of 0 to 1") < table.index("the preprocessing above")
    assert "80.40%" in table
    assert "--preprocess unit" in table
    assert "+22.0 points" in table


def test_a_far_better_convention_is_a_warning_that_can_be_pasted() -> None:
    page = report.render(certificate(PreprocessingProof("", None, CONVENTIONS)), certificates.CONTRACT)
    said = first_screen(page)
    assert "the original gets top1 49.40% with the preprocessing as given, and 80.40% with ImageNet's mean and std" in said
    assert '--preprocess FILE.toml with: image = [ { kind = "decode" }, ]' in said


def test_an_equal_transform_is_a_note_and_no_warning() -> None:
    proof = PreprocessingProof("", replace(TRANSFORM, verdict="equal to the bit", worst=None, differs=(), remedy="", either=None))
    (note,) = notes_on(proof)
    assert not note.warning
    assert note.text.endswith("give the same: equal to the bit on 300 images")
    assert "equal to the bit on 300" not in first_screen(report.render(certificate(proof), certificates.CONTRACT))


def test_names_are_no_markup() -> None:
    hostile = replace(TRANSFORM, transform=HOSTILE, differs=(HOSTILE,), remedy=HOSTILE, worst=replace(WORST, name=HOSTILE))
    tried = tuple(replace(one, name=HOSTILE, toml=HOSTILE, preset="") for one in TRIED)
    proof = PreprocessingProof(HOSTILE, hostile, replace(CONVENTIONS, tried=tried))
    assert "<script" not in report.render(certificate(proof), certificates.CONTRACT)


def test_nothing_tried_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    proof = PreprocessingProof("", None, ConventionTrial("top1", 0, True, left_out="the original is right on 97.2 %"))
    whole = certificate(proof)
    assert "None was tried: the original is right on 97.2 %." in text_of(report.render(whole, certificates.CONTRACT))
    show_deployment(Path("bundle"), whole, as_json=False)
    assert "Other conventions were not tried: the original is right on 97.2 %." in capsys.readouterr().out


def test_the_terminal_has_the_best_and_the_given_one(capsys: pytest.CaptureFixture[str]) -> None:
    show_deployment(Path("bundle"), certificate(PreprocessingProof("timm config.json", TRANSFORM, CONVENTIONS)), as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "(read from timm config.json)" in said
    assert "The usual conventions on 300 images, top1: 80.40% ImageNet's mean and std; 61.00% values of 0 to 1; 49.40% as it is." in said
    assert "warning training's transform training.py:test_transform gives other pixels" in said


def test_the_card_has_the_origin_and_the_verdict() -> None:
    whole = certificate(PreprocessingProof("timm config.json", TRANSFORM))
    said = "\n".join(card._read_from(whole.preprocessing_proof))
    assert "read from `timm config.json`" in said
    assert "different by up to 96 levels" in said


def test_an_older_certificate_has_no_proof_and_opens() -> None:
    whole = certificates.realistic()
    data = codec.to_json(whole).replace(b'"preprocessing_proof"', b'"something_else"')
    assert codec.from_json(Certificate, data).preprocessing_proof == PreprocessingProof()
