"""The input and the output contract as data: how an image, a text or a sound becomes the model's input, and its output an answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import msgspec

from roadworthy.core.errors import DataError
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess import steps
from roadworthy.preprocess.front import Front, Tail, split
from roadworthy.preprocess.pixels import SampleShape
from roadworthy.preprocess.sound.sounds import AudioSteps
from roadworthy.preprocess.steps import Decode, Normalize, Step
from roadworthy.preprocess.texts import FILE, TextSteps

ItemKind: TypeAlias = Literal["image", "text", "audio"]
"""What one item may be that becomes a sample."""
Activation: TypeAlias = Literal["auto", "none", "applied", "softmax", "sigmoid"]


@dataclass(frozen=True)
class Answer:
    """How the first output becomes an answer for a user.

    ``applied`` says that the outputs are probabilities already, ``none`` that they are scores without a unit. ``auto`` is decided
    when the bundle is packed: ``applied`` where the original's own answers all lie in 0..1, else ``softmax``, or ``sigmoid`` where the
    data labels several classes at once, or ``none`` where its labels are plain numbers.

    An output of one number for each sample tells two classes apart where there are exactly two ``labels``: ``applied`` says that it is
    the probability of the second (above 0.5 the second is the answer), ``sigmoid`` that it is its logit (above 0). For such an output
    ``auto`` becomes one of these, and ``none`` where no two classes are known.
    """

    activation: Activation = "auto"
    top_k: int = 5
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """Both ends. ``image`` holds the steps from an image to a sample, in order, or ``text`` or ``audio`` what is done with one of those.

    A model that takes tensors as they are has none of the three. ``inside`` are the steps that follow those of ``image`` and that the
    deployed model carries out itself: a sample is then uint8 pixels.
    """

    image: tuple[Step, ...] = ()
    answer: Answer = field(default_factory=Answer)
    text: TextSteps | None = None
    audio: AudioSteps | None = None
    inside: tuple[Tail, ...] = ()

    @property
    def kind(self) -> ItemKind | None:
        """What one item is that the contract turns into a sample; ``None`` where it says nothing."""
        if self.text is not None:
            return "text"
        if self.audio is not None:
            return "audio"
        return "image" if self.image else None

    @property
    def takes_images(self) -> bool:
        """Whether the contract says how an image becomes a sample."""
        return self.kind == "image"

    @property
    def takes_items(self) -> bool:
        """Whether the contract says how an image, a text or a sound becomes a sample."""
        return self.kind is not None

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the steps read: their paths below the bundle's root, in a bundle."""
        return (self.text.file,) if self.text is not None else ()

    @property
    def packages(self) -> tuple[str, ...]:
        """The distributions that the steps need beside Roadworthy's own."""
        return ("tokenizers",) if self.text is not None else ()

    def packed(self) -> Contract:
        """The same contract for a bundle, into whose root its ``files`` are copied."""
        if self.text is None:
            return self
        return replace(self, text=msgspec.structs.replace(self.text, file=FILE))

    def bound(self, inputs: tuple[TensorSpec, ...]) -> Contract:
        """The same contract with the part of a text that each of the model's ``inputs`` gets written out."""
        if self.text is None:
            return self
        parts = self.text.bound([spec.name for spec in inputs])
        return replace(self, text=msgspec.structs.replace(self.text, inputs=parts))

    def sample_shape(self) -> SampleShape:
        """The dtype and shape of one sample that the steps give. The contract has steps, or DataError is raised."""
        return steps.sample_shape(self.image)

    @property
    def front(self) -> Front | None:
        """The steps that the deployed model carries out itself; ``None`` where there are none."""
        return Front(self.inside) if self.inside else None

    def whole(self) -> Contract:
        """The same steps, all of them in front of the model as it was trained."""
        return replace(self, image=(*self.image, *self.inside), inside=())

    def with_pixels(self) -> Contract:
        """The same steps, those after the last geometric one inside the model, which takes uint8 pixels [height, width, channels].

        Raises DataError where no step can go there.
        """
        if not self.takes_images:
            raise DataError("pixels go into a model that takes images, and nothing says how an image becomes its input: use --preprocess")
        head, tail = split(self.image)
        if not any(isinstance(step, Normalize) for step in tail):
            raise DataError("the model takes the pixels as they are: there is no normalisation to put into it; leave --pixels out")
        if (before := steps.sample_shape(head)).dtype != "uint8":
            raise DataError(
                f"the steps before the normalisation give {before}, and --pixels needs uint8 pixels there: "
                "leave it out, or state a resize that rounds"
            )
        return replace(self, image=head, inside=tuple(step for step in tail if isinstance(step, Tail)))

    def describe(self) -> tuple[str, ...]:
        """Every step in a few words, in order, and whether the deployed model carries it out itself."""
        if (other := self.text or self.audio) is not None:
            return other.describe()
        return (*(step.describe() for step in self.image), *(f"{step.describe()} (inside the model)" for step in self.inside))

    def with_pixel_limit(self, limit: int) -> Contract:
        """The same contract for images of at most ``limit`` pixels, or fewer where it allows fewer itself."""
        limited = (
            msgspec.structs.replace(step, pixel_limit=min(limit, step.pixel_limit)) if isinstance(step, Decode) else step
            for step in self.image
        )
        return replace(self, image=tuple(limited))

    def keeping_pixels_for(self, dtypes: tuple[str, ...]) -> Contract:
        """The same contract for a model of inputs of ``dtypes``: where its only one takes uint8 pixels, they do not become floats."""
        last = self.image[-1] if self.image else None
        if dtypes != ("uint8",) or not isinstance(last, Normalize) or not last.keeps_values:
            return self
        return replace(self, image=self.image[:-1])

    def check(self) -> None:
        """Raises DataError where values contradict each other, or steps do not fit each other."""
        if sum(map(bool, (self.image or self.inside, self.text, self.audio))) > 1:
            raise DataError("one item is an image, a text or a sound: state one of [image], [text] and [audio]")
        if (other := self.text or self.audio) is not None:
            other.check()
        if self.image or self.inside:
            steps.check(self.whole().image)
        if self.answer.top_k < 1:
            raise DataError(f"top_k is {self.answer.top_k}; it must be at least 1")

    def check_input(self, inputs: tuple[TensorSpec, ...]) -> None:
        """Raises DataError where the steps give another dtype or shape than the model's only input takes.

        A model of several inputs takes no images, so nothing is compared. A size that the image decides fits every size.
        Texts and sounds have rules of their own.
        """
        if (other := self.text or self.audio) is not None and inputs:
            other.check_input(inputs)
        if not self.takes_images or len(inputs) != 1:
            return
        (wanted,), given = inputs, self.sample_shape()
        fits = len(wanted.shape) == len(given.axes) + 1 and all(
            have is None or isinstance(want, str) or have == want for have, want in zip(given.axes, wanted.shape[1:], strict=True)
        )
        if given.dtype != wanted.dtype or not fits:
            raise DataError(
                f"the preprocessing gives {given} for each image, and the model takes {wanted}: "
                "state the model's own size, layout and dtype with --preprocess FILE.toml"
            )
