"""The rows of a comparison, and how stored runs are gathered into them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np

from convarium.analysis.comparison.metrics import METRICS, Metric
from convarium.analysis.comparison.run_facts import hardware_label, marks_of, status
from convarium.analysis.comparison.still_learning import still_learning
from convarium.analysis.comparison.timing import Conditions, conditions
from convarium.analysis.statistics import (
    LEVEL,
    Difference,
    Estimate,
    Interval,
    confusion_interval,
    estimate,
    image_interval,
    prediction_interval,
)
from convarium.errors import ConvariumError, SpecError
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.recipes.starting import split_start
from convarium.records import Environment
from convarium.runs.store import StoredRun

Decision = Literal[
    "baseline", "better", "worse", "equivalent", "undecided", "fails more often", "fails less often", "failed"
]


@dataclass(frozen=True, repr=False)
class Row:
    """All runs with one label, which share their recipe except for its seed.

    Attributes:
        label: the row's value on the axis: a model's spec, or "learning_rate=0.1".
        runs: every run, by seed.
        metric: the comparison's metric.
        difference: in the metric, this row minus the baseline.
        decision: the verdict in a word or three; "failed" where most runs failed, also of the baseline; "fails more
            often" or "fails less often" than the baseline where that is shown and the metric decides nothing.
        verdict: the verdict as one sentence, which begins with the label.
    """

    label: str
    runs: tuple[StoredRun, ...]
    metric: Metric = field(compare=False, repr=False)
    difference: Difference | None = None
    decision: Decision = "baseline"
    verdict: str = ""

    def __repr__(self) -> str:
        return f"Row({self.label!r}, {self.n} of {len(self.runs)} runs trained, {self.decision})"

    @cached_property
    def trained(self) -> tuple[StoredRun, ...]:
        """The runs that finished above chance; all means are over these."""
        return tuple(run for run in self.runs if status(run) == "trained")

    @property
    def n(self) -> int:
        """The number of trained runs."""
        return len(self.trained)

    @property
    def failed(self) -> int:
        """The number of runs that diverged, ended at chance or stopped with an error."""
        return len(self.runs) - self.n

    @property
    def has_failed(self) -> bool:
        """Whether most of the runs failed, so that the others say little."""
        return 2 * self.failed > len(self.runs)

    @cached_property
    def still_learning(self) -> str | None:
        """Says that the loss was still falling when the trained runs ended.

        None if it was not, if it cannot be told, or if most runs failed: longer training is not what they need.
        """
        return None if self.has_failed else still_learning(self.label, self.trained)

    @property
    def diverged(self) -> int:
        """The number of runs that diverged."""
        return sum(run.outcome.status == "diverged" for run in self.runs)

    @property
    def at_chance(self) -> int:
        """The number of runs that finished at chance."""
        return sum(run.outcome.is_at_chance is True for run in self.runs)

    @property
    def undetermined(self) -> int:
        """The number of runs of which no scored set is large enough to tell whether they are at chance."""
        return sum(run.outcome.is_at_chance is None for run in self.runs)

    @cached_property
    def measured(self) -> Estimate | None:
        """The comparison's metric; None if no trained run has it, or if not every run reached the level."""
        return self.estimate(self.metric)

    @cached_property
    def validation(self) -> Estimate | None:
        """The validation accuracy."""
        return self.estimate(METRICS["validation_accuracy"])

    @cached_property
    def test(self) -> Estimate | None:
        """The test accuracy."""
        return self.estimate(METRICS["test_accuracy"])

    @cached_property
    def train_seconds(self) -> Estimate | None:
        """The training time; None if the runs were made in several environments."""
        return self.estimate(METRICS["train_seconds"])

    @cached_property
    def images_per_second(self) -> Estimate | None:
        """The training speed; None if the runs were made in several environments."""
        return self.estimate(METRICS["images_per_second"])

    @cached_property
    def images(self) -> Interval | None:
        """Bootstrap interval of the mean accuracy over the test images, or over those for validation where no others
        are held out; of the metric where that is another one of their confusion matrix, such as the balanced accuracy.
        None without stored predictions.
        """
        pairs = [pair for run in self.trained if (pair := run.predictions()) is not None]
        if not pairs or len({len(labels) for _, labels in pairs}) > 1:
            return None
        if self.metric.of_counts is not None and self.metric.name.startswith(self.runs[0].result_split):
            predicted = np.stack([logits.argmax(1) for logits, _ in pairs])
            return confusion_interval(pairs[0][1], predicted, self.metric.of_counts, classes=pairs[0][0].shape[1])
        return image_interval(sum((logits.argmax(1) == labels).astype(float) for logits, labels in pairs) / len(pairs))

    @property
    def parameters(self) -> int | None:
        """The network's number of parameters."""
        return next((run.outcome.cost.parameters for run in self.runs if run.outcome.cost is not None), None)

    @property
    def flops(self) -> int | None:
        """The FLOPs of one image."""
        return next((run.outcome.cost.flops for run in self.runs if run.outcome.cost is not None), None)

    @cached_property
    def timed_in(self) -> Conditions | None:
        """What decided the speed of all runs; None if it differed between them, or within one. Times of two rows can be
        compared where both have the same.
        """
        if any(run.is_mixed for run in self.runs):
            return None
        found = {conditions(run.outcome.environment) for run in self.runs}
        return found.pop() if len(found) == 1 else None

    @property
    def environment(self) -> str | None:
        """The environment of all runs in words; None if there were several, also within one run."""
        return hardware_label(self.runs[0].outcome.environment) if self.timed_in else None

    @property
    def environments(self) -> tuple[Environment, ...]:
        """The environments of all runs and of all their parts."""
        return tuple(each for run in self.runs for each in (*run.outcome.earlier, run.outcome.environment))

    @property
    def marks(self) -> tuple[str, ...]:
        """What a reader of the results must know: "test watched", "selected on test", "mixed", "from weights", "partly
        frozen".
        """
        recipe = self.runs[0].recipe
        told = self.label.startswith("start_from=")
        started = ("from weights",) * (recipe.start_from is not None and not told)
        frozen = ("partly frozen",) * (recipe.freeze is not None)
        return (
            *marks_of(self.runs, self.metric),
            *("mixed",) * any(run.is_mixed for run in self.runs),
            *started,
            *frozen,
        )

    def values(self, metric: Metric) -> dict[int, float]:
        """Returns the metric by seed, for the trained runs that recorded it.

        For a level to be reached, runs that diverged or ended at chance count too: they never reached it.
        """
        counted = self.runs if metric.kind == "size" else self.trained
        recorded = {run.recipe.seed: metric.measure(run) for run in counted}
        known = {seed: value for seed, value in recorded.items() if value is not None}
        if metric.kind != "reach":
            return {seed: value for seed, value in known.items() if math.isfinite(value)}
        never = {run.recipe.seed: math.inf for run in self.runs if status(run) in ("diverged", "at chance")}
        return never | known

    def estimate(self, metric: Metric) -> Estimate | None:
        """Returns the mean over seeds, with its interval on the metric's scale.

        None without values, if some run never reached the level, and for times from several environments. Epochs and
        steps up to a level are multiples of an epoch, of which Student's t would feign to know more: no interval.
        """
        if metric.kind == "time" and self.timed_in is None:
            return None
        values = list(self.values(metric).values())
        if not values or not all(map(math.isfinite, values)):
            return None
        found = estimate(values, scale=metric.scale, images=self.counted(metric))
        return replace(found, low=None, high=None) if metric.kind == "reach" else found

    def predicted(self, metric: Metric, *, runs: int = 1, level: float = LEVEL) -> Interval | None:
        """Returns the interval in which the mean of `runs` further runs would lie, on the metric's scale; see
        `prediction_interval`.
        """
        values = list(self.values(metric).values())
        return prediction_interval(values, runs=runs, level=level, scale=metric.scale, images=self.counted(metric))

    def counted(self, metric: Metric) -> int | None:
        """The number of images that an accuracy was counted on, the least of all runs; None if it is not recorded."""
        counts = [count for run in self.trained if (count := metric.images(run)) is not None]
        return min(counts, default=None)


