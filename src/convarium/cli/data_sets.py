"""The command that finds, downloads and verifies data sets, and shows a user's own images."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from convarium.cli import completion, parameters
from convarium.cli.parameters import given_fields, one_of, recipe_flags
from convarium.cli.progress import download_progress, image_progress
from convarium.cli.terminal import say, say_json, table
from convarium.errors import SpecError
from convarium.recipes.recipe import Recipe

_OF_OWN_IMAGES = ("validation", "resize", "fit", "ground", "groups", "test")


@click.command()
@click.argument("action", default="list", **one_of("action", ("list", "fetch", "check")))
@click.argument("datasets", nargs=-1, metavar="[DATASET]...", shell_complete=completion.datasets)
@click.option("--sheet", type=click.Path(path_type=Path), metavar="FILE", help="Contact sheet of your images, as PNG.")
@recipe_flags(without=[field.name for field in dataclasses.fields(Recipe) if field.name not in _OF_OWN_IMAGES])
@parameters.data_dir
@parameters.as_json
@click.pass_context
def data(
    context: click.Context,
    /,
    action: str,
    datasets: tuple[str, ...],
    *,
    sheet: Path | None,
    data_dir: Path | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Finds, downloads and verifies data sets.

    `list` says where each one lies, `fetch` downloads what is missing, `check` verifies the files. Without a DATASET
    it is all of them. `check folder:PATH` shows images of your own: counts, sizes, modes, unreadable files, copies, as
    --groups, --test and the like divide and read them.
    """
    from convarium.data import DATASETS, check, fetch, lookup
    from convarium.data.folder_options import is_own
    from convarium.data.sources import find

    given = given_fields(fields, context)
    if action == "check" and any(map(is_own, datasets)):
        _check_own(datasets, sheet, given, as_json=as_json)
        return
    if sheet is not None or given:
        flag = "sheet" if sheet is not None else next(iter(given)).replace("_", "-")
        raise SpecError(f"--{flag} is for images of your own", hint=f"convarium data check folder:PATH --{flag} …")
    rows = []
    for name, dataset in {name: lookup(name) for name in datasets or DATASETS}.items():
        if action == "fetch":
            with download_progress() as progress:
                folder = fetch(name, data_dir=data_dir, on_event=progress)
        else:
            location = find(dataset, data_dir)
            folder = check(name, data_dir=data_dir) if location and action == "check" else location and location[1]
            if action == "check" and location is None and datasets:
                check(name, data_dir=data_dir)  # names the missing files and where to put them
        inside = "inside scikit-learn" if not dataset.files else None
        rows.append(
            {"dataset": name, "what": dataset.title, "place": inside or (str(folder) if folder else "not found")}
        )
    say_json(rows) if as_json else say(table(list(rows[0]), [list(row.values()) for row in rows]))


def _check_own(datasets: tuple[str, ...], sheet: Path | None, given: Mapping[str, Any], *, as_json: bool) -> None:
    """Shows what one set of a user's own images looks like."""
    from convarium.data.folder_options import FolderOptions
    from convarium.data.own_summary import SHEET_ROWS, summarize

    if len(datasets) != 1:
        raise SpecError("check shows images of your own one set at a time", received=" ".join(datasets))
    recipe = Recipe(dataset=datasets[0], **given)  # complains of a value that it cannot have
    options = FolderOptions(
        side=recipe.resize,
        validation=recipe.validation,
        fit=recipe.fit,
        ground=recipe.ground,
        groups=recipe.groups,
        test=recipe.test,
    )
    with image_progress() as progress:
        summary = summarize(datasets[0], options=options, sheet=sheet, on_event=progress)
    if as_json:
        say_json(dataclasses.asdict(summary) | {"sheet": None if sheet is None else str(sheet)})
        return
    total = sum(c.train + c.validation + c.test for c in summary.classes)
    share = f"the largest has {100 * summary.majority:.1f} % of those for training"
    say(f"{total:,} images in {len(summary.classes)} classes; {share}")
    counts = [[c.name, c.train, c.validation, c.test] for c in summary.classes]
    say(table(["class", "train", "validation", "test"], counts, right=["train", "validation", "test"]))
    channels, height, width = summary.shape
    lines = [
        f"files: {summary.widths[0]} to {summary.widths[2]} pixels wide (median {summary.widths[1]}), "
        f"{summary.heights[0]} to {summary.heights[2]} high (median {summary.heights[1]})",
        f"read as: {width}×{height} pixels, {'gray' if channels == 1 else 'RGB'}",
        f"mean {', '.join(f'{m:.4f}' for m in summary.mean)}; deviation {', '.join(f'{s:.4f}' for s in summary.std)}",
    ]
    if summary.modes:
        lines.append(f"modes: {', '.join(f'{count:,} {mode}' for mode, count in summary.modes.items())}")
    lines += [f"note: {text}" for text in summary.notes]
    if sheet is None:
        lines.append("a contact sheet: add --sheet FILE.png")
    else:
        n = len(summary.classes)
        rows = "a row for each class" if n <= SHEET_ROWS else f"a row for each of the first {SHEET_ROWS} of {n} classes"
        lines.append(f"contact sheet: {sheet}, {rows}, in the order of the table")
    for line in lines:
        say(line)
