"""Commands about a comparison: train what it needs, and show its table and its report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convarium.characters import command_line, one_line
from convarium.cli import completion, parameters
from convarium.cli.next_steps import say_next_steps
from convarium.cli.nodes import has_served
from convarium.cli.parameters import Workers, attribute_help, given_fields, optional, recipe_flags, switch
from convarium.cli.progress import study_progress
from convarium.cli.single_run import check_failed
from convarium.cli.terminal import note, say, say_json
from convarium.errors import ConvariumError, SpecError
from convarium.recipes.recipe import Recipe

if TYPE_CHECKING:
    from convarium.analysis.comparison import Comparison
    from convarium.training.engines import LightningEngine


@click.command()
@click.argument("models", nargs=-1, metavar="MODEL...", shell_complete=completion.models)
@recipe_flags(without=["model", "seed", "start_from"])
@click.option(
    "--start-from",
    multiple=True,
    default=None,
    type=optional(str),
    metavar="RUN|FILE",
    help=attribute_help(Recipe)["start_from"],
)
@click.option(
    "--seeds",
    type=int,
    default=5,
    show_default=True,
    callback=parameters.checked_seeds,
    help="Runs of each network, with the seeds 0, 1, 2 and so on.",
)
@parameters.preset
@click.option("--baseline", metavar="MODEL", help="Network that the others are compared with; by default the first.")
@click.option("--name", metavar="TEXT", help="Name of the study; more seeds or networks extend a study of that name.")
@switch(
    "recommend",
    "recommends",
    help="Say which network to use, within --budget: tries networks, trains the better half longer, and so on. Without "
    "MODEL it tries small networks of every kind.",
)
@click.option("--budget", metavar="TIME", help="Time for --recommend: 90s, 10m, 1.5h; by default 10m.")
@switch("tune", help="First choose each network's learning rate on validation images, with other seeds.")
@parameters.stack
@parameters.live
@parameters.workers
@parameters.executor
@parameters.address
@parameters.cpus_per_run
@parameters.gpus_per_run
@parameters.minutes
@parameters.keep_weights
@parameters.engine
@parameters.exact
@parameters.store
@parameters.data_dir
@parameters.device
@parameters.as_json
@click.pass_context
def compare(
    context: click.Context,
    /,
    models: tuple[str, ...],
    *,
    seeds: int,
    start_from: tuple[str | None, ...] | None,
    preset: str | None,
    baseline: str | None,
    name: str | None,
    recommends: bool,
    budget: str | None,
    tune: bool,
    stack: bool,
    live: bool,
    workers: Workers,
    executor: str | None,
    address: str | None,
    cpus_per_run: float | None,
    gpus_per_run: float | None,
    minutes: float | None,
    keep_weights: int | None,
    engine: "LightningEngine | None",
    exact: bool,
    store: Path,
    data_dir: Path | None,
    device: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Trains networks × seeds on equal terms and compares.

    The main job: it prints the table and the verdicts and writes the report. Runs that the store already has are
    reused. MODEL is a network's spec: lenet, "resnet(depth=56)", resnet@uva, my_package.my_module:factory. With several
    --start-from, one network is compared from each of these weights, or from none.
    """
    given = given_fields(fields, context)
    if recommends or budget is not None:
        from convarium.cli import recommending

        unfit: dict[str, object] = {
            "preset": preset,
            "engine": engine,
            "keep-weights": keep_weights,
            "baseline": baseline,
            "start-from": start_from,
            "executor": executor,
            "tune": tune,
            "stack": stack,
            "live": live,
        }
        recommending.check_flags(
            recommends=recommends, budget=budget, other=[f"--{flag}" for flag in unfit if unfit[flag]]
        )
        recommending.recommend(
            models,
            budget=budget or recommending.BUDGET,
            seeds=seeds,
            name=name,
            workers=workers,
            minutes=minutes,
            exact=exact,
            command=command_line(["convarium", *context.obj]),
            store=store,
            data_dir=data_dir,
            device=device,
            as_json=as_json,
            fields=given,
        )
        return
    if has_served(engine, data_dir, device):
        return
    if not models:
        raise SpecError("compare needs at least one network", hint="try: convarium compare lenet residual_cnn")
    from convarium.studies.study import study_of_networks
    from convarium.workspace import Workspace, compared_recipes

    if start_from:
        given["start_from"] = start_from if len(start_from) > 1 else start_from[0]
    recipes = compared_recipes(models, preset, given)
    study_of_networks(recipes, seeds=seeds, baseline=baseline, name=name, command=None)  # refuses what cannot be asked
    note(f"reading {recipes[0].dataset} …")
    with study_progress() as on_event:
        result = Workspace(store, data_dir, device).compare(
            models,
            seeds=seeds,
            preset=preset,
            baseline=baseline,
            name=name,
            tune=tune,
            stack=stack,
            live=live,
            workers=workers,
            executor=executor,
            address=address,
            cpus_per_run=cpus_per_run,
            gpus_per_run=gpus_per_run,
            minutes=minutes,
            keep_weights=keep_weights,
            engine=engine,
            exact=exact,
            command=command_line(["convarium", *context.obj]),
            on_event=on_event,
            **given,
        )
    if as_json:
        from convarium.analysis.comparison import as_json as comparison_as_json

        say_json(
            comparison_as_json(result.comparison)
            | {
                "study": result.study.name,
                "tuned": {str(choice.value): choice.learning_rate for choice in result.tuned},
                "report": str(result.report),
            }
        )
    else:
        from convarium.pages import as_rich

        say(as_rich(result.comparison))
        say_next_steps(result.comparison, result.study.name, store=store, report=result.report, words=context.obj)
    check_failed(result.runs)


