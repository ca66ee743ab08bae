"""The classes of a deployment: whether their names fit the model, how answers are read as classes, and the notes on both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from roadworthy.build import verify
from roadworthy.build.certificate import Data
from roadworthy.build.data import class_names
from roadworthy.build.data.dataset import Dataset, check_classes
from roadworthy.build.job import Job
from roadworthy.build.search import Trial
from roadworthy.core.evidence import Note
from roadworthy.core.types import Signature
from roadworthy.preprocess import answer as answers
from roadworthy.preprocess.contract import Activation, Answer, Contract


@dataclass(frozen=True)
class AnswerReading:
    """How the original's answers are read: the contract's ``answer`` without ``auto``, and ``binary`` of ``verify.metrics.find``.

    ``classes`` says whether a sample's answer names a class at all, and ``seen`` how many different classes the samples have, counted
    to two.
    """

    answer: Answer
    binary: Activation | None
    classes: bool
    seen: int


def named(contract: Contract, gathered: Dataset | None) -> Answer:
    """The contract's answer with the names that the data gives, where no labels were given."""
    if contract.answer.labels or gathered is None:
        return contract.answer
    return replace(contract.answer, labels=gathered.classes)


def refuse_wrong_classes(job: Job, contract: Contract, gathered: Dataset | None, signature: Signature) -> None:
    """Raises DataError where names or the samples' classes cannot be those of the model's first output."""
    first = signature.outputs[0]
    count = answers.columns(first)
    if not count:
        return
    if contract.answer.labels:
        class_names.check_count(contract.answer.labels, count, first.name, str(job.labels or job.preprocess))
    if gathered is not None and not own_metric(job):
        check_classes(gathered, count, first.name)


def reading(data: Data, reference: verify.Reference, signature: Signature, job: Job) -> AnswerReading:
    """How the answers in ``reference`` are read: by their values, and by what is known of the classes."""
    first, labels = signature.outputs[0], data.answer.labels
    values = reference.values()[first.name]
    # Only the user's own metric knows what the labels mean: they may not be classes.
    two = len(labels) == 2 or (data.evaluation.labelled and not own_metric(job))
    answer = answers.with_activation(data.answer, {first.name: values}, two=two)
    single = answers.column(values) is not None
    binary = answer.activation if single and two and answer.activation in answers.TWO_CLASSES else None
    says = binary is not None or bool(answers.columns(first) and not single)
    return AnswerReading(answer, binary, says, verify.top_classes(reference.values(), binary))


def notes_on_names(labels: tuple[str, ...]) -> tuple[Note, ...]:
    """That several classes have one name."""
    again = class_names.repeated(labels)
    if not again:
        return ()
    return (Note(f"{len(again)} of the {len(set(labels))} class names stand for several classes each, {again[0]!r} first"),)


def notes_on_answers(trial: Trial, data: Data) -> Iterator[Note]:
    """How a single column is read, and a warning where the original's answers do not fit the samples' labels."""
    labels = data.evaluation.labels()
    if trial.binary:
        yield _on_column(trial, data)
    if labels is not None and trial.metric in verify.BUILT_IN:
        yield from verify.label_warnings(trial.reference, labels, data.answer.labels, trial.binary)


def _on_column(trial: Trial, data: Data) -> Note:
    """How the one column is read. From generated samples this is a warning: they can give any logit."""
    labels = data.answer.labels
    second = repr(labels[1]) if len(labels) == 2 else "class 1"
    what, limit = ("probability", "0.5") if trial.binary == "applied" else ("logit", "0")
    text = f"the output {trial.signature.outputs[0].name!r} is one number a sample, read as the {what} of {second} (above {limit})"
    if data.answer.activation != "auto":
        return Note(text)
    why, other = ("all", "sigmoid") if trial.binary == "applied" else ("not all", "applied")
    generated = data.kind not in ("labelled", "unlabelled")
    where = "in 0..1 on generated samples" if generated else "in 0..1"
    says = f'activation = "{other}" under [answer] in --preprocess says otherwise'
    return Note(f"{text}, because {why} of the original's answers lie {where}; {says}", generated)


def own_metric(job: Job) -> bool:
    """Whether the user's own code is the metric, which alone knows what the targets mean."""
    return ":" in (job.metric or "")
