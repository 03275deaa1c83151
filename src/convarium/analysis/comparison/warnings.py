"""What a reader must know before believing a comparison's table: one sentence each, the worst first."""

from collections.abc import Iterator

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Row, settings
from convarium.analysis.comparison.timing import what_differs

LONGER = 3
"""The factor of the number of epochs that is suggested for a row that was still learning."""


def warnings_on(rows: tuple[Row, ...], *, by: str, metric: Metric, command: str | None) -> tuple[str, ...]:
    """Writes the warnings of a comparison.

    Args:
        rows: all rows.
        by: the recipe field by which the rows differ.
        metric: the comparison's metric.
        command: the command that repeats the study; None: there is none.
    """
    return (
        *_left_out(rows),
        *_undetermined(rows),
        *_still_learning(rows, by, command),
        *_settings(rows, by, command),
        *_mixed(rows),
        *((times_differ(rows),) if metric.kind == "time" and not have_one_environment(rows) else ()),
    )


def have_one_environment(rows: tuple[Row, ...]) -> bool:
    """Whether all runs were made in one environment, so that their times can be compared."""
    return len({row.timed_in for row in rows}) == 1 and rows[0].timed_in is not None


def times_differ(rows: tuple[Row, ...]) -> str:
    """Says why the times of the runs cannot be compared."""
    differ = what_differs([each for row in rows for each in row.environments])
    return f"Times are not comparable: the runs were made in environments that differ in {differ}."


def _left_out(rows: tuple[Row, ...]) -> Iterator[str]:
    """How many images of a data set could not be read."""
    outcomes = [(run.recipe.dataset, run.outcome) for row in rows for run in row.runs]
    left_out = {dataset: outcome.unreadable_images for dataset, outcome in outcomes if outcome.unreadable_images}
    for dataset, count in left_out.items():
        was = "was" if count == 1 else "were"
        yield f"{formatting.count(count, 'image')} of {dataset} could not be read and {was} left out."


def _undetermined(rows: tuple[Row, ...]) -> Iterator[str]:
    """Says of which runs the images are too few to tell them from runs at chance."""
    for row in rows:
        if row.undetermined:
            largest = max(scores.n for run in row.runs if (scores := run.outcome.largest_scores))
            runs = formatting.count(len(row.runs), "run")
            yield (
                f"Whether {row.undetermined} of {runs} of {row.label} learned anything cannot be told: even the "
                f"largest set that was scored, {formatting.count(largest, 'image')}, is too small."
            )


def _still_learning(rows: tuple[Row, ...], by: str, command: str | None) -> Iterator[str]:
    """Names the rows that were still learning, and what may change that."""
    learning = [row for row in rows if row.still_learning]
    if not learning:
        return
    told = str(learning[0].still_learning)
    others = [row.label for row in learning[1:]]
    if others:
        told += f", and so {'was' if len(others) == 1 else 'were'} {formatting.listed_briefly(others)}"
    ways = []
    if command and command.startswith("convarium compare") and by != "epochs":
        ways.append(f"--epochs {LONGER * max(row.runs[0].recipe.epochs for row in learning)}")
    if command and command.startswith(("convarium compare", "convarium run")) and by != "learning_rate":
        ways += [] if is_tuned(command) else ["--tune"]
    yield f"{told}; longer training may change this." + (f" Try {' or '.join(ways)}." if ways else "")


def _settings(rows: tuple[Row, ...], by: str, command: str | None) -> Iterator[str]:
    """Names every setting beside the axis in which the rows differ, such as other budgets and presets."""
    for field, listed in differing_settings(rows, by).items():
        if not (field == "learning_rate" and is_tuned(command)):
            yield f"The rows differ in {field} too: {listed}."


def is_tuned(command: str | None) -> bool:
    """Whether a study's command chose each row's learning rate."""
    return "--tune" in (command or "")


def differing_settings(rows: tuple[Row, ...], by: str) -> dict[str, str]:
    """The settings beside the axis in which the rows differ, each with its values: "0.1 (lenet), 0.3 (vgg)"."""
    recipes = {row.label: settings(row.runs[0].recipe, by) for row in rows}
    found = {}
    for field in [name for name in next(iter(recipes.values())) if name not in ("start_from", "freeze")]:
        values = {label: recipe[field] for label, recipe in recipes.items()}
        if len(set(values.values())) > 1:
            found[field] = ", ".join(f"{value!r} ({label})" for label, value in values.items())
    return found


def _mixed(rows: tuple[Row, ...]) -> Iterator[str]:
    """Says which runs went on in another environment than they were begun in."""
    mixed = [
        f"{row.label} seed {run.recipe.seed} ({run.mixed_reason})" for row in rows for run in row.runs if run.is_mixed
    ]
    if mixed:
        yield (
            f"Mixed are runs that were interrupted and went on in another environment: {formatting.listed(mixed)}. "
            "They keep the rules of the comparison, but no environment gives their last bits again."
        )
