"""What a comparison is made of, and how stored runs are gathered into its rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Literal

from convarium.analysis.comparison.formatting import count
from convarium.analysis.comparison.metrics import METRICS, Metric
from convarium.analysis.statistics import Difference, Estimate, Interval, at_chance, estimate, image_interval
from convarium.errors import ConvariumError, SpecError
from convarium.models.build import resolve
from convarium.recipes.recipe import Recipe
from convarium.records import Environment
from convarium.runs.store import StoredRun

Decision = Literal["baseline", "better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True)
class Row:
    """All runs of one label: one recipe but for its seed.

    Attributes:
        label: what the axis has here: a model's spec, or "learning_rate=0.1".
        runs: every run, by seed.
        trained: those that finished above chance: all means are over them.
        failed: runs that are not among the trained: diverged, at chance, or broken off by an error.
        diverged, at_chance: how many of the failed did so.
        measured: the comparison's metric; None where no trained run has it, or a level was not reached by all.
        validation, test: accuracies.
        images: bootstrap interval of the mean test accuracy over the test images.
        train_seconds, images_per_second: None where the row's runs were made in several environments.
        environment: where they were made, in words; None if in several.
        difference: of the metric, this row minus the baseline.
        decision: the verdict in one word.
        verdict: the verdict in one sentence.
        marks: "test watched", "selected on test".
    """

    label: str
    runs: tuple[StoredRun, ...]
    trained: tuple[StoredRun, ...]
    n: int
    failed: int
    diverged: int
    at_chance: int
    measured: Estimate | None
    validation: Estimate | None
    test: Estimate | None
    images: Interval | None
    parameters: int | None
    flops: int | None
    train_seconds: Estimate | None
    images_per_second: Estimate | None
    environment: str | None
    difference: Difference | None = None
    decision: Decision = "baseline"
    verdict: str = ""
    marks: tuple[str, ...] = ()

    def values(self, metric: Metric) -> dict[int, float]:
        """The metric of each run by seed, of the trained runs that recorded it.

        Where a level is to be reached, runs that diverged or stayed at chance count too: they never reached it.
        """
        counted = self.runs if metric.kind == "size" else self.trained
        found = {r.recipe.seed: metric.of(r) for r in counted}
        known = {seed: value for seed, value in found.items() if value is not None}
        if metric.kind != "reach":
            return {seed: value for seed, value in known.items() if math.isfinite(value)}
        never = {r.recipe.seed: math.inf for r in self.runs if status(r) in ("diverged", "at chance")}
        return never | known


def gather(runs: Sequence[StoredRun], by: str, metric: Metric) -> tuple[Row, ...]:
    """One row a label, in the order in which the labels first appear; no differences yet.

    Raises:
        ConvariumError: two recipes share a label, or two runs a label and a seed.
    """
    grouped: dict[Any, list[StoredRun]] = {}
    for run in {run.key: run for run in runs}.values():
        value = getattr(run.recipe, by)
        grouped.setdefault(canonical_spec(value) if by == "model" else value, []).append(run)
    return tuple(_row(label(getattr(group[0].recipe, by), by), group, by, metric) for group in grouped.values())


def label(value: Any, by: str) -> str:
    """What a row is called: names speak for themselves, other settings are told with their field."""
    return str(value) if by in ("model", "dataset", "optimizer") else f"{by}={value}"


@cache
def canonical_spec(model: str) -> str:
    """The plain spec of a network with every option written out; a factory that cannot be imported stays as it is."""
    try:
        return resolve(model).canonical
    except SpecError:
        return model


def share_weights(first: Row, second: Row) -> bool:
    """Whether equal seeds start from equal weights: the same network for the same images, under other settings."""
    a, b = first.runs[0].recipe, second.runs[0].recipe
    return (canonical_spec(a.model), a.dataset, a.resize) == (canonical_spec(b.model), b.dataset, b.resize)


def settings(recipe: Recipe, by: str) -> dict[str, Any]:
    """Everything of a recipe but its seed and the axis of the comparison."""
    values = {field.name: getattr(recipe, field.name) for field in fields(recipe) if field.name not in ("seed", by)}
    return values | ({"model": canonical_spec(recipe.model)} if by != "model" else {})


def hardware_label(environment: Environment) -> str:
    """The part of an environment that decides speed, in words."""
    stack = f", {len(environment.stack)} runs stacked" if environment.stack else ""
    device = f"{environment.device}, {count(environment.threads, 'thread')}"
    return f"{environment.processor}, {device}, torch {environment.torch}{stack}"


def is_at_chance(run: StoredRun) -> bool:
    """Whether a finished run does no better than naming the largest class: on validation, or without any on test."""
    validation = run.outcome.validation
    scores = validation if validation is not None and validation.n else run.outcome.test
    if run.outcome.status != "finished" or scores is None or not scores.n:
        return False
    return at_chance(scores.accuracy, scores.n, max(map(sum, scores.confusion)) / scores.n)


def status(run: StoredRun) -> str:
    """How a run ended, in a word or two: "trained", "at chance", "diverged" or "failed"."""
    if run.outcome.status != "finished":
        return run.outcome.status
    return "at chance" if is_at_chance(run) else "trained"


def mean_of(row_values: Sequence[float]) -> Estimate | None:
    """The estimate of a row's values; None where there are none, or some never reached their level."""
    return estimate(row_values) if row_values and all(map(math.isfinite, row_values)) else None