@click.command()
@click.argument("study", metavar="STUDY", shell_complete=completion.studies)
@parameters.store
@switch("csv", help="Print CSV.")
@switch("markdown", help="Print Markdown.")
@switch("latex", help="Print LaTeX, for the package booktabs.")
@click.option(
    "--columns",
    metavar="NAME,...",
    help="Columns of the document, in the order given. LaTeX and Markdown have network, test, difference, verdict, "
    "validation, seeds, train_seconds, parameters, flops and images_per_second, and measured where another metric is "
    "compared; CSV has those of its first line.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=TEXT",
    help="Another name for a network in a document; may be given several times.",
)
@parameters.as_json
def results(
    study: str,
    *,
    store: Path,
    csv: bool,
    markdown: bool,
    latex: bool,
    columns: str | None,
    labels: tuple[str, ...],
    as_json: bool,
) -> None:
    """Prints a study's table and verdicts.

    From its stored runs: nothing is trained. STUDY is the name of a folder in studies/.
    """
    if csv + markdown + latex + as_json > 1:
        raise ConvariumError("choose one of --csv, --markdown, --latex and --json")
    is_document = csv or markdown or latex
    if not is_document and (labels or columns is not None):
        flag = "--label" if labels else "--columns"
        raise ConvariumError(f"{flag} is for documents", hint="add --latex, --markdown or --csv")
    from convarium.analysis.comparison import as_json as comparison_as_json
    from convarium.pages import as_csv, as_latex, as_markdown, as_rich
    from convarium.workspace import Workspace

    comparison = Workspace(store).results(study)
    if as_json:
        say_json(comparison_as_json(comparison))
    elif is_document:
        write = as_csv if csv else as_markdown if markdown else as_latex
        names = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
        say(write(comparison, columns=names, labels=_names_given(labels, comparison)).rstrip("\n"))
    else:
        say(as_rich(comparison))
        page = store / "studies" / study / "report.html"
        say_next_steps(comparison, study, store=store, report=page if page.is_file() else None)


def _names_given(labels: tuple[str, ...], comparison: "Comparison") -> dict[str, str]:
    """The other names by those that they stand for, which may have an equal sign themselves: lenet(pool='avg')=LeNet.

    Raises:
        ConvariumError: a text that is not NAME=TEXT.
        SpecError: there is no such row.
    """
    names = {}
    rows = {row.label for row in comparison.rows}
    for given in labels:
        parts = given.split("=")
        splits = [("=".join(parts[:i]), "=".join(parts[i:])) for i in range(1, len(parts))]
        if not splits or not given.rsplit("=", 1)[1].strip():
            raise ConvariumError("cannot read --label", expected="NAME=TEXT", received=given)
        name, text = next((split for split in reversed(splits) if split[0] in rows), splits[0])
        names[name] = text
    return names


@click.command()
@click.argument("study", metavar="STUDY", shell_complete=completion.studies)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write; by default report.html in the study's folder.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for every chart as SVG, PDF and PNG, with the data behind them as CSV.",
)
@click.option("--panel", metavar="NAME", help="With --figures, write this figure alone: curves, cost-parameters, ….")
@click.option("--width", metavar="SIZE", help="With --figures, width of each: 84mm, 8.4cm, 3.3in, 320px.")
@switch(
    "diagnostics",
    help="Also look inside the networks, from their stored weights: gradients, dead units, loss surfaces, filters and "
    "feature maps. This takes up to a few minutes a network.",
)
@parameters.store
@parameters.data_dir
@parameters.as_json
def report(
    study: str,
    *,
    out: Path | None,
    figures: Path | None,
    panel: str | None,
    width: str | None,
    diagnostics: bool,
    store: Path,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Writes a study's report: one HTML file, or figures.

    The file opens without a network connection and without other files. STUDY is the name of a folder in studies/.
    """
    from convarium.workspace import Workspace

    made = Workspace(store, data_dir).report(
        study, out=out, figures=figures, panel=panel, width=width, diagnostics=diagnostics, on_event=note
    )
    figure_files = list(map(str, made.figures))
    if as_json:
        say_json({"study": study, "report": str(made.report), "figures": figure_files})
    else:
        say("\n".join(map(one_line, [made.report, *figure_files])))
