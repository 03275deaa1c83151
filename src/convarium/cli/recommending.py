"""`compare --recommend`: which network to use, with the command that exports it and how it was found."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convarium.analysis.comparison.formatting import count, duration
from convarium.cli.next_steps import opening, say_steps
from convarium.cli.parameters import Workers
from convarium.cli.progress import study_progress
from convarium.cli.terminal import note, say, say_json, say_wrapped, table
from convarium.errors import ConvariumError

if TYPE_CHECKING:
    from rich.table import Table

    from convarium.analysis.recommendation import Recommendation, Rung

BUDGET = "10m"


def check_flags(*, recommends: bool, budget: str | None, other: Sequence[str]) -> None:
    """Refuses flags that do not go together.

    Args:
        recommends: whether --recommend is given.
        budget: of --budget; None: it is not given.
        other: flags that are given, and that --recommend does not take.

    Raises:
        ConvariumError: they do not.
    """
    if budget is not None and not recommends:
        raise ConvariumError("--budget belongs to --recommend", hint="add --recommend, or leave out --budget")
    if recommends and other:
        raise ConvariumError(
            f"--recommend does not go with {other[0]}", hint=f"leave out {other[0]}, or compare without --recommend"
        )


def recommend(
    models: Sequence[str],
    *,
    budget: str,
    seeds: int,
    name: str | None,
    workers: Workers,
    minutes: float | None,
    exact: bool,
    command: str,
    store: Path,
    data_dir: Path | None,
    device: str | None,
    as_json: bool,
    fields: dict[str, Any],
) -> None:
    """Calls `Workspace.recommend` and prints what it returns."""
    from convarium.recipes.recipe import Recipe
    from convarium.workspace import Workspace
    from convarium.workspace.recommending import budget_seconds

    budget_seconds(budget)  # is refused before anything is read
    note(f"reading {fields.get('dataset', Recipe.dataset)} …")
    with study_progress(split="validation") as on_event:
        found = Workspace(store, data_dir, device).recommend(
            models,
            budget=budget,
            seeds=seeds,
            name=name,
            workers=workers,
            minutes=minutes,
            exact=exact,
            command=command,
            on_event=on_event,
            **fields,
        )
    if as_json:
        say_json(_as_json(found))
        return
    for choice in found.choices:
        say_wrapped(found.sentence(choice))
        say(f"    {choice.command}")
    say("")
    say(_rungs_table(found))
    say("")
    for text in found.notes:
        say_wrapped(text, indent="")
    say(f"It took {_time(found.seconds)} of {_time(found.budget)}.")
    in_store = [] if store == Path() else ["--store", str(store)]
    steps = {"look inside": ["convarium", "report", found.study, "--diagnostics", *in_store]}
    say_steps(({"open": opening(found.report)} if found.report else {}) | steps)


def _rungs_table(found: "Recommendation") -> "Table":
    """The mean validation accuracy of every network in every rung, those that went furthest first."""
    heads = [_head(rung) for rung in found.rungs]
    names = dict.fromkeys(name for rung in reversed(found.rungs) for name in rung.validation)
    rows = [(name, *(_cell(rung, name) for rung in found.rungs)) for name in names]
    return table(("validation, %", *heads), rows, right=heads)


def _head(rung: "Rung") -> str:
    seeds = f", {count(rung.seeds, 'seed')}" if rung.seeds > 1 else ""
    return f"{count(rung.epochs, 'epoch')}{seeds}"


def _cell(rung: "Rung", name: str) -> str:
    if name not in rung.validation:
        return "–"
    score = rung.validation[name]
    return "failed" if score is None else f"{100 * score:.1f}"


def _as_json(found: "Recommendation") -> dict[str, Any]:
    return dataclasses.asdict(found) | {"report": str(found.report)}


def _time(seconds: float) -> str:
    """A time in seconds up to two minutes, so that what it took can be told from what it was to take."""
    return f"{seconds:.0f} s" if seconds < 120 else duration(seconds)