def _row(name: str, group: list[StoredRun], by: str, metric: Metric) -> Row:
    _check(name, group, by)
    runs = tuple(sorted(group, key=lambda run: run.recipe.seed))
    trained = tuple(run for run in runs if status(run) == "trained")
    places = {hardware_label(run.outcome.environment) for run in runs}
    costs = [run.outcome.cost for run in runs if run.outcome.cost is not None]
    row = Row(
        label=name,
        runs=runs,
        trained=trained,
        n=len(trained),
        failed=len(runs) - len(trained),
        diverged=sum(run.outcome.status == "diverged" for run in runs),
        at_chance=sum(map(is_at_chance, runs)),
        measured=None,
        validation=None,
        test=None,
        images=_images(trained),
        parameters=costs[0].parameters if costs else None,
        flops=costs[0].flops if costs else None,
        train_seconds=None,
        images_per_second=None,
        environment=places.pop() if len(places) == 1 else None,
        marks=marks_of(runs, metric),
    )

    def over_seeds(measure: Metric) -> Estimate | None:
        timed_apart = measure.kind == "time" and row.environment is None
        return None if timed_apart else mean_of(list(row.values(measure).values()))

    return replace(
        row,
        measured=over_seeds(metric),
        validation=over_seeds(METRICS["validation_accuracy"]),
        test=over_seeds(METRICS["test_accuracy"]),
        train_seconds=over_seeds(METRICS["train_seconds"]),
        images_per_second=over_seeds(METRICS["images_per_second"]),
    )


def _check(name: str, group: list[StoredRun], by: str) -> None:
    first = settings(group[0].recipe, by)
    for run in group[1:]:
        other = settings(run.recipe, by)
        differ = [field for field in first if first[field] != other[field]]
        if differ:
            told = ", ".join(f"{field} ({first[field]!r} and {other[field]!r})" for field in differ)
            raise ConvariumError(
                f"two recipes share the label {name!r}: they differ in {told}",
                hint=f"compare by {differ[0]}, or leave one of them out",
            )
    seeds = [run.recipe.seed for run in group]
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise ConvariumError(
            f"two runs share the label {name!r} and the seed {twice}",
            hint="they come from different data or versions: leave one of them out",
        )


def marks_of(runs: tuple[StoredRun, ...], metric: Metric) -> tuple[str, ...]:
    """What a reader of these results must be told: "test watched", "selected on test"."""
    watched = any(run.recipe.watch_test for run in runs)
    chosen = metric.chosen_on_test or any(run.recipe.select == "best_test" for run in runs)
    return ("test watched",) * watched + ("selected on test",) * chosen


def _images(trained: tuple[StoredRun, ...]) -> Interval | None:
    pairs = [pair for run in trained if (pair := run.predictions()) is not None]
    if not pairs or len({len(labels) for _, labels in pairs}) > 1:
        return None
    return image_interval(sum((logits.argmax(1) == labels).astype(float) for logits, labels in pairs) / len(pairs))
