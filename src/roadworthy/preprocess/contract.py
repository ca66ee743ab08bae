"""The input and the output contract as data: how an image becomes the model's input, and how its output becomes an answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import msgspec

from roadworthy.core.errors import DataError
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess import steps
from roadworthy.preprocess.front import Front, Tail
from roadworthy.preprocess.pixels import SampleShape
from roadworthy.preprocess.steps import Decode, Normalize, Step

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
    """Both ends. ``image`` holds the steps from an image to a sample, in order; empty for a model that takes tensors as they are.

    ``inside`` are the steps that follow and that the deployed model carries out itself: a sample is then uint8 pixels.
    """

    image: tuple[Step, ...] = ()
    answer: Answer = field(default_factory=Answer)
    inside: tuple[Tail, ...] = ()

    @property
    def takes_images(self) -> bool:
        """Whether the contract says how an image becomes a sample."""
        return bool(self.image)

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

        Raises DataError where there is no step to put there.
        """
        if not self.takes_images:
            raise DataError("pixels go into a model that takes images, and nothing says how an image becomes its input: use --preprocess")
        after = next((place for place, step in enumerate(reversed(self.image)) if not isinstance(step, Tail)), 0)
        head, tail = self.image[: len(self.image) - after], self.image[len(self.image) - after :]
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
        if self.takes_images:
            steps.check(self.whole().image)
        if self.answer.top_k < 1:
            raise DataError(f"top_k is {self.answer.top_k}; it must be at least 1")

    def check_input(self, inputs: tuple[TensorSpec, ...]) -> None:
        """Raises DataError where the steps give another dtype or shape than the model's only input takes.

        A model of several inputs takes no images, so nothing is compared. A size that the image decides fits every size.
        """
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
