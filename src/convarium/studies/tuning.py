"""A learning rate for each network, chosen on validation images with other seeds; one rate for all would not be fair.

The runs are studies in the store like any other, "<study>-tuning-<network>", so that the choice can be looked up.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from convarium.analysis.comparison import validation_metric
from convarium.errors import RecipeError
from convarium.recipes.recipe import Recipe
from convarium.runs.names import file_name, same_file
from convarium.studies.events import TUNING_SEEDS, StudyEvent
from convarium.studies.resources import Resources
from convarium.studies.run import run_study
from convarium.studies.study import Study, grid

FACTORS = (1 / 9, 1 / 3, 1.0, 3.0, 9.0)
WIDEST = 81.0
"""While the best rate is at an end of the factors, the search continues beyond it, up to this factor."""


@dataclass(frozen=True)
class Tuned:
    """The learning rate that was chosen for one compared value.

    Attributes:
        value: of the study's axis.
        learning_rate: the best one.
        tried: mean `validation_metric` by learning rate; a run that diverged counts as 0.
    """

    value: object
    learning_rate: float
    tried: dict[float, float]


def tune(
    study: Study,
    resources: Resources,
    *,
    seeds: Sequence[int] = TUNING_SEEDS,
    factors: Sequence[float] = FACTORS,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> tuple[Study, tuple[Tuned, ...]]:
    """Returns the study with each network's own best learning rate, named "<name>-tuned", and the rates tried.

    The rates are the recipe's own times the factors; while the best one is at an end, rates three times further out are
    tried as well. A recipe that holds no validation images out is tuned with the data set's usual ones held out, and
    the study itself is then trained as the recipe says.

    Args:
        study: the study whose learning rates are chosen.
        resources: the store, where the tuning runs lie too and finished ones are reused; the data sets; the device.
        seeds: the seeds of the tuning runs.
        factors: the multiples of the recipe's own rate, ascending.
        on_event: as for `run_study`.

    Raises:
        RecipeError: the study compares learning rates, a tuning seed is one of its own, or there are no factors.
    """
    if study.compare == "learning_rate":
        raise RecipeError("a study of learning rates cannot tune them", hint="leave out --tune")
    shared = sorted({recipe.seed for recipe in study.recipes} & set(seeds))
    if shared:
        raise RecipeError(f"seed {shared[0]} is one of the study's own", hint="tune with other seeds")
    if not factors or not seeds:
        raise RecipeError("tuning needs at least one factor and one seed")
    bases = {getattr(recipe, study.compare): recipe for recipe in reversed(study.recipes)}
    chosen: list[Tuned] = []
    for value in study.values:
        base, rates = _for_tuning(bases[value]), list(factors)
        while True:
            name = _tuning_name(study, value)
            tried = _try(name, study, base, rates, seeds, resources, on_event)
            best = max(tried, key=tried.__getitem__)
            wider = _beyond(best, base, rates)
            if wider is None:
                chosen.append(Tuned(value, best, tried))
                break
            rates = sorted([*rates, wider])
    rate_of = {tuned.value: tuned.learning_rate for tuned in chosen}
    recipes = tuple(
        dataclasses.replace(recipe, learning_rate=rate_of[getattr(recipe, study.compare)]) for recipe in study.recipes
    )
    command = study.command and (study.command if "--tune" in study.command else f"{study.command} --tune")
    return dataclasses.replace(study, name=f"{study.name}-tuned", recipes=recipes, command=command), tuple(chosen)


def _tuning_name(study: Study, value: object) -> str:
    """The name of the study that tunes one row, with a digest of the row where the readable names of two are alike."""
    names = [file_name(str(each)) for each in study.values]
    name = file_name(str(value))
    if sum(same_file(name, other) for other in names) > 1:
        name = f"{name}-{hashlib.sha256(str(value).encode()).hexdigest()[:6]}"
    return f"{study.name}-tuning-{name}"


def _for_tuning(recipe: Recipe) -> Recipe:
    select = "last" if recipe.select == "best_test" else recipe.select
    validation = None if recipe.validation == 0 else recipe.validation
    return dataclasses.replace(recipe, watch_test=False, select=select, validation=validation)


def _try(
    name: str,
    study: Study,
    base: Recipe,
    factors: Sequence[float],
    seeds: Sequence[int],
    resources: Resources,
    on_event: Callable[[StudyEvent], None] | None,
) -> dict[float, float]:
    rates = [_rate(base, factor) for factor in factors]
    trial = Study(
        name=name,
        question=f"Which learning rate suits {getattr(base, study.compare)} best on validation?",
        recipes=grid(base, seed=seeds, learning_rate=rates),
        compare="learning_rate",
        metric="validation_accuracy",
    )
    comparison = run_study(trial, resources, on_event=on_event)
    accuracy = validation_metric([done for row in comparison.rows for done in row.runs])
    return {rate: fmean(accuracy.measure(done) or 0.0 for done in comparison.row(rate).runs) for rate in rates}


def _beyond(best: float, base: Recipe, factors: Sequence[float]) -> float | None:
    """Returns the factor to try next if the best rate is at an end; None if it is not, or too far out already."""
    for end, further in ((min(factors), min(factors) / 3), (max(factors), max(factors) * 3)):
        outside = max(further, 1 / further) > WIDEST * (1 + 1e-9)
        if best == _rate(base, end) and len(factors) > 1 and not outside:
            return further
    return None


def _rate(base: Recipe, factor: float) -> float:
    """Returns the rate rounded to two digits, so that it reads well and does not depend on a product's last bit."""
    rate = base.learning_rate * factor
    return round(rate, 1 - math.floor(math.log10(rate)))
