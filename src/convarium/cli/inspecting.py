"""Commands that show what is available: lists, a network layer by layer, the data sets."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from convarium.cli import completion, parameters
from convarium.cli.parameters import given_fields, one_of, recipe_flags
from convarium.cli.progress import download_progress, image_progress
from convarium.cli.terminal import columns_of_terminal, note, say, say_json, table
from convarium.errors import SpecError, StoreError
from convarium.recipes.recipe import Recipe

_OF_OWN_IMAGES = ("validation", "resize", "fit", "ground", "groups", "test")
_KINDS = ("models", "presets", "datasets", "activations", "recipes", "experiments", "studies", "runs")


@click.command("list")
@click.argument("kind", default="models", **one_of("kind of list", _KINDS))
@parameters.store
@parameters.as_json
def list_(kind: str, *, store: Path, as_json: bool) -> None:
    """Lists networks, presets, data sets, studies or runs.

    One line each, with parameter counts and sources. `experiments` are the built-in studies, `studies` those of the
    store, with the number of their finished runs, and `runs` those of the store, with their sizes and states.
    """
    if kind == "runs":
        _list_runs(store, as_json=as_json)
        return
    rows = _studies(store) if kind == "studies" else _LISTS[kind]()
    if as_json:
        say_json(rows)
        return
    if not rows:
        say(f"{store} holds no study; make one with convarium compare")
        return
    cells = [[f"{value:,}" if isinstance(value, int) else value for value in row.values()] for row in rows]
    say(table(list(rows[0]), cells, right=["parameters", "runs", "finished", "planned"]))


@click.command()
@click.argument("model", required=False, metavar="[MODEL]", shell_complete=completion.models)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completion.datasets,
    help="Data set whose images the network takes; by default those that the preset was made for, else 1×28×28 or "
    "3×32×32.",
)
@click.option(
    "--resize",
    type=parameters.optional(int),
    metavar="INTEGER",
    help="Side in pixels to which the images are enlarged or reduced; by default they keep their size.",
)
@click.option("--diff", nargs=2, type=str, metavar="A B", help="Compare two specs layer by layer.")
@parameters.as_json
def describe(
    model: str | None, *, dataset: str | None, resize: int | None, diff: tuple[str, str] | None, as_json: bool
) -> None:
    """Shows a network layer by layer.

    Name, type, output shape, parameters and FLOPs of every layer; with --diff, where two networks differ. MODEL is a
    network's spec: lenet, "resnet(depth=56)", resnet@uva, my_package.my_module:factory.
    """
    from convarium.models import describe as descriptions
    from convarium.workspace import Workspace, image_of

    if (model is None) == (diff is None):
        raise SpecError("describe takes a MODEL, or --diff A B")
    if diff is not None:
        difference = descriptions.diff(*diff, image_of(diff[0], dataset=dataset, resize=resize))
        say_json(descriptions.diff_as_json(difference)) if as_json else say(descriptions.as_diff(difference))
    elif model is not None:
        described = Workspace().describe(model, dataset=dataset, resize=resize)
        say_json(descriptions.as_json(described)) if as_json else say(descriptions.as_tree(described))


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


Rows = list[dict[str, object]]


def _models() -> Rows:
    from convarium.models.index import NETWORKS, PARAMETERS

    return [{"model": n, "parameters": PARAMETERS[n], "what": network.summary} for n, network in NETWORKS.items()]


def _presets() -> Rows:
    from convarium.models.index import PARAMETERS, PRESETS

    return [{"preset": n, "parameters": PARAMETERS[n], "source": preset.source} for n, preset in PRESETS.items()]


def _datasets() -> Rows:
    from convarium.data import DATASETS

    return [{"dataset": name, "what": dataset.title} for name, dataset in DATASETS.items()]


def _activations() -> Rows:
    from convarium.models.index import ACTIVATION_GAINS

    return [{"activation": name, "gain": f"{gain:.4f}"} for name, gain in ACTIVATION_GAINS.items()]


def _recipes() -> Rows:
    from convarium.recipes.presets import RECIPES

    return [
        {"preset": f"{tag}/{variant}".rstrip("/"), "network": network}
        for tag, networks in RECIPES.items()
        for network, variants in networks.items()
        for variant in variants
    ]


def _experiments() -> Rows:
    from convarium.studies.builtin import EXPERIMENTS

    rows = EXPERIMENTS.items()
    return [{"experiment": name, "runs": len(study.recipes), "question": study.question} for name, study in rows]


def _studies(folder: Path) -> Rows:
    from convarium.runs.store import Store

    store, rows = Store(folder), list[dict[str, object]]()
    for name in store.study_names():
        damaged: list[StoreError] = []
        try:
            study = store.study(name)
            finished = store.count_ended(study, damaged=damaged)
            rows.append({"study": name, "finished": finished, "planned": len(study.keys), "question": study.question})
        except StoreError as error:
            damaged.append(error)
        for each in damaged:
            note(f"left out: {each}")
    return rows


def _list_runs(folder: Path, *, as_json: bool) -> None:
    from convarium.cli.store import run_lines, run_rows
    from convarium.workspace import Workspace

    rows = run_rows(Workspace(folder).list_runs())
    if as_json:
        say_json(rows)
    elif not rows:
        say(f"{folder} holds no run; make one with convarium train or convarium compare")
    else:
        say("\n".join(run_lines(rows, columns_of_terminal())))
        for row in rows:
            if row["reason"]:
                note(f"{row['run']}: {row['reason']}")


_LISTS: dict[str, Callable[[], Rows]] = {
    "models": _models,
    "presets": _presets,
    "datasets": _datasets,
    "activations": _activations,
    "recipes": _recipes,
    "experiments": _experiments,
}
