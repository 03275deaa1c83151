"""A study: a question, the recipes that answer it, and the claims that it judges."""

import dataclasses
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from convarium.analysis.claims import (
    Claim,
    assumptions,
    describe,
    labels_of,
)
from convarium.analysis.comparison import metric_of
from convarium.analysis.comparison.formatting import listed, listed_briefly
from convarium.analysis.comparison.rows import label
from convarium.data.folder_options import own_name
from convarium.data.published import DATASETS
from convarium.errors import RecipeError, SpecError
from convarium.models.factories import factory_digest
from convarium.models.index import resolve
from convarium.notebook import html_table
from convarium.recipes.recipe import ADDED_FIELDS, Recipe
from convarium.recipes.starting import split_start
from convarium.records import ImageSpec
from convarium.runs.names import LONGEST_NAME, file_name, is_file_name
from convarium.spec import parse, unknown

MOST_SEEDS = 10_000

TableKind = Literal["classes", "spread", "predicted", "gradients"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Study:
    """A question, and the runs that answer it.

    Attributes:
        name: the name of its folder in the store.
        question: the question, one sentence.
        recipes: the recipe of every run, seeds included; see `grid`.
        compare: the recipe field whose values are compared: "model", "learning_rate", "optimizer", …
        baseline: the value that the others are compared with; None: the first.
        metric: the metric that is compared first, such as "validation_accuracy" or "epochs_to(test_accuracy=0.98)", see
            `metric_of`; None: the test accuracy, or the balanced one where classes are imbalanced.
        claims: the sentences to judge, each under a short name; see `convarium.analysis.claims`.
        shows: the tables beside the comparison: "classes", accuracies class by class and differences to the baseline;
            "spread", how far single runs lie apart; "predicted", the classes that failed runs predict; "gradients",
            layer by layer.
        command: the command line that repeats the study.
    """

    name: str
    question: str
    recipes: tuple[Recipe, ...]
    compare: str = "model"
    baseline: Any = None
    metric: str | None = None
    claims: Mapping[str, Claim] = field(default_factory=dict)
    shows: tuple[TableKind, ...] = ()
    command: str | None = None

    def __post_init__(self) -> None:
        if not self.recipes:
            raise RecipeError("a study needs at least one recipe", hint="see convarium.grid")
        if self.compare not in {f.name for f in dataclasses.fields(Recipe)}:
            raise RecipeError(
                f"compare={self.compare!r} is not a recipe field", hint="compare='model' is the usual one"
            )
        if not is_file_name(self.name):
            raise RecipeError(
                f"{self.name[:60]!r} cannot name a study, which is a folder",
                expected=f"a name that Linux, macOS and Windows accept, of at most {LONGEST_NAME} bytes",
                hint="use letters, digits and dashes",
            )
        for name in ("question", "command"):
            text = getattr(self, name) or ""
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise RecipeError(f"the {name} of a study is not UTF-8", received=text)
        values = list(self.values)
        if self.baseline is not None and self.baseline not in values:
            raise RecipeError(f"baseline {self.baseline!r} is not compared", expected=" or ".join(map(repr, values)))
        if self.metric is not None:
            metric_of(self.metric)
        for claim in self.claims.values():
            self.values_of(claim)
        by_value: dict[tuple[Any, int], Recipe] = {}
        for recipe in self.recipes:
            value = getattr(recipe, self.compare)
            if by_value.setdefault((value, recipe.seed), recipe) != recipe:
                raise RecipeError(
                    f"two different recipes of the study share {self.compare}={value!r} and seed {recipe.seed}",
                    hint="compare the field in which they differ, or make two studies of it",
                )

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {len(self.recipes)} runs, {len(self.values)} values of {self.compare})"

    def _repr_html_(self) -> str:
        """The question, and the compared values with their numbers of runs: what a notebook shows."""
        counts = Counter(getattr(recipe, self.compare) for recipe in self.recipes)
        shared = {name: value for name, value in self.base.items() if value != getattr(Recipe, name)}
        settings = ", ".join(f"{name}={value!r}" for name, value in shared.items())
        claims = [f"claim {name}: {describe(claim)}" for name, claim in self.claims.items()]
        return html_table(
            (self.compare, "runs"),
            [(label(value, self.compare), n) for value, n in counts.items()],
            title=self.question,
            notes=[*([f"all with {settings}"] if settings else []), *claims, *assumptions(self.claims.values())],
        )

    @property
    def values(self) -> tuple[Any, ...]:
        """The compared values, in order of appearance."""
        return tuple(dict.fromkeys(getattr(recipe, self.compare) for recipe in self.recipes))

    def values_of(self, claim: Claim) -> tuple[Any, ...]:
        """The compared values that a claim speaks of.

        Raises:
            SpecError: it speaks of one that the study does not have.
        """
        values = {label(value, self.compare): value for value in self.values}
        for name in labels_of(claim):
            if name not in values:
                raise unknown("row of the study in a claim", name, values)
        return tuple(values[name] for name in labels_of(claim))

    @property
    def base(self) -> dict[str, Any]:
        """The recipe fields that all runs share."""
        every = [recipe.to_json() for recipe in self.recipes]
        varied = ("seed", self.compare)
        return {n: v for n, v in every[0].items() if n not in varied and all(other[n] == v for other in every)}


