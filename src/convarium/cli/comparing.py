"""The command that trains what a comparison needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convarium.characters import command_line
from convarium.cli import completion, parameters
from convarium.cli.next_steps import say_next_steps
from convarium.cli.nodes import has_served
from convarium.cli.parameters import Workers, attribute_help, given_fields, optional, recipe_flags, switch
from convarium.cli.progress import study_progress
from convarium.cli.single_run import check_failed
from convarium.cli.terminal import note, say, say_json
from convarium.errors import SpecError
from convarium.recipes.recipe import Recipe

if TYPE_CHECKING:
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
