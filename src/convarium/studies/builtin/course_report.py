"""How the course report of source mnist-report trains, as far as it says, and what it reports.

It states neither its optimizer nor its epochs. Both candidates have a recipe preset, "mnist-report/adam" and
"mnist-report/sgd" (momentum 0.9), of 10 epochs each. CANDIDATE is the one that the studies use; the other keeps the
one run a learning rate of `learning_rates_pilot`, and is not told from it by that (docs/log.md).
"""

from convarium.analysis.claims import Reproduces, ReproducesClasses
from convarium.recipes.presets import recipe_preset
from convarium.recipes.recipe import Recipe

CANDIDATE, OTHER = "adam", "sgd"
FIGURES = ("final_train_loss", "final_train_accuracy", "last_epoch_test_loss", "last_epoch_test_accuracy")
"""The columns of its tables. It scores the training split after an epoch, not while it trains: at a rate of 1 it has
0.0974, which is 5,842 of 60,000, all images of one digit."""


def as_reported(model: str, optimizer: str = CANDIDATE) -> Recipe:
    """The report's recipe under one of the two candidates."""
    return recipe_preset(f"mnist-report/{optimizer}", model)


def reported(name: str, label: str, values: tuple[float, float, float, float], where: str) -> dict[str, Reproduces]:
    """One line of its tables as four claims: training loss and accuracy, test loss and accuracy."""
    parts = ("train-loss", "train-accuracy", "test-loss", "test-accuracy")
    return {
        f"{name}-{part}": Reproduces(label, value, metric=metric, source=f"mnist-report, {where}")
        for part, metric, value in zip(parts, FIGURES, values, strict=True)
    }


def digits(label: str, per_cent: str, where: str) -> ReproducesClasses:
    """Its test accuracy of each digit, from 0 to 9; a claim that was written down after the first runs were made."""
    values = {str(digit): round(float(value) / 100, 6) for digit, value in enumerate(per_cent.split())}
    return ReproducesClasses(label, values, source=f"mnist-report, {where}")