def gather(runs: Sequence[StoredRun], by: str, metric: Metric) -> tuple[Row, ...]:
    """Groups runs into rows, in the order in which their labels first appear; no differences yet.

    Raises:
        ConvariumError: two recipes share a label, or two runs share a label and a seed.
    """
    groups: dict[Any, list[StoredRun]] = {}
    for run in {run.key: run for run in runs}.values():
        value = getattr(run.recipe, by)
        same = {"model": canonical_spec(run.recipe.model), "start_from": start_value(run.recipe)}.get(by, value)
        groups.setdefault(same, []).append(run)
    rows = []
    for group in groups.values():
        name = label(getattr(group[0].recipe, by), by)
        _check_group(name, group, by)
        rows.append(Row(name, tuple(sorted(group, key=lambda run: run.recipe.seed)), metric))
    labels = [row.label for row in rows]
    repeated = next((name for name in labels if labels.count(name) > 1), None)
    if repeated is not None:  # weights of one name
        hint = "give the file another name, or leave one of them out"
        raise ConvariumError(f"two weights share the label {repeated!r}: a file has changed in between", hint=hint)
    return tuple(rows)


def label(value: Any, by: str) -> str:
    """Names a row: models, data sets and optimizers by their value alone, other settings as "field=value"; weights
    without their digest.
    """
    if by == "start_from":
        return f"{by}={split_start(value)[0] if value else 'none'}"
    return str(value) if by in ("model", "dataset", "optimizer") else f"{by}={value}"


