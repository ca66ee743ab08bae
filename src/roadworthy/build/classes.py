"""The classes of a deployment: whether their names fit the model, how answers are read as classes, and the notes on both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from roadworthy.build import verify
from roadworthy.build.certificate import Data
from roadworthy.build.data import class_names
from roadworthy.build.data.dataset import Dataset, check_classes
from roadworthy.build.data.labels import background, labels_file, matching
from roadworthy.build.job import Job
from roadworthy.build.search import Trial
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.isolation import scratch
from roadworthy.core.numerics import ROWS
from roadworthy.core.types import Array, Signature
from roadworthy.preprocess import answer as answers
from roadworthy.preprocess import spec
from roadworthy.preprocess.contract import Activation, Answer, Contract


@dataclass(frozen=True)
class AnswerReading:
    """How the original's answers are read: the contract's ``answer`` without ``auto``, and ``reading`` of ``verify.metrics.find``.

    ``classes`` says whether a sample's answer names a class at all, and ``seen`` how many different classes the samples have, counted
    to two.
    """

    answer: Answer
    reading: verify.Reading
    classes: bool
    seen: int


def named(contract: Contract, gathered: Dataset | None, paired: verify.TargetPairing | None = None) -> Answer:
    """The contract's answer with the names that the data or its targets give, where no labels were given."""
    if contract.answer.labels or gathered is None:
        return contract.answer
    return replace(contract.answer, labels=gathered.classes or (paired.classes if paired else ()))


def suggested(contract: Contract, job: Job) -> tuple[Contract, tuple[str, ...]]:
    """The contract without the names of classes that came with the preprocessing and were not stated for this model, and these names."""
    stated = job.labels is not None or (job.preprocess is not None and spec.is_spec(job.preprocess))
    names = () if stated else contract.answer.labels
    return (replace(contract, answer=replace(contract.answer, labels=())) if names else contract), names


def with_suggested(
    contract: Contract, names: tuple[str, ...], gathered: Dataset | None, signature: Signature
) -> tuple[Contract, tuple[Note, ...]]:
    """The contract with ``names`` where they are as many as the model tells classes apart, else without, and a note that says so.

    Raises DataError where they are not as many, and the class folders of the data were placed by them.
    """
    count = answers.columns(signature.outputs[0])
    if not names or count is None:
        return contract, ()
    if len(names) == max(count, 2):
        return replace(contract, answer=replace(contract.answer, labels=names)), ()
    output = signature.outputs[0].name
    many = f"the model or its preprocessing comes with {len(names)} class names, and the output {output!r} has {count}"
    if gathered and gathered.classes == names:
        raise DataError(f"{many}: name the model's own classes with --labels FILE, one a line, in the order of the outputs")
    return contract, (Note(f"{many}: the names were left out"),)


def paired(
    job: Job, contract: Contract, gathered: Dataset | None, signature: Signature, *, scored: bool = True
) -> verify.TargetPairing | None:
    """The metric of the job and how it reads the answers, by the targets of the data; ``None`` where there is nothing to compare with.

    Without ``scored`` targets that fit no output count as none.

    Raises DataError where names or targets cannot be those of the model's outputs, UsageError where they do not fit the metric.
    """
    first = signature.outputs[0]
    count, own = answers.columns(first), verify.is_own(job.metric)
    if count and contract.answer.labels:
        # Names that were given in Python are in a file of ours, which the user cannot edit.
        file = job.labels if job.labels and not scratch.holds(job.labels) else None
        stated = str(job.labels or job.preprocess or "the model's own file")
        where = "" if scratch.holds(Path(stated)) else stated
        class_names.check_count(contract.answer.labels, count, first.name, where, background.of_labels(contract.answer.labels, count, file))
    elif count and gathered and gathered.by_folder and (hint := background.of_folders(gathered.classes, count, job.data or "")):
        raise DataError(f"the data has {len(gathered.classes)} class folders, the model's output {first.name!r} has {count}: {hint}")
    if gathered is not None and count and not own:
        check_classes(gathered, count, first.name)
    targets = gathered.samples.open_targets() if gathered else {}
    if not targets and job.metric is None:
        return None
    names = contract.answer.labels or (gathered.classes if gathered else ())
    if job.labels and not own:
        ids = labels_file.read(job.labels).ids
        targets = {name: matching.as_labels(y, names, ids) if verify.are_texts(y) else y for name, y in targets.items()}
    try:
        found = verify.pair(targets, signature.outputs, names, job.metric)
    except DataError:
        if scored:
            raise
        return None
    if job.metric is None:
        verify.check_budget(verify.BudgetRequest(found.metric, job.budget))
    return found


