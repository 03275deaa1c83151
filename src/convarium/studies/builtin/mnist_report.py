"""The recipe and the printed numbers of the course report mnist-report, for the studies that repeat it.

The report states neither its optimizer nor its number of epochs, and draws its block without naming what is inside.
Both candidates for the optimizer have a recipe preset, "mnist-report/adam" and "mnist-report/sgd" (momentum 0.9), with
10 epochs each. The studies use CANDIDATE; OTHER has one run for each learning rate of `learning_rates_pilot`, which
does not tell the two apart (docs/log.md).
"""

from statistics import fmean
from typing import Literal

from convarium.analysis.claims import Reproduces, ReproducesClasses
from convarium.recipes.presets import recipe_preset
from convarium.recipes.recipe import Recipe

CANDIDATE, OTHER = "adam", "sgd"
ASSUMED = "Adam, 10 epochs and the inside of the blocks, none of which the report states"
FIGURES = ("final_train_loss", "final_train_accuracy", "last_epoch_test_loss", "last_epoch_test_accuracy")
"""The columns of the report's tables. It scores the training split after an epoch, not during it: at a learning rate of
1 it prints 0.0974, which is 5,842 of 60,000, all the images of one digit."""


def reported_recipe(model: str, optimizer: str = CANDIDATE) -> Recipe:
    """Returns the report's recipe with one of the two candidates as its optimizer."""
    return recipe_preset(f"mnist-report/{optimizer}", model)


def printed_scores(
    name: str, label: str, *lines: tuple[float, float, float, float], section: str
) -> dict[str, Reproduces]:
    """Returns a line of the report's tables as four claims: training loss and accuracy, test loss and accuracy.

    Args:
        name: with which the claims' names begin.
        label: the row of the study.
        lines: the printed values; several lines for a recipe that the report ran as often, whose means are claimed.
        section: of the report.
    """
    parts = ("train-loss", "train-accuracy", "test-loss", "test-accuracy")
    return {
        f"{name}-{part}": Reproduces(
            label,
            round(fmean(values), 6),
            metric=metric,
            source=f"mnist-report, {section}",
            runs=len(values),
            printed=values if len(values) > 1 else (),
            assumed=ASSUMED,
        )
        for part, metric, values in zip(parts, FIGURES, zip(*lines, strict=True), strict=True)
    }


def printed_digits(
    label: str, *lists: str, section: str, split: Literal["train", "test"] = "test"
) -> ReproducesClasses:
    """Returns the claim on the accuracy of each digit from 0 to 9; it was added after the first runs were made.

    Args:
        label: the row of the study.
        lists: the printed accuracies in per cent; several lists for a recipe that the report ran as often.
        section: of the report.
        split: the images that the accuracies were measured on.
    """
    digits = zip(*([float(value) for value in each.split()] for each in lists), strict=True)
    values = {str(digit): round(fmean(printed) / 100, 6) for digit, printed in enumerate(digits)}
    return ReproducesClasses(
        label, values, split=split, source=f"mnist-report, {section}", runs=len(lists), assumed=ASSUMED
    )
