"""The verb `recommend`: which network for these images, within a time."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convarium.errors import ConvariumError, RecipeError
from convarium.workspace.arguments import compare_command, planned_recipe
from convarium.workspace.execution import Workers, training

if TYPE_CHECKING:
    from collections.abc import Callable

    from convarium.analysis.recommendation import Recommendation
    from convarium.studies.events import StudyEvent
    from convarium.studies.resources import Resources

_UNITS = {"s": 1, "m": 60, "h": 3600}

_LONGEST = 30 * 24 * 3600


def budget_seconds(budget: str | float) -> float:
    """A time in seconds: 600, "600s", "10m" or "1.5h".

    Raises:
        ConvariumError: it cannot be read, or is not between a second and thirty days.
    """
    expected = "a time from 1s to 720h, such as 90s, 10m or 1.5h"
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smh]?)", str(budget).strip())
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if not 1 <= seconds <= _LONGEST:
        raise ConvariumError("cannot read budget", expected=expected, received=budget)
    return seconds


def recommend(
    models: Sequence[str],
    resources: Resources,
    *,
    budget: str | float,
    seeds: int,
    name: str | None,
    command: str | None,
    exact: bool,
    workers: Workers,
    minutes: float | None,
    on_event: Callable[[StudyEvent], None] | None,
    fields: Mapping[str, Any],
) -> Recommendation:
    """See `Workspace.recommend`."""
    from convarium.recipes.recipe import Recipe
    from convarium.studies.compare import compare_study
    from convarium.studies.recommending import recommend_network, remember
    from convarium.studies.report import write_study_report
    from convarium.studies.shortlist import NETWORKS, shortlist, usual_recipe
    from convarium.studies.time_budget import TimeBudget
    from convarium.training.scoring import pick_device

    if "seed" in fields:
        raise RecipeError("recommend trains with the seeds 0, 1, 2, …, so it takes no seed", hint="use seeds=N")
    time = TimeBudget(budget_seconds(budget))
    device = pick_device(resources.device)
    models = [models] if isinstance(models, str) else list(models)
    for model in models or [Recipe.model]:
        planned_recipe(model, None, fields)  # complains of a field before the images are read
    if command is None:
        asked = {"recommend": True, "budget": budget, "seeds": seeds, "name": name}
        command = compare_command(models, asked | dict(fields))
    runs = len(models) or len(NETWORKS)  # those of the first rung
    with training(resources, exact=exact, runs=runs, workers=workers, minutes=minutes) as resources:
        fields = usual_recipe(resources, fields, device, on_event=on_event)
        models = models or shortlist(resources.splits(Recipe(**fields)).train.spec, device)
        bases = [planned_recipe(model, None, fields) for model in models]
        found = recommend_network(
            bases, resources, time=time, seeds=seeds, name=name, command=command, on_event=on_event
        )
    record = remember(found, resources.store)
    comparison = compare_study(record, resources.store, drawn=True)
    return dataclasses.replace(found, report=write_study_report(comparison, found.study, resources))
