"""Commands about what a store holds: list its runs, and remove runs and studies."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
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

_GAP = "  "
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


def run_lines(rows: Sequence[dict[str, Any]], width: int) -> Iterator[str]:
    """The table of `list runs`, line by line; rich takes seconds to draw 10,000 rows.

    A name that leaves no room for the other columns has a line of its own, so that it can be copied, and of many
    studies those are named that fit.

    Args:
        rows: from `run_rows`.
        width: of the terminal.
    """
    cells = [
        (one_line(row["run"]), row["state"], size(row["bytes"]), list(map(one_line, row["studies"]))) for row in rows
    ]
    states, sizes = (max(len(cell[column]) for cell in cells) for column in (1, 2))
    reserved = min(20, max(_columns(study) for *_, studies in cells for study in [*studies, "studies"]))
    room = width - states - sizes - reserved - 3 * len(_GAP)
    names = max((_columns(cell[0]) for cell in cells if _columns(cell[0]) <= room), default=len("run"))
    left = width - names - states - sizes - 3 * len(_GAP)
    head = f"{'run':{names}}{_GAP}{'state':{states}}{_GAP}{'size':>{sizes}}{_GAP}studies"
    yield head
    yield "─" * len(head)
    for name, state, amount, studies in cells:
        if _columns(name) > room:
            yield name
            name = ""
        padded = name + " " * (names - _columns(name))
        yield f"{padded}{_GAP}{state:{states}}{_GAP}{amount:>{sizes}}{_GAP}{_listed_within(studies, left)}".rstrip()


def _columns(text: str) -> int:
    """How wide a text is in a terminal, where a letter of Chinese is as wide as two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _listed_within(names: list[str], width: int) -> str:
    """Names with commas, and how many others there are where not all of them fit; the first is always named."""
    text = ", ".join(names)
    shown = len(names)
    while _columns(text) > width and shown > 1:
        shown -= 1
        text = f"{', '.join(names[:shown])} and {len(names) - shown} more"
    return text


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
