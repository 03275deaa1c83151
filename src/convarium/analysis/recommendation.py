"""Which of several trained networks to use: the choice, by validation alone, and accuracies from images that chose
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np

from convarium.analysis.comparison.formatting import listed
from convarium.analysis.statistics import LEVEL, Interval
from convarium.characters import visible
from convarium.errors import ConvariumError
from convarium.notebook import html_table

Role = Literal["most accurate", "smallest", "fastest"]
"""What a network is recommended for. The smallest is that of the networks within the margin of the most accurate."""

SAME_SPEED = 1.05
"""Measured speeds of less than this ratio count as equal."""


@dataclass(frozen=True)
class Finalist:
    """A network between which and others the choice is.

    Attributes:
        network: its spec.
        parameters: trainable numbers.
        images_per_second: measured, of scoring.
        validation: the score on the validation images that networks are chosen by, a fraction of 1, for each seed.
    """

    network: str
    parameters: int
    images_per_second: float
    validation: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean validation score over the seeds."""
        return fmean(self.validation)

    @property
    def best_seed(self) -> int:
        """The position of the seed with the highest validation score; of several, the first."""
        return self.validation.index(max(self.validation))


def choose(finalists: Sequence[Finalist], margin: float) -> dict[str, tuple[Role, ...]]:
    """What each recommended network is recommended for, decided by validation, size and speed alone.

    The most accurate has the highest mean validation score. The smallest has the fewest parameters among the networks
    whose score is at most the margin below that. The fastest is that of all finalists, and of several within 5 % of its
    speed the most accurate one.

    Args:
        finalists: at least one; trained alike.
        margin: the difference of scores that is too small to matter, a fraction of 1.

    Returns:
        The roles by network, in the order of `Role`.

    Raises:
        ConvariumError: there is no finalist, or one without a validation score.
    """
    if not finalists or not all(finalist.validation for finalist in finalists):
        raise ConvariumError("a choice needs finalists with validation scores", received=finalists)
    best = max(finalists, key=lambda finalist: (finalist.mean, -finalist.parameters))
    close = [finalist for finalist in finalists if finalist.mean >= best.mean - margin - 1e-9]
    smallest = min(close, key=lambda finalist: (finalist.parameters, -finalist.mean))
    highest = max(finalist.images_per_second for finalist in finalists)
    quick = [finalist for finalist in finalists if finalist.images_per_second * SAME_SPEED >= highest]
    fastest = max(quick, key=lambda finalist: finalist.mean)
    roles: dict[str, tuple[Role, ...]] = {}
    named: tuple[tuple[Role, Finalist], ...] = (("most accurate", best), ("smallest", smallest), ("fastest", fastest))
    for role, finalist in named:
        roles[finalist.network] = (*roles.get(finalist.network, ()), role)
    return roles


def simultaneous_interval(
    confusion: Sequence[Sequence[int]], *, balanced: bool = False, family: int = 1, level: float = LEVEL
) -> Interval:
    """The accuracy of one trained network on all images of the kind, from images that it was scored on.

    Clopper and Pearson's exact interval of a binomial share, at the level that Bonferroni asks for: all intervals of
    the family hold together with at least `level`. That of a balanced accuracy, which is a mean of such shares, is
    joined from theirs (Zou and Donner 2008, "Construction of confidence limits about effect measures").

    Args:
        confusion: confusion[true][predicted], counts.
        balanced: the mean of the classes' accuracies, of those that have images, instead of the accuracy.
        family: how many intervals are to hold together. Of networks that were named without looking at these images it
            is their number; of networks that these images chose, the number of those that could have been chosen.
        level: the coverage of all of them together.

    Raises:
        ConvariumError: there are no images, or `family` is below 1.
    """
    shares = [(row[label], sum(row)) for label, row in enumerate(confusion) if any(row)]
    if not shares or family < 1:
        raise ConvariumError("an interval needs images and a family of 1 or more", received=(len(shares), family))
    if not balanced:
        shares = [(sum(right for right, _ in shares), sum(n for _, n in shares))]
    from statsmodels.stats.proportion import proportion_confint

    right, n = np.array(shares).T
    low, high = proportion_confint(right, n, alpha=(1 - level) / family, method="beta")
    mean = float((right / n).mean())
    below, above = (float(np.sqrt(((right / n - end) ** 2).sum()) / len(shares)) for end in (low, high))
    return Interval(max(0.0, mean - below), min(1.0, mean + above))


