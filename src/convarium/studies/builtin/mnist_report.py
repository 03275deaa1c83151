"""The recipe and the printed numbers of the course report mnist-report, for the studies that repeat it.

The report states neither its optimizer nor its number of epochs. Both candidates have a recipe preset,
"mnist-report/adam" and "mnist-report/sgd" (momentum 0.9), with 10 epochs each. The studies use CANDIDATE; OTHER has one
run for each learning rate of `learning_rates_pilot`, which does not tell the two apart (docs/log.md).
"""

from convarium.analysis.claims import Reproduces, ReproducesClasses
from convarium.recipes.presets import recipe_preset
from convarium.recipes.recipe import Recipe

CANDIDATE, OTHER = "adam", "sgd"
FIGURES = ("final_train_loss", "final_train_accuracy", "last_epoch_test_loss", "last_epoch_test_accuracy")
"""The columns of the report's tables. It scores the training split after an epoch, not during it: at a learning rate of
1 it prints 0.0974, which is 5,842 of 60,000, all the images of one digit."""


def reported_recipe(model: str, optimizer: str = CANDIDATE) -> Recipe:
    """Returns the report's recipe with one of the two candidates as its optimizer."""
    return recipe_preset(f"mnist-report/{optimizer}", model)


def printed_scores(
    name: str, label: str, values: tuple[float, float, float, float], section: str
) -> dict[str, Reproduces]:
    """Returns a line of the report's tables as four claims: training loss and accuracy, test loss and accuracy."""
    parts = ("train-loss", "train-accuracy", "test-loss", "test-accuracy")
    return {
        f"{name}-{part}": Reproduces(label, value, metric=metric, source=f"mnist-report, {section}")
        for part, metric, value in zip(parts, FIGURES, values, strict=True)
    }


def printed_digits(label: str, per_cent: str, section: str) -> ReproducesClasses:
    """Returns the claim on the test accuracy of each digit from 0 to 9; it was added after the first runs were made."""
    values = {str(digit): round(float(value) / 100, 6) for digit, value in enumerate(per_cent.split())}
    return ReproducesClasses(label, values, source=f"mnist-report, {section}")