def grid(base: Recipe, **axes: Iterable[Any]) -> tuple[Recipe, ...]:
    """Every combination of the axes' values, put into `base`; the last axis varies fastest.

        grid(Recipe(epochs=5), seed=range(3), model=["lenet", "residual_cnn"])

    Raises:
        RecipeError: an axis that is no recipe field, or has no value.
    """
    known = {f.name for f in dataclasses.fields(Recipe)}
    lists = {name: list(values) for name, values in axes.items()}
    for name, values in lists.items():
        if name not in known:
            raise RecipeError(f"axis {name!r} is not a recipe field", expected=", ".join(sorted(known)))
        if not values:
            raise RecipeError(f"axis {name!r} has no value", hint="give at least one")
    combinations = itertools.product(*lists.values())
    return tuple(Recipe(**(base.to_json() | dict(zip(lists, values, strict=True)))) for values in combinations)


def with_seeds(bases: Iterable[Recipe], seeds: Iterable[int]) -> tuple[Recipe, ...]:
    """Every base with every seed; all bases of one seed come first, so that a study broken off is balanced."""
    each = tuple(bases)
    return tuple(dataclasses.replace(base, seed=seed) for seed in seeds for base in each)


def study_of_networks(
    bases: Sequence[Recipe], *, seeds: int, baseline: str | None = None, name: str | None = None, command: str | None
) -> Study:
    """The study that compares networks, or one network from several weights: every base with seeds 0, 1, …

    Args:
        bases: a recipe for each network, or for each of several weights that one network starts from.
        seeds: runs of each of them.
        baseline: the network, or the weights ("none": random ones), that the others are compared with; None: the first.
        name: of the study; None: one made from the networks and a digest of their other settings.
        command: the command line that asks the same.

    Raises:
        ConvariumError: no network, two specs of one network, a number of seeds that is out of range, or a baseline that
            is not compared.
    """
    check_seeds(seeds)
    if not bases:
        raise SpecError("compare needs at least one network", hint="try: convarium compare lenet residual_cnn")
    each = list(dict.fromkeys(bases))
    _check_all_differ(each)
    names = list(dict.fromkeys(base.model for base in each))
    dataset = each[0].dataset
    if len(names) == 1 and len(each) > 1:
        return _study_of_starts(each, seeds=seeds, baseline=baseline, name=name, command=command)
    several = f"How do {listed_briefly(names)} compare on {dataset}?"
    return Study(
        name=_name_of(each) if name is None else name,
        question=several if len(names) > 1 else f"How accurate is {names[0]} on {dataset}?",
        recipes=with_seeds(each, range(seeds)),
        baseline=names[0] if baseline is None else str(parse(baseline)),
        command=command,
    )


def _check_all_differ(bases: Sequence[Recipe]) -> None:
    """Raises if two specs, such as `lenet` and `lenet(activation='relu')`, mean one network and so the same runs."""
    first_of: dict[Recipe, Recipe] = {}
    for base in bases:
        network = resolve(base.model)
        alike = base if network.is_custom else dataclasses.replace(base, model=network.canonical)
        first = first_of.setdefault(alike, base)
        if first is not base:
            raise SpecError(f"{base.model} is the same network as {first.model}", hint="name it once")


def _study_of_starts(
    bases: Sequence[Recipe], *, seeds: int, baseline: str | None, name: str | None, command: str | None
) -> Study:
    starts = {split_start(base.start_from)[0] if base.start_from else "none": base.start_from for base in bases}
    first = starts.get(baseline or next(iter(starts)), baseline)
    if baseline is not None and baseline not in starts:
        raise unknown("baseline", baseline, starts)
    ordered = sorted(bases, key=lambda base: base.start_from != first)  # a baseline of None is the first value
    weights = listed(["random weights" if start == "none" else f"those of {start}" for start in starts])
    return Study(
        name=_name_of(bases) if name is None else name,
        question=f"How accurate is {bases[0].model} on {bases[0].dataset}, starting from {weights}?",
        recipes=with_seeds(ordered, range(seeds)),
        compare="start_from",
        baseline=first,
        command=command,
    )


def _name_of(bases: Sequence[Recipe]) -> str:
    """A name for people, with a digest of the settings and of the sources of a user's own networks, so that other
    settings, or a network that was changed, make another study.
    """
    added = {name: getattr(Recipe, name) for name in ADDED_FIELDS}  # at their defaults they leave names as they were
    settings = [
        {k: v for k, v in base.to_json().items() if k not in ("model", "seed") and (k not in added or v != added[k])}
        for base in bases
    ]
    sources = [source for base in bases if (source := factory_digest(base.model)) is not None]
    text = json.dumps([*settings, *sources], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    words = re.sub(r"[^\w]+", "-", " ".join(dict.fromkeys(base.model for base in bases)))
    dataset = Path(own_name(bases[0].dataset)).name
    return f"{file_name(dataset, longest=40)}-{file_name(words)}-{digest}"


def check_seeds(seeds: int) -> None:
    """Checks a number of seeds: none decides nothing, and too many fill the memory with plans.

    Raises:
        RecipeError: it is out of range.
    """
    if type(seeds) is not int or not 1 <= seeds <= MOST_SEEDS:
        raise RecipeError(
            "seeds is out of range",
            expected=f"1 to {MOST_SEEDS:,}",
            received=seeds,
            hint="use 5 or more to see differences",
        )


def images_of(recipe: Recipe) -> ImageSpec | None:
    """The images of a published data set as the recipe's network takes them; None for a user's own."""
    if recipe.dataset not in DATASETS:
        return None
    spec = DATASETS[recipe.dataset].spec
    return dataclasses.replace(spec, height=recipe.resize or spec.height, width=recipe.resize or spec.width)
