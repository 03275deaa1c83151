"""What must be known to read a comparison: one sentence each."""

from collections.abc import Iterator

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Row, settings, share_weights


def notes_on(
    rows: tuple[Row, ...], baseline: int, by: str, metric: Metric, family: int, margin: float | None
) -> tuple[str, ...]:
    """The rules that the comparison was made by, and where its rows are not alike."""
    against, others = rows[baseline], [*rows[:baseline], *rows[baseline + 1 :]]
    found = [_split(rows, metric)]
    if others:
        found += [_intervals(against, family), *_pairing(others, against)]
    if others and margin is not None:
        found.append(
            f"A difference below {formatting.quantity(metric, margin)} is too small to matter here (the margin)."
        )
    return (*found, *_failed(rows), *_seeds(rows), *_settings(rows, by), *_environments(rows))


def _split(rows: tuple[Row, ...], metric: Metric) -> str:
    if not metric.on_test:
        return f"Compared by {metric.title}."
    if any("selected on test" in row.marks for row in rows):
        return (
            f"Compared by {metric.title}; results marked 'selected on test' were chosen by looking at the test split."
        )
    if any("test watched" in row.marks for row in rows):
        return f"Compared by {metric.title}; runs marked 'test watched' looked at the test split after every epoch."
    return f"Compared by {metric.title}; the test split was read once, after training."


def _intervals(against: Row, family: int) -> str:
    if family == 1:
        return f"Means are over seeds; intervals are at 95 %, of the one difference to {against.label}."
    return (
        f"Means are over seeds, with 95 % intervals of their own; the differences to {against.label} are "
        f"{family} comparisons, whose 95 % intervals hold all at once (Bonferroni)."
    )


def _pairing(others: list[Row], against: Row) -> Iterator[str]:
    paired = [row.label for row in others if share_weights(row, against)]
    welch = [row.label for row in others if not share_weights(row, against)]
    if paired:
        yield f"Taken seed by seed, since equal seeds start from equal weights: {formatting.listed(paired)}."
    if welch:
        named = formatting.listed(welch)
        yield f"Taken by Welch's interval, since the networks start from weights of their own: {named}."


def _failed(rows: tuple[Row, ...]) -> Iterator[str]:
    if any(row.failed for row in rows):
        yield "Means are over the trained runs; a run fails that diverges, ends at chance or is broken off by an error."


def _seeds(rows: tuple[Row, ...]) -> Iterator[str]:
    everywhere = {run.recipe.seed for row in rows for run in row.runs}
    for row in rows:
        missing = sorted(everywhere - {run.recipe.seed for run in row.runs})
        if missing:
            yield f"{row.label} has no run of seed{'s' * (len(missing) > 1)} {formatting.listed(missing)}."


def _settings(rows: tuple[Row, ...], by: str) -> Iterator[str]:
    """A race on unlike terms is told as one: tuned rates, other budgets, presets."""
    recipes = {row.label: settings(row.runs[0].recipe, by) for row in rows}
    for field in next(iter(recipes.values())):
        values = {name: recipe[field] for name, recipe in recipes.items()}
        if len(set(values.values())) > 1:
            told = ", ".join(f"{value!r} ({name})" for name, value in values.items())
            yield f"The rows differ in {field} too: {told}."


def _environments(rows: tuple[Row, ...]) -> Iterator[str]:
    places = dict.fromkeys(row.environment for row in rows)
    if len(places) > 1 or None in places:
        yield "Times are not comparable: the runs were made in several environments."
    elif rows[0].environment:
        yield f"Times are of {rows[0].environment}."