def reading(data: Data, reference: verify.Reference, signature: Signature) -> AnswerReading:
    """How the answers in ``reference`` are read: by their values, and by what is known of the classes."""
    first, labels, judged = signature.outputs[0], data.answer.labels, data.reading
    outputs = reference.values()
    values = outputs[first.name]
    two = len(labels) == 2 or (judged.form == "binary" and judged.output == first.name)
    answer = answers.with_activation(data.answer, {first.name: values}, two=two)
    if judged.output == first.name and data.answer.activation == "auto":
        answer = replace(answer, activation=_of_form(judged, answer.activation))
    single = answers.column(values) is not None
    if judged.form in ("none", "own") and single and two and answer.activation in answers.TWO_CLASSES:
        judged = replace(judged, form="binary", output=first.name, activation=answer.activation, classes=2)
    elif judged.output:
        stated = data.answer.activation if judged.output == first.name else "auto"
        judged = replace(judged, activation=_activation(judged, stated, outputs[judged.output]))
    if judged.form in ("multilabel", "values", "masks"):
        # The largest of several labels or numbers is no answer.
        return AnswerReading(answer, judged, False, 0)
    says = judged.binary is not None or bool(answers.columns(first) and not single)
    return AnswerReading(answer, judged, says, verify.top_classes(outputs, judged.binary, judged.voting))


def _of_form(judged: verify.Reading, found: Activation) -> Activation:
    """The activation that the answers of this form have: several labels have no softmax, and plain numbers have none at all."""
    if judged.form == "multilabel":
        return "applied" if found == "applied" else "sigmoid"
    return "none" if judged.form == "values" else found


def _activation(judged: verify.Reading, stated: Activation, values: Array) -> Activation:
    """What the numbers of the judged output are: as it is ``stated``, else by their values."""
    if judged.form not in ("classes", "binary", "multilabel", "masks") or judged.axis or values.dtype.kind != "f":
        return "none"
    if stated in ("applied", "softmax", "sigmoid"):
        return stated
    chunks = (np.asarray(values[start : start + ROWS]) for start in range(0, len(values), ROWS))
    if all(answers.are_shares(chunk[~np.isnan(chunk)]) for chunk in chunks):
        return "applied"
    return "softmax" if judged.form == "classes" else "sigmoid"


def notes_on_texts(contract: Contract, pairing: verify.TargetPairing | None) -> tuple[Note, ...]:
    """That the order of the classes was guessed, where the labels are texts and no names were given."""
    if pairing is None or not pairing.classes or contract.answer.labels:
        return ()
    guess = f"the labels are texts, whose classes were taken in sorted order, {pairing.classes[0]!r} first"
    return (Note(f"{guess}; --labels FILE says another order"),)


def notes_on_names(labels: tuple[str, ...]) -> tuple[Note, ...]:
    """That several classes have one name."""
    again = class_names.repeated(labels)
    if not again:
        return ()
    return (Note(f"{len(again)} of the {len(set(labels))} class names stand for several classes each, {again[0]!r} first"),)


def notes_on_answers(trial: Trial, data: Data) -> Iterator[Note]:
    """How a single column is read, and a warning where the original's answers do not fit the samples' labels."""
    labels, read = data.evaluation.labels(), trial.reading
    if read.binary and read.output == trial.signature.outputs[0].name:
        yield _on_column(trial, data)
    if read.form in ("multilabel", "masks") and read.activation in answers.TWO_CLASSES:
        what, limit = ("probabilities", "0.5") if read.activation == "applied" else ("logits", "0")
        yield Note(f"the output {read.output!r} is read as {what}: above {limit} is yes")
    if labels is not None and data.reading.form in ("classes", "binary"):
        yield from verify.label_warnings(trial.reference, labels, data.answer.labels, read.binary, read.voting)


def _on_column(trial: Trial, data: Data) -> Note:
    """How the one column is read. From generated samples this is a warning: they can give any logit."""
    labels = data.answer.labels
    second = repr(labels[1]) if len(labels) == 2 else "class 1"
    what, limit = ("probability", "0.5") if trial.reading.binary == "applied" else ("logit", "0")
    text = f"the output {trial.signature.outputs[0].name!r} is one number a sample, read as the {what} of {second} (above {limit})"
    if data.answer.activation != "auto":
        return Note(text)
    why, other = ("all", "sigmoid") if trial.reading.binary == "applied" else ("not all", "applied")
    generated = data.kind not in ("labelled", "unlabelled")
    where = "in 0..1 on generated samples" if generated else "in 0..1"
    says = f'activation = "{other}" under [answer] in --preprocess says otherwise'
    return Note(f"{text}, because {why} of the original's answers lie {where}; {says}", generated)
