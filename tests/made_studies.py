"""Whole stored studies made from random numbers, for tests of what is drawn from runs without training any."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from convarium.analysis.comparison import Comparison, compare_runs
from convarium.metrics import scores
from convarium.recipes.recipe import Recipe
from convarium.records import Cost, Environment, Epoch, Outcome
from convarium.runs.store import Store, StoredRun, StudyRecord

HERE = Environment("0.1.0", "3.11.2", "2.13.0", "Linux", "Some CPU", "cpu", 2, commit="0123abc", started="2026-01-02")
DIGITS = tuple("0123456789")


def made_run(
    folder: Path,
    recipe: Recipe,
    level: float,
    *,
    diverges_at: int | None = None,
    names: Sequence[str] = DIGITS,
    images: int = 500,
    environment: Environment = HERE,
    parameters: int = 60_000,
    seconds: float = 20.0,
    steps_an_epoch: int = 20,
    watched: bool = False,
) -> StoredRun:
    """One stored run whose test accuracy is about `level`, with curves, steps and predictions that go with it."""
    rng = np.random.default_rng([recipe.seed, *recipe.model.encode()])
    epochs, classes = diverges_at or recipe.epochs, len(names)
    t = np.arange(1, epochs + 1) / recipe.epochs
    reached = level * (1 - np.exp(-6 * t)) + rng.normal(0, 0.004, epochs)
    history = [
        Epoch(
            epoch=i + 1,
            steps=steps_an_epoch * (i + 1),
            learning_rate=recipe.learning_rate,
            train_loss=float(2.3 * (1 - 0.97 * a)),
            train_accuracy=float(min(a + 0.01 * x, 1)),
            validation_loss=float(2.4 * (1 - 0.95 * a)),
            validation_accuracy=float(min(a, 1)),
            test_loss=float(2.4 * (1 - 0.95 * a)) if watched else None,
            test_accuracy=float(min(a, 1)) if watched else None,
            seconds=seconds / recipe.epochs,
        )
        for i, (a, x) in enumerate(zip(reached, t, strict=True))
    ]
    grown = np.interp(np.arange(steps_an_epoch * epochs), steps_an_epoch * np.arange(epochs), reached)
    noisy = np.clip(grown + rng.normal(0, 0.04, len(grown)), 0, 1)
    steps = {"step_loss": (2.35 - 2.3 * noisy).astype(np.float32), "step_accuracy": noisy.astype(np.float32)}
    if diverges_at is not None:
        outcome = Outcome(
            "diverged", tuple(history), environment, message=f"loss is nan at epoch {diverges_at}", **steps
        )
    else:
        labels = np.arange(images) % classes
        difficulty = np.random.default_rng(0).normal(0, 1, images)  # the same images are hard for everyone
        hard = difficulty + rng.normal(0, 0.5, images) > np.quantile(difficulty, level)
        seen = np.where(hard, (labels + rng.integers(1, max(classes // 3, 2), images)) % classes, labels)
        logits = rng.normal(0, 1, (images, classes)).astype(np.float32)
        logits[np.arange(images), seen] += 4 + rng.normal(0, 1, images)
        found = scores(torch.from_numpy(logits), torch.from_numpy(labels), names)
        cost = Cost(parameters, 7 * parameters, seconds, seconds + 2, 1000 * recipe.epochs / seconds, 10**8)
        outcome = Outcome(
            "finished", tuple(history), environment, cost, selected_epoch=epochs, validation=found, test=found,
            logits=logits, labels=labels, **steps,
        )  # fmt: skip
    store = Store(folder)
    path = store.begin(recipe, recipe.key("0" * 64))
    return store.finish(path, outcome)


def made_study(
    folder: Path,
    levels: Mapping[str, float | None],
    *,
    seeds: int = 3,
    epochs: int = 8,
    diverged: Sequence[tuple[str, int]] = (),
    names: Sequence[str] = DIGITS,
    images: int = 500,
    dataset: str = "digits",
    question: str = "Which of these networks reads digits best?",
    steps_an_epoch: int = 20,
) -> Comparison:
    """The comparison of stored runs, networks × seeds; None for a network, or a pair in `diverged`, is divergence."""
    runs = [
        made_run(
            folder,
            Recipe(model=model, dataset=dataset, seed=seed, epochs=epochs),
            level or 0.2,
            diverges_at=max(1, epochs // 2) if level is None or (model, seed) in diverged else None,
            names=names,
            images=images,
            parameters=20_000 * (i + 1) ** 2,
            seconds=5.0 * (i + 1) + 0.3 * seed,
            steps_an_epoch=steps_an_epoch,
        )
        for i, (model, level) in enumerate(levels.items())
        for seed in range(seeds)
    ]
    return compare_runs(runs, question=question, command=f"convarium compare {' '.join(levels)} --seeds {seeds}")


def save_study(store: Store, study: StudyRecord) -> Path:
    """Writes `study.json` as it is, whatever the store has under its name, and returns its folder."""
    store.update_study(study.name, lambda _: study)
    return store.root / "studies" / study.name
