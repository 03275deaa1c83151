"""The notes under a comparison: one sentence for each rule that it follows, and for what else is true of its runs."""

from collections.abc import Iterator

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.formatting import in_words
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Row, share_weights
from convarium.analysis.comparison.run_facts import SELECTED_ON_VALIDATION
from convarium.analysis.comparison.warnings import differing_settings, have_one_environment, is_tuned, times_differ
from convarium.analysis.statistics import LEAST_SEEDS
from convarium.recipes.starting import describe_beginning
from convarium.records import LEFT_OUT


def notes_on(
    rows: tuple[Row, ...],
    *,
    baseline: int,
    by: str,
    metric: Metric,
    reason: str,
    family: int,
    margin: float | None,
    command: str | None,
) -> tuple[str, ...]:
    """Writes the notes of a comparison, the most important first.

    Args:
        rows: all rows.
        baseline: the index of the row that the others are compared with.
        by: the recipe field by which the rows differ.
        metric: the comparison's metric.
        reason: why it is this one, as a part of a sentence; "" where it was asked for, or is the usual one.
        family: the number of differences whose intervals are simultaneous.
        margin: the difference of accuracy that is too small to matter; None for other metrics.
        command: the command that repeats the study; None: there is none.
    """
    against, others = rows[baseline], [*rows[:baseline], *rows[baseline + 1 :]]
    notes = [_split(rows, metric, reason)]
    if others:
        notes += _differences(rows, against, others, metric, family)
    if others and margin is not None:
        notes.append(
            f"A difference below {formatting.margin(metric, margin)} is too small to matter here (the margin)."
        )
    return (
        *notes,
        *_tuned(rows, by, command),
        *_failed(rows, family),
        *_starts(rows),
        *_environments(rows, metric),
        *_seeds(rows),
        *_images(rows),
        *_retried(rows),
        *_skipped(rows),
        *_without_digest(rows),
        *_kernels(rows),
    )


def _split(rows: tuple[Row, ...], metric: Metric, reason: str) -> str:
    selected = any(SELECTED_ON_VALIDATION in row.marks for row in rows)
    compared = f"Compared by {metric.title}{f', {reason}' if reason else ''}"
    if selected:
        return (
            f"{compared}; results marked 'selected on validation' are of the epoch that was best on the same "
            "validation images, and are too high by an unknown amount."
        )
    if not metric.on_test:
        return f"{compared}."
    if any("selected on test" in row.marks for row in rows):
        return f"{compared}; results marked 'selected on test' were chosen by looking at the test split."
    if any("test watched" in row.marks for row in rows):
        return f"{compared}; runs marked 'test watched' looked at the test split after every epoch."
    return f"{compared}; the test split was read once, after training."


def _differences(rows: tuple[Row, ...], against: Row, others: list[Row], metric: Metric, family: int) -> list[str]:
    """How rows are compared; of sizes there is nothing to say, and one seed has no interval."""
    if metric.kind == "size":
        return []
    most = max(row.n for row in rows)
    if most < LEAST_SEEDS:
        has = "no row has more than one trained run" if most == 1 else "no row has a trained run"
        intervals = f"There are no intervals: {has}." if most < 2 else _intervals(against, family)
        return [intervals, f"Fewer than {in_words(LEAST_SEEDS)} trained runs of a row decide nothing."]
    return [_intervals(against, family), *_pairing(others, against)]


def _intervals(against: Row, family: int) -> str:
    if family == 1:
        return f"The mean of every row over its seeds and the difference to {against.label} have 95 % intervals."
    return (
        f"Every mean over seeds has its own 95 % interval; the {family} differences to {against.label} have "
        "simultaneous 95 % intervals (Bonferroni)."
    )


def _pairing(others: list[Row], against: Row) -> Iterator[str]:
    paired = [row.label for row in others if share_weights(row, against)]
    welch = [row.label for row in others if not share_weights(row, against)]
    if paired:
        yield f"Paired by seed, because equal seeds start from equal weights{_of(paired, others)}."
    if welch:
        yield f"Welch's interval, because the networks share no initial weights{_of(welch, others)}."


def _of(labels: list[str], others: list[Row]) -> str:
    """Names the rows of a note, if it is not about all."""
    return "" if len(labels) == len(others) else f": {formatting.listed(labels)}"