@cache
def canonical_spec(model: str) -> str:
    """Writes out every option of a network's spec; returns the spec of an unknown network unchanged."""
    try:
        return resolve(model).canonical
    except SpecError:
        return model


def share_weights(first: Row, second: Row) -> bool:
    """Whether equal seeds start from equal weights: the same network for the same images, under other settings."""
    a, b = (
        (canonical_spec(recipe.model), recipe.dataset, recipe.resize, start_value(recipe))
        for recipe in (first.runs[0].recipe, second.runs[0].recipe)
    )
    return a == b


def start_value(recipe: Recipe) -> str | None:
    """The digest of the weights that a recipe starts from, which decides alone; None for random weights."""
    return recipe.start_from and split_start(recipe.start_from)[1]


def settings(recipe: Recipe, by: str) -> dict[str, Any]:
    """Returns all fields of a recipe except its seed and the axis of the comparison."""
    values = {field.name: getattr(recipe, field.name) for field in fields(recipe) if field.name not in ("seed", by)}
    same = {"model": canonical_spec(recipe.model), "start_from": start_value(recipe)}
    return values | {name: value for name, value in same.items() if name != by}


def _check_group(name: str, group: list[StoredRun], by: str) -> None:
    first = settings(group[0].recipe, by)
    for run in group[1:]:
        other = settings(run.recipe, by)
        differ = [field for field in first if first[field] != other[field]]
        if differ:
            values = ", ".join(f"{field} ({first[field]!r} and {other[field]!r})" for field in differ)
            raise ConvariumError(
                f"two recipes share the label {name!r}: they differ in {values}",
                hint=f"compare by {differ[0]}, or leave one of them out",
            )
    seeds = [run.recipe.seed for run in group]
    repeated = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if repeated is not None:
        raise ConvariumError(
            f"two runs share the label {name!r} and the seed {repeated}",
            hint="they come from different data or versions: leave one of them out",
        )
