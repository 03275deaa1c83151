"""Commands about what a store holds: list its runs, and remove runs and studies."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convarium.characters import one_line
from convarium.cli import completion, parameters
from convarium.cli.parameters import switch
from convarium.cli.terminal import note, say, say_json, table
from convarium.errors import ConvariumError

if TYPE_CHECKING:
    from convarium.runs.listing import RunEntry
    from convarium.runs.removal import Removal

SHOWN = 20
"""Runs that are named before a removal; of the others it says how many."""


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="STUDY|RUN...", shell_complete=completion.studies_and_runs)
@switch("yes", help="Remove without asking.")
@parameters.store
@parameters.as_json
def remove(names: tuple[str, ...], *, yes: bool, store: Path, as_json: bool) -> None:
    """Removes studies and runs, after it has asked.

    A STUDY takes its runs along, but for those that other studies use. A RUN is the name of a folder in runs/, its
    path, or the beginning of its key; it may be unfinished or damaged. `convarium list runs` names them all.
    """
    from convarium.workspace import Workspace

    workspace = Workspace(store)
    going = workspace.plan_removal(*names)
    if not yes:
        _show(going)
        if sys.stdin is None or not sys.stdin.isatty():
            raise ConvariumError("remove asks first, and nobody can answer here", hint="add --yes to remove it all")
        try:
            sure = click.confirm(f"Remove {_what(going)}?", err=True)
        except click.Abort:  # Ctrl-C or Ctrl-D in place of an answer
            sure = False
            note("")
        if not sure:
            note("nothing was removed")
            return
    gone = workspace.remove(*names, agreed=going)
    if as_json:
        say_json(as_plain(gone))
    else:
        say(f"removed {_what(gone)}")


@click.command()
@click.argument("stores", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="STORE...")
@parameters.store
@parameters.as_json
def merge(stores: tuple[Path, ...], *, store: Path, as_json: bool) -> None:
    """Copies the runs and studies of other stores into one.

    Every file is verified before anything is copied, and nothing is overwritten. Each STORE is a folder that holds
    runs/; --store names the one that gains them. `convarium compare` there finds the runs, and trains none of them
    again.
    """
    from convarium.analysis.comparison.formatting import count
    from convarium.workspace import Workspace

    done = Workspace(store).merge(*stores)
    for text in done.notes:
        note(text)
    if as_json:
        copied = [run.path.name for run in done.copied]
        say_json({"copied": copied, "present": done.present, "studies": list(done.studies), "notes": list(done.notes)})
        return
    present = f", {done.present:,} were here already" if done.present else ""
    say(f"{count(len(done.copied), 'run')} copied into {one_line(store)}{present}")
    if done.studies:
        say(f"studies: {', '.join(map(one_line, done.studies))}")


def run_rows(entries: "list[RunEntry]") -> list[dict[str, Any]]:
    """The runs of a store as `list runs` shows them."""
    return [
        {
            "run": entry.name,
            "state": entry.state,
            "bytes": entry.size_bytes,
            "studies": list(entry.studies),
            "reason": entry.reason,
        }
        for entry in entries
    ]


def as_plain(removal: "Removal") -> dict[str, object]:
    """A removal as JSON has it."""
    values = {field.name: getattr(removal, field.name) for field in dataclasses.fields(removal)}
    return values | {"studies": [str(path) for path in removal.studies], "runs": run_rows(list(removal.runs))}


def size(n_bytes: int) -> str:
    """A number of bytes for people: "34.5 MB"."""
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _show(going: "Removal") -> None:
    rows = [[str(path), "study", ""] for path in going.studies]
    rows += [[f"runs/{entry.name}", entry.state, size(entry.size_bytes)] for entry in going.runs[:SHOWN]]
    say(table(["goes", "state", "size"], rows, right=["size"]))
    if len(going.runs) > SHOWN:
        say(f"and {len(going.runs) - SHOWN:,} more runs")
    for name, studies in going.kept.items():
        note(f"{name} stays, because it belongs to {', '.join(studies)} too")
    for name, studies in going.used.items():
        note(f"warning: {name} belongs to {', '.join(studies)}, which will be without it")


def _what(removal: "Removal") -> str:
    from convarium.analysis.comparison.formatting import count

    parts = [count(len(removal.studies), "study").replace("studys", "studies")] if removal.studies else []
    parts += [count(len(removal.runs), "run")] if removal.runs or not parts else []
    return f"{' and '.join(parts)}, {size(removal.size_bytes)}"
