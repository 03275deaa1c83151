"""The generated part of docs/speed.md: the tables that the records in results/speed make.

The part above MARKER is written by hand; `write_page` replaces what is below it. Nothing here imports torch.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from convarium.analysis.comparison.formatting import minus
from convarium.benchmark.speed_records import Record, read_records
from convarium.benchmark.tables import short, table, timing_table
from convarium.errors import ConvariumError
from convarium.studies.reproductions import checkout_results

MARKER = (
    "<!-- Everything below is generated from results/speed by `convarium bench --page`; nothing in it is typed. -->"
)
_MARKS = ("", "*", "†", "‡", "§", "¶")
"""Marks of the rows that differ from most rows in commit, date or versions; later ones share the last mark."""


def write_page(path: Path | str | None = None, records: Path | str | None = None) -> Path:
    """Writes the tables of the records into the page, below its marker.

    Args:
        path: the page; None means docs/speed.md of the checkout.
        records: the folder of the records; None means results/speed of the checkout.

    Returns:
        The path of the page.

    Raises:
        ConvariumError: the page has no marker, a record cannot be read, or a path is None and Convarium does not run
            from a checkout.
    """
    path = checkout_results().parent / "docs" / "speed.md" if path is None else Path(path)
    records = checkout_results() / "speed" if records is None else records
    path.write_text(render(path.read_text(encoding="utf-8"), read_records(records)), encoding="utf-8")
    return path


def render(text: str, records: Sequence[Record]) -> str:
    """Returns the text of the page with the tables of the records below its marker.

    Raises:
        ConvariumError: the text has no marker.
    """
    above, marker, _ = text.partition(MARKER)
    if not marker:
        raise ConvariumError("the page has no line below which its tables belong", expected=MARKER)
    parts = [above + marker, "## Figures", *(part for record in records for part in _machine(record))]
    parts += _accuracies(records)
    parts += _first_losses(records)
    return "\n\n".join(parts) + "\n"


def _machine(record: Record) -> list[str]:
    timings = record["timings"]
    if not timings:
        return []
    origins = [_origin(timing) for timing in timings]
    marks = dict(zip((origin for origin, _ in Counter(origins).most_common()), _MARKS, strict=False))
    first, *others = marks
    sentences = [f"{', '.join(first)}."]
    for other in others:
        differing = [part for part in other if part not in first]
        sentences.append(f"Rows with {marks[other]}: {', '.join(differing)}.")
    return [
        f"### {_name(record)}",
        " ".join(sentences),
        "\n".join(timing_table(timings, [marks.get(origin, _MARKS[-1]) for origin in origins])),
    ]


def _origin(timing: Record) -> tuple[str, ...]:
    return (
        f"{timing['threads']} thread{'' if timing['threads'] == 1 else 's'}",
        f"torch {timing['versions']['torch']}",
        f"Convarium {timing['versions']['convarium']}",
        f"commit {short(timing['commit'])}" if timing["commit"] else "unknown commit",
        timing["date"] or "unknown date",
        f"turns of {timing['seconds']:g} s",
    )


_NOTE_MARKS = (r"\*", "†", "‡", "§", "¶", "‖")
"""Marks of the notes below a table, in their order."""


def _accuracies(records: Sequence[Record]) -> list[str]:
    entries = [(record, entry) for record in records for entry in record.get("accuracies", [])]
    if not entries:
        return []
    parts = ["## Equal accuracy", _ACCURACY]
    for pair in dict.fromkeys((entry["first"], entry["second"]) for _, entry in entries):
        alike = [(record, entry) for record, entry in entries if (entry["first"], entry["second"]) == pair]
        notes = dict.fromkeys(entry["note"] for _, entry in alike if entry.get("note"))
        marks = dict(zip(notes, _NOTE_MARKS[: len(notes)], strict=True))
        rows = [_accuracy_cells(record, entry, marks.get(entry.get("note"), "")) for record, entry in alike]
        parts += [
            f"### {pair[0]} minus {pair[1]}",
            "\n".join(table(rows, ("network", "trained on", "verdict", "machine"))),
        ]
        parts += [f"{mark} {note[:1].upper()}{note[1:]}." for note, mark in marks.items()]
    return parts


_ACCURACY = """\
Each row compares the test accuracies of two ways to train the same network. Differences are in points, with their
interval; the verdict is *equivalent* if it lies within the margin. Every row is judged by itself, without a correction
for their number, and short trainings without augmentation say nothing about the sources' full ones. The accuracies
themselves, and the commit of each row, are in results/speed."""


def _accuracy_cells(record: Record, entry: Record, mark: str) -> dict[str, str]:
    images = "" if entry["images"] is None else f", {entry['images']:,} images"
    epochs = f"{entry['epochs']} epoch{'' if entry['epochs'] == 1 else 's'}"
    interval = "–"
    if entry["low"] is not None and entry["high"] is not None:
        low, high = (minus(f"{100 * end:.2f}") for end in (entry["low"], entry["high"]))
        interval = f"{low} to {high} ({entry['level']:.0%})"
    return {
        "network": f"`{entry['network']}`",
        "trained on": f"{entry['dataset']}{images}, {epochs}",
        "seeds": f"{entry['seeds']}{', paired' if entry['paired'] else ''}",
        "difference": interval,
        "margin": f"{100 * entry['margin']:g}" if entry["margin"] is not None else "–",
        "verdict": f"{entry['verdict']} {mark}".strip(),
        "machine": _name(record),
    }


def _first_losses(records: Sequence[Record]) -> list[str]:
    rows = [
        {
            "job": entry["job"],
            "precision": entry["precision"],
            "steps": str(entry["steps"]),
            "largest difference": "not finite" if entry["apart"] is None else f"{entry['apart']:.1e}",
            "allowed": f"{entry['allowed']:.4f}",
            "machine": f"{_name(record)}{', ' + short(entry['commit']) if entry['commit'] else ''}",
        }
        for record in records
        for entry in record.get("first_losses", [])
    ]
    return ["## First losses", _LOSSES, "\n".join(table(rows, ("job", "precision", "machine")))] if rows else []


_LOSSES = """\
At 224 pixels the losses of the first steps are compared with the reference's: their largest relative difference."""


def _name(record: Record) -> str:
    return f"{record['machine']['processor']}, {record['machine']['instructions']}"
