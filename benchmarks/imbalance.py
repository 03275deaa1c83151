"""What balanced class weights do to the accuracies of common and of rare classes. It needs the published MNIST."""

import tempfile
from pathlib import Path

import numpy as np

from convarium import Recipe, Workspace
from convarium.analysis.comparison import metric_of
from convarium.data import load_data
from convarium.data.splits import ImageData
from convarium.studies.study import Study, grid

COMMON, RARE = 400, 20
"""Training images of each of the digits 0 to 6, and of 7, 8 and 9. The test split has twice as many of each."""
SEEDS = 10


def class_weights() -> list[dict[str, str | int | float]]:
    """LeNet on 2,860 digits of MNIST, 20 times as many of each common class as of each rare one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "digits.npz"
        mnist = load_data("mnist", validation=0)
        train, test = (_uneven(part, scale) for part, scale in ((mnist.train, 1), (mnist.test, 2)))
        np.savez(file, x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])
        base = Recipe(model="lenet", dataset=f"npz:{file}", epochs=10, batch_size=32, optimizer="adam",
                      learning_rate=0.001)  # fmt: skip
        study = Study(
            name="class-weights",
            question="Do balanced class weights help the rare classes?",
            recipes=grid(base, seed=range(SEEDS), class_weights=["none", "balanced"]),
            compare="class_weights",
        )
        comparison = Workspace(Path(folder) / "store").run(study).comparison
    names = {"accuracy": "test_accuracy", "balanced accuracy": "balanced_accuracy", "macro F1": "macro_f1"}
    rows: list[dict[str, str | int | float]] = []
    for row in comparison.rows:
        found: dict[str, str | int | float] = {"class weights": row.runs[0].recipe.class_weights, "seeds": row.n}
        for title, name in names.items():
            mean = row.estimate(metric_of(name))
            if mean is None or mean.low is None or mean.high is None:
                raise SystemExit(f"{row.label} has no interval of {title}")
            found |= {f"{title}, %": 100 * mean.mean, f"± of {title}": 50 * (mean.high - mean.low)}
        gain = row.difference
        found["gain in balanced accuracy, points"] = (
            "–"
            if gain is None or gain.low is None or gain.high is None
            else f"{100 * gain.mean:.1f} ({100 * gain.low:.1f} to {100 * gain.high:.1f})"
        )
        rows.append(found)
    return rows


def _uneven(part: ImageData, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of each digit, fewer of the rare ones."""
    numbers = [
        np.flatnonzero(part.labels.numpy() == digit)[: scale * (COMMON if digit < 7 else RARE)] for digit in range(10)
    ]
    chosen = np.sort(np.concatenate(numbers))
    return part.images.numpy()[chosen, 0], part.labels.numpy()[chosen]
