"""Histories and outcomes as plain values for JSON, and back; what is read is checked by type and range."""

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any, get_args

from convarium.records import Cost, Environment, Epoch, ImageSpec, Outcome, Scores, Status
from convarium.runs.checked_values import UnknownFieldError, is_count, is_text, record_from_json

DENSE_CLASSES = 100
"""Up to so many classes a confusion matrix is stored with its zeros; above, they would be nearly all of a record."""

_MOST_ENTRIES = 10**8  # of a confusion matrix in memory
_ARRAYS = {"network", "preprocessing", "step_loss", "step_accuracy", "logits", "labels", "weights"}
_OUTCOME_FIELDS = frozenset(f.name for f in dataclasses.fields(Outcome)) - _ARRAYS - {"history"}
_OF_IMAGES = ("data_notes", "unreadable_images", "passed_over_files")
_OLD_FIELDS = frozenset({"status", "environment", "cost", "message", "selected_epoch", "validation", "test"})


def history_to_json(history: Iterable[Epoch]) -> list[dict[str, Any]]:
    """The epochs as plain values; a number that is not finite becomes None, which JSON has."""
    return [{k: _finite(v) for k, v in dataclasses.asdict(row).items()} for row in history]


def history_from_json(rows: Iterable[Any]) -> tuple[Epoch, ...]:
    """The epochs that `history_to_json` wrote; a training loss of None becomes NaN.

    Raises:
        ValueError: says what is wrong with which epoch.
    """
    history: list[Epoch] = []
    for number, values in enumerate(rows, start=1):
        try:
            history.append(_epoch(values))
        except ValueError as error:
            raise type(error)(f"epoch {number}: {error}") from error
        if history[-1].epoch != number or (number > 1 and history[-1].steps < history[-2].steps):
            raise ValueError(f"epoch {number} is missing, or out of order")
    return tuple(history)


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain values, without its history, its network and its arrays.

    `earlier` is left out of a run that was trained in one environment, `skipped_steps` where no loss was scaled,
    `retried` of a run that was trained at the first attempt, and what was noted of the images where nothing was.
    """
    values: dict[str, Any] = {}
    for name in (f.name for f in dataclasses.fields(Outcome) if f.name in _OUTCOME_FIELDS):
        value = getattr(outcome, name)
        if isinstance(value, Scores):
            values[name] = vars(value) | {"confusion": _confusion_to_json(value.confusion)}
        elif name == "earlier":
            values |= {name: [dataclasses.asdict(environment) for environment in value]} if value else {}
        elif (name not in ("skipped_steps", "retried") or value is not None) and (name not in _OF_IMAGES or value):
            is_record = dataclasses.is_dataclass(value) and not isinstance(value, type)
            values[name] = dataclasses.asdict(value) if is_record else value
    return values


def outcome_from_json(values: Any, history: tuple[Epoch, ...]) -> Outcome:
    """The outcome that `outcome_to_json` wrote, with the history of its run.

    Raises:
        UnknownFieldError: names a field that an outcome does not have.
        ValueError: says which field is missing, or has a value that it cannot have.
    """
    if type(values) is not dict:
        raise ValueError("it is not the record of an outcome")
    unknown, missing = values.keys() - _OUTCOME_FIELDS, _OLD_FIELDS - values.keys()
    if unknown:
        raise UnknownFieldError(f"it has an unknown field {min(unknown)[:40]!r}")
    if missing:
        raise ValueError(f"it has no {min(missing)}")
    status, selected, message = values["status"], values["selected_epoch"], values["message"]
    if status not in get_args(Status):
        raise ValueError(f"status cannot be {status!r}"[:80])
    if selected is not None and not (is_count(selected) and 1 <= selected <= len(history)):
        raise ValueError(f"selected_epoch is not one of {len(history)} epochs")
    if not (message is None or is_text(message)):
        raise ValueError("message is not a text")
    if status == "finished" and any(math.isnan(row.train_loss) for row in history):
        raise ValueError("a training loss of a finished run is not finite")
    steps, skipped = history[-1].steps if history else 0, values.get("skipped_steps")
    if skipped is not None and not (is_count(skipped) and skipped <= steps):
        raise ValueError(f"skipped_steps is not a number from 0 to {steps}")
    retried = values.get("retried")
    if not (retried is None or is_text(retried)):
        raise ValueError("retried is not a text")
    earlier = values.get("earlier", [])
    if type(earlier) is not list:
        raise ValueError("earlier is not a list")
    notes = values.get("data_notes", [])
    if type(notes) is not list or not all(map(is_text, notes)):
        raise ValueError("data_notes is not a list of texts")
    unreadable, passed_over = (values.get(name, 0) for name in ("unreadable_images", "passed_over_files"))
    if not (is_count(unreadable) and is_count(passed_over)):
        raise ValueError("unreadable_images or passed_over_files is not a number of files")
    train, validation, test = (_named(name, _scores, values.get(name)) for name in ("train", "validation", "test"))
    cost, image = values["cost"], values.get("image")
    return Outcome(
        status=status,
        history=history,
        environment=environment_from_json(values["environment"]),
        cost=None if cost is None else record_from_json(Cost, cost),
        message=message,
        selected_epoch=selected,
        train=train,
        validation=validation,
        test=test,
        image=None if image is None else record_from_json(ImageSpec, image),
        earlier=tuple(map(environment_from_json, earlier)),
        skipped_steps=skipped,
        data_notes=tuple(notes),
        unreadable_images=unreadable,
        passed_over_files=passed_over,
        retried=retried,
    )


def environment_from_json(values: Any) -> Environment:
    """The environment of which `values` are the fields.

    Raises:
        ValueError: says which field is wrong.
    """
    return record_from_json(Environment, values)


def predicted_from_json(rows: Iterable[Any]) -> tuple[tuple[int, ...], ...]:
    """The numbers of test images predicted as each class, epoch by epoch, from rows of {"epoch": …, "images": …}.

    Raises:
        ValueError: says which row is wrong.
    """
    counts: list[tuple[int, ...]] = []
    for number, row in enumerate(rows, start=1):
        images = row.get("images") if type(row) is dict and row.keys() == {"epoch", "images"} else None
        if type(images) is not list or row["epoch"] != number or not all(map(is_count, images)):
            raise ValueError(f"row {number} is not that of epoch {number}")
        if counts and (len(images), sum(images)) != (len(counts[0]), sum(counts[0])):
            raise ValueError(f"row {number} is of other images than row 1")
        counts.append(tuple(images))
    return tuple(counts)


def _epoch(values: Any) -> Epoch:
    if type(values) is dict and values.get("train_loss", 0.0) is None:
        return record_from_json(Epoch, values, {"train_loss": math.nan})
    return record_from_json(Epoch, values)


def _named(name: str, read: Any, values: Any) -> Any:
    try:
        return read(values)
    except ValueError as error:
        raise type(error)(f"{name}: {error}") from error


def _scores(values: Any) -> Scores | None:
    """Scores whose accuracies are those of their confusion matrix."""
    if values is None:
        return None
    names = values.get("per_class") if type(values) is dict else None
    if type(names) is not dict or not _are_shares(names.values()):
        raise ValueError("per_class is not a table of shares")
    confusion = confusion_from_json(values.get("confusion"), len(names))
    read = record_from_json(Scores, values, {"per_class": names, "confusion": confusion})
    images = list(map(sum, confusion))
    right = [row[label] for label, row in enumerate(confusion)]
    if sum(images) != read.n or not read.n:
        raise ValueError("n is not the number of images in its confusion matrix")
    if not math.isclose(read.accuracy, sum(right) / read.n, rel_tol=1e-9):
        raise ValueError("accuracy is not that of its confusion matrix")
    recalls = [number / of if of else None for number, of in zip(right, images, strict=True)]
    if [*names.values()] != recalls and not all(map(_are_close, names.values(), recalls)):
        raise ValueError("per_class is not that of its confusion matrix")
    return read


def _are_shares(values: Collection[Any]) -> bool:
    """Whether all are numbers from 0 to 1, or None."""
    numbers = [value for value in values if value is not None]
    return set(map(type, numbers)) <= {int, float} and (not numbers or (min(numbers) >= 0 and max(numbers) <= 1))


def _are_close(recall: float | None, other: float | None) -> bool:
    return recall is other if recall is None or other is None else math.isclose(recall, other, rel_tol=1e-9)


def _confusion_to_json(confusion: Sequence[Sequence[int]]) -> Any:
    if len(confusion) <= DENSE_CLASSES:
        return confusion
    return [
        [label, predicted, count] for label, row in enumerate(confusion) for predicted, count in enumerate(row) if count
    ]


def confusion_from_json(values: Any, classes: int) -> tuple[tuple[int, ...], ...]:
    """The matrix of rows of counts, or of entries [true, predicted, count] above 0 if there are many classes."""
    wrong = ValueError("confusion is not a matrix of numbers of images")
    if type(values) is not list or set(map(type, values)) != {list}:
        raise wrong
    flat = list(chain.from_iterable(values))
    if not set(map(type, flat)) <= {int} or (flat and not (min(flat) >= 0 and max(flat) < 2**63)):
        raise wrong
    lengths = set(map(len, values))
    if len(values) == classes and lengths <= {classes}:
        return tuple(map(tuple, values))
    if classes <= DENSE_CLASSES or not lengths <= {3}:
        raise wrong
    rows: dict[int, list[int]] = {}
    for label, predicted, count in values:
        if label >= classes or predicted >= classes or len(rows) * classes > _MOST_ENTRIES:
            raise wrong
        rows.setdefault(label, [0] * classes)[predicted] += count
    empty = (0,) * classes
    return tuple(tuple(rows[label]) if label in rows else empty for label in range(classes))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
