"""How the claims of a study are judged: by its runs, by the sizes of its networks, or by timings in turns."""

import dataclasses
from collections.abc import Sequence

from convarium.analysis.claims import (
    Claim,
    Verdict,
    is_about_size,
    is_about_speed,
    judge,
    judge_size,
    judge_speed,
    labels_of,
)
from convarium.analysis.comparison import Comparison
from convarium.errors import SpecError
from convarium.models.index import PARAMETERS, native_image
from convarium.models.layer_tables import known_description
from convarium.recipes.recipe import Recipe
from convarium.runs.timings import Timing
from convarium.studies.study import Study, images_of


def judge_study(study: Study, comparison: Comparison | None, timings: Sequence[Timing] = ()) -> dict[str, Verdict]:
    """The verdicts on a study's claims, by their names; those whose rows are not all there yet are left out.

    A claim about the size of networks of the zoo is judged without a run, a claim of speed by pairs of turns. The
    family of comparisons is that of the plan, so that no claim is judged more leniently while runs are missing.

    Args:
        study: the study.
        comparison: of its finished runs; None: it has none.
        timings: of its networks in turns, the newest first.
    """
    verdicts = {
        name: judge_size(claim, sizes)
        for name, claim in study.claims.items()
        if is_about_size(claim) and (sizes := sizes_of(study, claim))
    }
    verdicts |= {
        name: verdict for name, claim in study.claims.items() if (verdict := _speed_verdict(study, claim, timings))
    }
    if comparison is not None:
        planned = dataclasses.replace(comparison, family=max(comparison.family, len(study.values) - 1))
        verdicts |= {
            name: judge(claim, planned)
            for name, claim in study.claims.items()
            if name not in verdicts and all(_has_runs(planned, label) for label in labels_of(claim))
        }
    return {name: verdicts[name] for name in study.claims if name in verdicts}


def _speed_verdict(study: Study, claim: Claim, timings: Sequence[Timing]) -> Verdict | None:
    """The verdict on a claim of speed by timings in turns; None for any other claim, and where there is no timing."""
    if not is_about_speed(claim):
        return None
    return judge_speed(claim, recipes_of(study, claim), timings, family=max(len(study.values) - 1, 1))


def recipes_of(study: Study, claim: Claim) -> dict[str, Recipe]:
    """The recipes of a claim's rows with the seed 0, by their labels."""
    by_value = {getattr(recipe, study.compare): dataclasses.replace(recipe, seed=0) for recipe in study.recipes}
    return dict(zip(labels_of(claim), map(by_value.__getitem__, study.values_of(claim)), strict=True))


def sizes_of(study: Study, claim: Claim) -> dict[str, int]:
    """The parameters or FLOPs of the networks that a claim about them names, by label, as the zoo has them counted.

    Empty for any other claim, and where one of the networks is not counted on the study's images: then runs have to
    tell.
    """
    if not is_about_size(claim) or study.compare != "model":
        return {}
    counted = {}
    for name in labels_of(claim):
        recipe = next(recipe for recipe in study.recipes if recipe.model == name)
        size = (_parameters_of if claim.metric == "parameters" else _flops_of)(recipe)
        if size is None:
            return {}
        counted[name] = size
    return counted


def _parameters_of(recipe: Recipe) -> int | None:
    return PARAMETERS.get(recipe.model) if images_of(recipe) == native_image(recipe.model) else None


def _flops_of(recipe: Recipe) -> int | None:
    images = images_of(recipe)
    known = None if images is None else known_description(recipe.model, images)
    return None if known is None else known.root.flops


def _has_runs(comparison: Comparison, name: str) -> bool:
    try:
        return bool(comparison.row(name))
    except SpecError:
        return False
