"""Stored runs made from numbers, for tests of what is said about runs without training any."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from convarium.recipes.recipe import Recipe
from convarium.records import Cost, Environment, Epoch, Outcome, Scores
from convarium.runs.store import StoredRun

HERE = Environment("0.1.0", "3.11", "2.13.0", "Linux", "Some CPU", "cpu", 2)
IMAGES = 10_000


def scores(accuracy: float, n: int = IMAGES, per_class: Sequence[float] | None = None) -> Scores:
    """Scores over two equal classes, so that the largest share is a half and chance ends at 0.515 for 10,000 images."""
    recalls = per_class or (accuracy, accuracy)
    half = n // 2
    right = [round(half * recall) for recall in recalls]
    confusion = ((right[0], half - right[0]), (half - right[1], right[1]))
    return Scores(accuracy, 1 - accuracy, {"zero": recalls[0], "one": recalls[1]}, confusion, 0.01, n)


def epoch(number: int, *, validation: float | None = None, test: float | None = None, train: float = 0.9) -> Epoch:
    return Epoch(
        epoch=number,
        steps=100 * number,
        learning_rate=0.1,
        train_loss=1 - train,
        train_accuracy=train,
        validation_loss=None if validation is None else 1 - validation,
        validation_accuracy=validation,
        test_loss=None if test is None else 1 - test,
        test_accuracy=test,
        seconds=1.0,
    )


def run(
    recipe: Recipe,
    accuracy: float | None = 0.98,
    *,
    validation: float | None = None,
    train: float | None = None,
    status: str = "finished",
    history: Iterable[Epoch] = (),
    environment: Environment = HERE,
    parameters: int = 1000,
    seconds: float = 10.0,
    path: Path = Path("nowhere"),
    selected_epoch: int | None = None,
    per_class: Sequence[float] | None = None,
) -> StoredRun:
    """One run; `accuracy` is that of the test split, and of the validation split where none is given.

    The training images, 20,000, are scored if `train` is given.
    """
    done = status == "finished" and accuracy is not None
    outcome = Outcome(
        status=status,
        history=tuple(history),
        environment=environment,
        cost=Cost(parameters, 2 * parameters, seconds, seconds + 1, 1000 / seconds, 10**8),
        message=None if status == "finished" else "it did not end well",
        selected_epoch=selected_epoch,
        train=scores(train, 2 * IMAGES) if done and train is not None else None,
        validation=scores(accuracy if validation is None else validation, 1000) if done else None,
        test=scores(accuracy, per_class=per_class) if done else None,
    )
    return StoredRun(str(recipe), path, recipe, outcome)


def runs(
    model: str, accuracies: Sequence[float | None], *, dataset: str = "mnist", **fields: object
) -> list[StoredRun]:
    """One run a seed; None stands for a run that diverged."""
    return [
        run(
            Recipe(model=model, dataset=dataset, seed=seed, **fields),
            accuracy,
            status="finished" if accuracy else "diverged",
        )
        for seed, accuracy in enumerate(accuracies)
    ]


FALLING = (2.1, 1.9, 1.7, 1.6)
"""Losses of four epochs, after which a network is still learning."""


def learning(
    model: str,
    losses: Sequence[float] | None = FALLING,
    *,
    training: Sequence[float] | None = None,
    n: int = 3,
    **fields: object,
) -> list[StoredRun]:
    """Runs with these validation losses after each epoch; None: no images were held out for validation."""
    curve = training or losses or ()
    made = []
    for seed in range(n):
        history = [
            replace(
                epoch(i + 1, validation=None if losses is None else 0.5),
                validation_loss=None if losses is None else losses[i],
                train_loss=curve[i],
            )
            for i in range(len(curve))
        ]
        recipe = Recipe(model=model, dataset="mnist", seed=seed, epochs=len(curve), **fields)
        made.append(run(recipe, 0.6 + 0.001 * seed, history=history))
    return made


def with_predictions(made: StoredRun, right: np.ndarray) -> StoredRun:
    """The run with test predictions over two classes, right where `right` is, whatever its scores are."""
    labels = np.arange(len(right)) % 2
    predicted = np.where(right, labels, 1 - labels)
    logits = np.eye(2, dtype=np.float32)[predicted]
    return answering(made, "predictions", (logits, labels))


def answering(made: StoredRun, method: str, answer: object) -> StoredRun:
    """A copy of the run, one of whose methods returns this instead of reading a file."""
    copy = StoredRun(made.key, made.path, made.recipe, made.outcome)
    vars(copy).update(vars(made) | {method: lambda: answer})
    return copy
