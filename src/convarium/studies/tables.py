"""The tables that a study shows beside its comparison, and its claims with their verdicts; drawn by pages and cli."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from scipy import stats

from convarium.analysis.claims import leading_classes
from convarium.analysis.comparison import (
    Comparison,
    Row,
    class_differences,
    fails_more_often,
    formatting,
    metric_of,
    status,
)
from convarium.analysis.statistics import LEVEL
from convarium.errors import ConvariumError
from convarium.models.index import resolve
from convarium.pages.claims_section import ClaimsSection, ExtraTable
from convarium.pages.table import NO_VALUE
from convarium.runs.timings import Timing
from convarium.studies.reasons import REASONS
from convarium.studies.resources import Resources
from convarium.studies.study import Study
from convarium.studies.verdicts import judge_study


def claims_section(
    study: Study, comparison: Comparison, tables: tuple[ExtraTable, ...], timings: Sequence[Timing] = ()
) -> ClaimsSection:
    """Returns the verdicts on a study's claims, the known reasons of contradictions, and the study's tables."""
    verdicts = judge_study(study, comparison, timings)
    return ClaimsSection(verdicts, {name: REASONS[name] for name in verdicts if name in REASONS}, tables)


def study_tables(study: Study, comparison: Comparison, *, resources: Resources | None = None) -> tuple[ExtraTable, ...]:
    """Returns the tables that a study shows, without those that would be empty.

    Args:
        study: names its tables.
        comparison: of its finished runs.
        resources: the data sets, for the table of gradients; None: that table is left out.
    """
    tables: list[ExtraTable] = []
    for kind in study.shows:
        match kind:
            case "classes":
                tables += [_classes(comparison), *_class_differences(comparison)]
            case "spread":
                tables.append(_spread(comparison))
            case "predicted":
                tables.append(_predicted(comparison))
            case "gradients" if resources is not None:
                tables.append(_gradients(comparison, resources, named={recipe.model for recipe in study.recipes}))
    return tuple(table for table in tables if table.rows)


def _classes(comparison: Comparison) -> ExtraTable:
    scored = [(row, [scores for run in row.trained if (scores := comparison.scores(run))]) for row in comparison.rows]
    scored = [(row, scores) for row, scores in scored if scores]
    names = list(scored[0][1][0].per_class) if scored else []

    def mean(row: Row, name: str) -> str:
        values = [scores.per_class[name] for run in row.trained if (scores := comparison.scores(run))]
        known = [value for value in values if value is not None]
        return f"{100 * fmean(known):.2f}" if known else "–"

    rows = tuple((name, *(mean(row, name) for row, _ in scored)) for name in names)
    title = f"{comparison.split.capitalize()} accuracy class by class, %"
    return ExtraTable(title, ("class", *(row.label for row, _ in scored)), rows)


def _class_differences(comparison: Comparison) -> Iterator[ExtraTable]:
    """Each network minus the baseline, class by class, with intervals that hold for all classes simultaneously."""
    against = next((row for row in comparison.rows if row.label == comparison.baseline), None)
    if against is None or not against.trained:
        return
    for row in comparison.rows:
        if row is against:
            continue
        try:
            frame = class_differences(comparison, row.label, against.label)
        except ConvariumError:  # no trained run, or no seed in common: the verdicts say so already
            continue
        lines = []
        for record in frame.to_dict("records"):
            low, high = record["low"], record["high"]
            if low is None or high is None or math.isnan(low) or math.isnan(high):
                verdict, interval = "undecided", "cannot be told"
            else:
                verdict = _side(row, against, low, high)
                interval = formatting.minus(f"{100 * low:.2f}") + " to " + formatting.minus(f"{100 * high:.2f}")
            lines.append(
                (str(record["class"]), formatting.minus(f"{100 * record['difference']:.2f}"), interval, verdict)
            )
        title = f"{row.label} minus {against.label} class by class, points of {comparison.split} accuracy"
        yield ExtraTable(title, ("class", "difference", "interval for all classes", ""), tuple(lines))


def _side(row: Row, against: Row, low: float, high: float) -> str:
    """Whether an interval lies on one side of 0; of two rows the one that fails more often is never better."""
    if low > 0 and not fails_more_often(row, against):
        return "better"
    return "worse" if high < 0 and not fails_more_often(against, row) else "undecided"


def _spread(comparison: Comparison) -> ExtraTable:
    """How far apart two single runs may lie: √2 · t · standard deviation."""
    metric, rows = metric_of(comparison.metric), []
    for row in comparison.rows:
        values = list(row.values(metric).values())
        if len(values) < 2 or row.measured is None or row.measured.deviation is None:
            continue
        apart = math.sqrt(2) * float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * row.measured.deviation
        lowest, highest = formatting.amounts(metric, [min(values), max(values)], row.measured.deviation or None)
        rows.append((row.label, str(len(values)), lowest, highest, formatting.quantity(metric, apart)))
    columns = ("network", "n", "lowest", "highest", "95 % of pairs of runs lie closer than")
    return ExtraTable(f"How far single runs lie apart in {metric.title}", columns, tuple(rows))


def _predicted(comparison: Comparison) -> ExtraTable:
    rows = tuple(
        (f"{row.label}, seed {run.recipe.seed}", " ".join(leading_classes(run)))
        for row in comparison.rows
        for run in row.runs
        if status(run) == "at chance" and leading_classes(run)
    )
    title = "Runs at chance: the class that most test images were taken for, epoch by epoch"
    return ExtraTable(title, ("run", "class after each epoch"), rows)


def _gradients(comparison: Comparison, resources: Resources, *, named: Collection[str]) -> ExtraTable:
    """Gradients of new networks; a user's own network is built only if the study names it, not if a record does."""
    from convarium.diagnostics import initial_gradients  # imports PyTorch, which the other tables do not need

    rows = []
    for row in comparison.rows:
        recipe = replace(row.runs[0].recipe, seed=0)
        if resolve(recipe.model).is_custom and recipe.model not in named:
            rows.append((row.label, "not rebuilt", *(5 * [NO_VALUE])))
            continue
        if recipe.start_from is not None:
            rows.append((row.label, "not new", *(5 * [NO_VALUE])))
            continue
        layers = initial_gradients(recipe, resources.splits(recipe))
        picked = [layers[round(share * (len(layers) - 1))] for share in (0, 0.25, 0.5, 0.75, 1)]
        rows.append((row.label, str(len(layers)), *(f"{layer.rms:.1e}" for layer in picked)))
    columns = ("network", "layers", "first", "at 1/4", "at 1/2", "at 3/4", "last")
    return ExtraTable("Gradients at the start, root mean square over each layer's weight", columns, tuple(rows))
