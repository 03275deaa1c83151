"""Commands that carry out whole studies: the built-in ones, a user's own, and the catalogue of published claims."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convarium.cli import completion, parameters
from convarium.cli.next_steps import say_next_steps
from convarium.cli.nodes import has_served
from convarium.cli.parameters import Workers, switch
from convarium.cli.progress import study_progress
from convarium.cli.terminal import note, say, say_json, say_wrapped, table
from convarium.errors import ConvariumError

if TYPE_CHECKING:
    from convarium.training.engines import LightningEngine

_MARK = "[reduced] "


@click.command()
@click.argument("experiment", metavar="EXPERIMENT", shell_complete=completion.experiments)
@click.option(
    "--seeds",
    type=parameters.optional(int),
    callback=parameters.checked_seeds,
    metavar="INTEGER",
    help="Runs of each row.",
)
@switch("tune", help="First choose each network's learning rate on validation images, with other seeds.")
@parameters.quick
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
def run(
    context: click.Context,
    /,
    experiment: str,
    *,
    seeds: int | None,
    tune: bool,
    quick: bool,
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
) -> None:
    """Carries out a study: a built-in one, or your own file.

    It prints the plan, trains the missing runs, prints table and verdicts and writes the report. EXPERIMENT is a name
    of `convarium list experiments`, or a Python file that defines `study`.
    """
    if has_served(engine, data_dir, device):
        return
    mark = _MARK if quick else ""
    if not experiment.endswith(".py"):
        from convarium.studies.builtin import find_study

        find_study(experiment)  # is refused before anything is read
    note(f"{mark}preparing {experiment} …")
    from convarium.workspace import Workspace

    with study_progress(mark) as on_event:
        result = Workspace(store, data_dir, device).run(
            experiment,
            seeds=seeds,
            tune=tune,
            quick=quick,
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
            on_event=on_event,
        )
    section = result.claims
    if as_json:
        from convarium.analysis.comparison import as_json as comparison_as_json

        say_json(
            comparison_as_json(result.comparison)
            | {
                "study": result.study.name,
                "reduced": mark.strip() or None,
                "claims": {
                    n: {"outcome": v.outcome, "sentence": v.sentence, "assumed": v.claim.assumed}
                    for n, v in section.verdicts.items()
                },
                "tuned": {str(choice.value): choice.learning_rate for choice in result.tuned},
                "panels": [dataclasses.asdict(panel) for panel in section.tables],
                "report": str(result.report),
            }
        )
        return
    from convarium.pages import as_rich

    say(as_rich(result.comparison), mark=mark)
    for panel in section.tables:
        say(f"\n{panel.title}", mark=mark)
        say(table(panel.columns, panel.rows, right=panel.columns[1:]), mark=mark)
    for name, verdict in section.verdicts.items():
        say_wrapped(f"{name}: {verdict.sentence} ({verdict.claim.source})", mark=mark)
    for text in section.assumptions:
        say_wrapped(text, mark=mark)
    say_next_steps(
        result.comparison, result.study.name, store=store, report=result.report, words=context.obj, mark=mark
    )


@click.command()
@click.argument("claims", nargs=-1, metavar="[CLAIM]...", shell_complete=completion.claims)
@parameters.quick
@parameters.stack
@parameters.workers
@parameters.executor
@parameters.address
@parameters.cpus_per_run
@parameters.gpus_per_run
@parameters.minutes
@parameters.exact
@switch("record", help="Copy the store's studies into results/, without weights and predictions.")
@switch("page", help="Write docs/reproductions.md from results/.")
@switch("markdown", help="Print the list as Markdown, in full width.")
@parameters.store
@parameters.data_dir
@parameters.device
@parameters.as_json
def reproduce(
    claims: tuple[str, ...],
    *,
    quick: bool,
    stack: bool,
    workers: Workers,
    executor: str | None,
    address: str | None,
    cpus_per_run: float | None,
    gpus_per_run: float | None,
    minutes: float | None,
    exact: bool,
    record: bool,
    page: bool,
    markdown: bool,
    store: Path,
    data_dir: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Checks published claims: list, run, verdict.

    Without a CLAIM it lists the claims as measured; with one it trains the missing runs and prints the verdict. CLAIM
    is a name of the list, a study, a source's tag such as uva, speed, or all. Finished runs are reused. The networks of
    a claim of speed are timed in turns on this machine.
    """
    if record or page:
        if claims or quick:
            raise ConvariumError("--record and --page take no CLAIM and no --quick", hint="run the claims first")
        _record(store, record=record, page=page)
        return
    mark = _MARK if quick else ""
    if claims or quick:
        from convarium.studies.catalogue import catalogue, select

        select(claims or ("all",), catalogue())  # is refused before anything is read
        note(f"{mark}preparing {', '.join(claims) or 'all claims'} …")
    from convarium.analysis.claims import assumptions
    from convarium.cli.catalogue_table import say_catalogue
    from convarium.studies.catalogue import NOT_RUN
    from convarium.studies.costs import recorded_rates
    from convarium.studies.finding_cells import as_json as finding_as_json
    from convarium.studies.reproductions import results_folder
    from convarium.workspace import Workspace

    workspace = Workspace(store, data_dir, device)
    if claims or quick:
        with study_progress(mark) as on_event:
            findings = workspace.reproduce(
                *claims,
                quick=quick,
                stack=stack,
                workers=workers,
                executor=executor,
                address=address,
                cpus_per_run=cpus_per_run,
                gpus_per_run=gpus_per_run,
                minutes=minutes,
                exact=exact,
                on_event=on_event,
            )
    else:
        findings = workspace.reproduce()
    rates = recorded_rates(results_folder() / "speed")
    if as_json:
        say_json([finding_as_json(finding, rates) | {"reduced": mark.strip() or None} for finding in findings])
    elif claims or quick:
        for finding in findings:
            sentence = finding.verdict.sentence if finding.verdict else NOT_RUN
            say_wrapped(f"{finding.entry.name}: {sentence} ({finding.entry.claim.source})", mark=mark)
            if finding.reason:
                say_wrapped(f"    why it may be: {finding.reason}", mark=mark)
        for assumed in assumptions(finding.entry.claim for finding in findings):
            say_wrapped(assumed, mark=mark)
    else:
        say_catalogue(findings, rates, markdown=markdown)
    for left_out in dict.fromkeys(text for finding in findings for text in finding.left_out):
        note(left_out)
    for finding in findings:
        if finding.error:
            raise finding.error


def _record(store: Path, *, record: bool, page: bool) -> None:
    from convarium.analysis.comparison.formatting import count
    from convarium.studies.reproductions import recorded_timings, results_folder
    from convarium.workspace import Workspace

    workspace = Workspace(store)
    if record:
        for name, runs in workspace.record_results().items():
            say(f"{name}: {runs} runs in {results_folder()}")
        for name, timings in recorded_timings().items():
            say(f"{name}: networks timed in turns on {count(timings, 'machine')} in {results_folder()}")
    if page:
        say(str(workspace.write_reproductions()))
