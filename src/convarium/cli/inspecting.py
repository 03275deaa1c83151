"""Commands that show what is available: lists, and a network layer by layer."""

from collections.abc import Callable
from pathlib import Path

import click

from convarium.cli import completion, parameters
from convarium.cli.parameters import one_of
from convarium.cli.terminal import columns_of_terminal, note, say, say_json, table
from convarium.errors import SpecError, StoreError

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