def _images(rows: tuple[Row, ...]) -> Iterator[str]:
    """What was noted of the images as they were read."""
    outcomes = [(run.recipe.dataset, run.outcome) for row in rows for run in row.runs]
    notes = dict.fromkeys((dataset, note) for dataset, outcome in outcomes for note in outcome.data_notes)
    for dataset, note in notes:
        if not note.startswith(LEFT_OUT):
            yield f"About the images of {dataset}: {note}."


def _failed(rows: tuple[Row, ...], family: int) -> Iterator[str]:
    if any(row.failed for row in rows):
        yield (
            "Means are over the trained runs; a run counts as failed if it diverges, ends at chance or stops with an "
            "error."
        )
    if len(rows) > 1 and any(row.diverged or row.at_chance for row in rows):
        level = f"5 %{f' / {family} (Bonferroni)' if family > 1 else ''}"
        yield f"Whether a row fails more often is decided by Fisher's exact test, two-sided, at {level}."


def _tuned(rows: tuple[Row, ...], by: str, command: str | None) -> Iterator[str]:
    """The learning rates that were chosen."""
    rates = differing_settings(rows, by).get("learning_rate")
    if rates and is_tuned(command):
        yield f"Learning rates were chosen for each row, by validation with other seeds: {rates}."


def _seeds(rows: tuple[Row, ...]) -> Iterator[str]:
    seeds = {run.recipe.seed for row in rows for run in row.runs}
    for row in rows:
        missing = sorted(seeds - {run.recipe.seed for run in row.runs})
        if missing:
            yield f"{row.label} has no run with seed{'s' * (len(missing) > 1)} {formatting.listed(missing)}."


def _starts(rows: tuple[Row, ...]) -> Iterator[str]:
    """Names the weights that rows started from, and what of them was not trained."""
    for row in rows:
        recipe = row.runs[0].recipe
        beginning = describe_beginning(recipe.start_from, recipe.freeze)
        if beginning:
            yield f"{row.label}: {beginning}."


def _kernels(rows: tuple[Row, ...]) -> Iterator[str]:
    """Says which runs had other kernels than most."""
    runs: dict[str, list[str]] = {}
    for row in rows:
        for run in row.runs:
            name = run.outcome.environment.kernels or "unknown kernels"
            runs.setdefault(name, []).append(f"{row.label} seed {run.recipe.seed}")
    *fewer, most = sorted(runs, key=lambda name: len(runs[name])) or [""]
    if fewer:
        listed = "; ".join(f"{name} in {formatting.listed(runs[name])}" for name in fewer)
        yield f"The steps had different kernels, which moves last bits: {listed}; {most} in all others."


def _skipped(rows: tuple[Row, ...]) -> Iterator[str]:
    """A few steps are skipped while the factor of the loss is sought; where many are, the run was hardly trained."""
    for row in rows:
        skipped = sum(run.outcome.skipped_steps or 0 for run in row.runs)
        steps = sum(run.outcome.history[-1].steps for run in row.runs if run.outcome.history)
        if skipped:
            share = f"{skipped:,} of the {steps:,} steps of {row.label}"
            yield f"In float16, {share} changed no weight: a gradient overflowed."


def _without_digest(rows: tuple[Row, ...]) -> Iterator[str]:
    """Says how many runs have records in which a changed digit would not be noticed."""
    runs = [run for row in rows for run in row.runs]
    old = sum(not run.has_digest for run in runs)
    if old:
        yield (
            f"The records of {old} of {formatting.count(len(runs), 'run')} were made by an older Convarium and have no "
            "digest of their own: a changed digit in them would not be noticed."
        )


def _retried(rows: tuple[Row, ...]) -> Iterator[str]:
    """Says which runs lost the process that trained them and were tried again."""
    retried = [
        f"{row.label} seed {run.recipe.seed} ({run.outcome.retried})"
        for row in rows
        for run in row.runs
        if run.outcome.retried is not None
    ]
    if retried:
        yield f"Tried again from their last checkpoint: {formatting.listed(retried)}."


def _environments(rows: tuple[Row, ...], metric: Metric) -> Iterator[str]:
    if have_one_environment(rows):
        yield f"Times were measured on {rows[0].environment}."
    elif metric.kind != "time":
        yield times_differ(rows)