@dataclass(frozen=True)
class Choice:
    """A recommended network.

    Attributes:
        network: its spec.
        roles: what it is recommended for.
        run: the name of the run to use: that of the seed with the highest validation score.
        accuracy: of this run on the images that judge it, a fraction of 1; what `Recommendation.stated` names.
        low, high: its simultaneous interval.
        images: how many images judge it.
        validation: the mean validation score over the seeds.
        seeds: how many runs of the network were trained to the end.
        parameters: trainable numbers.
        images_per_second: measured, of scoring.
        command: the command line that exports the run.
    """

    network: str
    roles: tuple[Role, ...]
    run: str
    accuracy: float
    low: float
    high: float
    images: int
    validation: float
    seeds: int
    parameters: int
    images_per_second: float
    command: str


@dataclass(frozen=True)
class Rung:
    """Networks that were trained alike, and how many of them went on.

    Attributes:
        epochs: of every run.
        seeds: runs of each network.
        validation: the mean validation score of each network over its seeds, best first; None for a network whose runs
            failed. One that did not end in time is left out.
        kept: the networks that went on; of the last rung those between which the choice was.
        seconds: that the rung took now; runs that the store had already took none.
    """

    epochs: int
    seeds: int
    validation: dict[str, float | None]
    kept: tuple[str, ...]
    seconds: float

    @property
    def dropped(self) -> tuple[str, ...]:
        """The networks that did not go on."""
        return tuple(name for name in self.validation if name not in self.kept)


@dataclass(frozen=True, repr=False)
class Recommendation:
    """Which network to use, and how that was found.

    Attributes:
        dataset: the images.
        choices: the recommended networks, the most accurate first.
        rungs: of the successive halving.
        judged_on: "test" where the accuracies are from images that chose nothing; "validation" where there are no test
            images, so that the images that chose also judge, with intervals for all networks that could be chosen.
        family: how many intervals hold together.
        margin: the difference of validation scores that is too small to matter, a fraction of 1.
        score: what networks were chosen by: "validation accuracy", or the balanced one of imbalanced classes.
        stated: what is stated of them: "test accuracy", or the balanced one.
        study: the study of the last rung, whose page is `report`.
        budget, seconds: the time that was allowed, and the time that it took.
        notes: sentences about what a user may not expect.
        report: the page; None until it is written.
    """

    dataset: str
    choices: tuple[Choice, ...]
    rungs: tuple[Rung, ...]
    judged_on: Literal["test", "validation"]
    family: int
    margin: float
    score: str
    stated: str
    study: str
    budget: float
    seconds: float
    notes: tuple[str, ...]
    report: Path | None = None

    def __repr__(self) -> str:
        """The recommended networks and the notes: what a notebook shows."""
        return visible("\n".join([*map(self.sentence, self.choices), *self.notes]))

    def _repr_html_(self) -> str:
        """The recommended networks as a table, and the notes."""
        rows = [
            (choice.network, ", ".join(choice.roles),
             f"{100 * choice.accuracy:.1f} ({100 * choice.low:.1f} to {100 * choice.high:.1f})",
             f"{choice.parameters:,}", f"{choice.images_per_second:,.0f}", choice.run)
            for choice in self.choices
        ]  # fmt: skip
        columns = ("network", "recommended as", f"{self.stated}, %", "parameters", "images/s", "run")
        title = f"Which network for {self.dataset}?"
        return html_table(columns, rows, title=title, notes=self.notes, text=("recommended as", "run"))

    def use(self, choice: Choice) -> str:
        """A recommended network in one short sentence, for the top of a page: "Use lenet: the smallest, …"."""
        accuracy, low, high = (f"{100 * share:.1f}" for share in (choice.accuracy, choice.low, choice.high))
        first = "Use" if choice == self.choices[0] else "Or use"
        roles = listed([f"the {role}" for role in choice.roles])
        return f"{first} {choice.network}, {roles}: {self.stated} {accuracy} % (95 % interval {low} to {high})."

    def sentence(self, choice: Choice) -> str:
        """A recommended network with its roles, its accuracy and its interval."""
        points = f"{100 * self.margin:g} point" + ("" if self.margin == 0.01 else "s")
        words = {"smallest": f"smallest within {points} of it"} if "most accurate" not in choice.roles else {}
        roles = listed([words.get(role, role) for role in choice.roles])
        accuracy, low, high = (f"{100 * share:.1f}" for share in (choice.accuracy, choice.low, choice.high))
        return (
            f"{roles}: {choice.network}, {self.stated} {accuracy} % (95 % interval {low} to {high}, "
            f"{choice.images:,} images), {choice.parameters:,} parameters, "
            f"{choice.images_per_second:,.0f} images/s"
        )
