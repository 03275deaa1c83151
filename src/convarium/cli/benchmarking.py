"""The command that times this machine against the sources' own loops."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from convarium.cli import completion, parameters
from convarium.cli.parameters import one_of, optional, switch
from convarium.cli.terminal import note, say, say_json
from convarium.errors import ConvariumError

if TYPE_CHECKING:
    from convarium.benchmark import Accuracies, BenchRow, ColdStart, FirstLosses


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...", shell_complete=completion.jobs)
@click.option("--pairs", type=int, default=5, show_default=True, help="Number of turns of each loop.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="About how long a turn takes.")
@click.option(
    "--precision",
    default="both",
    show_default=True,
    help="Precision of Convarium, a row for each; the reference is always float32. A processor without "
    "instructions for bfloat16 is timed in float32 alone.",
    **one_of("precision", ("both", "float32", "bfloat16")),
)
@switch("stack", help="Also time 8 seeds trained as one stack, for memory_mlp, lenet@d2l and resnet@uva.")
@switch("lightning", help="Also time the same loop in Lightning's Trainer; this needs the package lightning.")
@click.option(
    "--cold",
    type=optional(int),
    metavar="EPOCHS",
    help="Also train each job by its source's recipe for so many epochs, each in a fresh process, and print the "
    "seconds to the first step, of the training and to the end.",
)
@switch(
    "accuracy",
    help="Also train both loops and judge whether their test accuracies are equivalent; at 224 pixels on a CPU, "
    "whether their first 20 losses agree.",
)
@click.option("--seeds", type=int, default=10, show_default=True, help="Trainings of each loop for --accuracy.")
@click.option("--epochs", type=int, default=1, show_default=True, help="Epochs of each training for --accuracy.")
@parameters.data_dir
@parameters.device
@switch("markdown", help="Print Markdown, which is also the default.")
@switch("record", help="Also write all figures into the checkout's results/speed/<machine>.json.")
@switch("page", help="Write the tables of docs/speed.md from results/speed; without --record nothing is timed.")
@parameters.as_json
def bench(
    jobs: tuple[str, ...],
    *,
    pairs: int,
    seconds: float,
    precision: Literal["both", "float32", "bfloat16"],
    stack: bool,
    lightning: bool,
    cold: int | None,
    accuracy: bool,
    seeds: int,
    epochs: int,
    data_dir: Path | None,
    device: str | None,
    markdown: bool,
    record: bool,
    page: bool,
    as_json: bool,
) -> None:
    """Times this machine against the sources' own loops.

    It prints ratios, in the rows of docs/speed.md. JOB is a network with the source that trains it, such as lenet@d2l;
    without one it is all of them, which takes long.
    """
    if markdown and as_json:
        raise ConvariumError("choose one of --markdown and --json")
    if min(seeds, epochs, 1 if cold is None else cold) < 1:
        raise ConvariumError("--seeds, --epochs or --cold is out of range", expected="1 or more")
    if page and not record:
        if jobs:
            raise ConvariumError("--page without --record takes no JOB", hint="add --record, or leave the jobs out")
        from convarium.benchmark import write_page

        say(str(write_page()))
        return
    if record:
        from convarium.studies.reproductions import checkout_results

        checkout_results()  # refuses before anything is timed
    note(f"timing {', '.join(jobs) or 'all jobs'} …")
    from convarium.benchmark import JOBS, as_markdown, cold_as_markdown, equal_accuracy, time_cold_start
    from convarium.benchmark import bench as run_bench

    chosen = jobs or tuple(JOBS)

    def announce(row: "BenchRow") -> None:
        stacked = f", {row.members} seeds stacked" if row.members > 1 else ""
        note(f"{row.job}{stacked}, {row.precision}: {statistics.median(row.ratios):.1f} times the reference")

    rows = run_bench(
        chosen,
        pairs=pairs,
        seconds=seconds,
        precision=precision,
        stack=stack,
        lightning=lightning,
        data_dir=data_dir,
        device=device,
        on_event=announce,
    )
    precisions = tuple(dict.fromkeys(row.precision for row in rows))
    if precision == "both" and len(precisions) == 1:
        note("no bfloat16 rows: this processor has no instructions for it and takes many times as long as in float32")
    started = {
        row: time_cold_start(row.job, epochs=cold, precision=row.precision, data_dir=data_dir, device=device)
        for row in rows
        if cold is not None and row.members == 1
    }
    judged = {
        (job, result.precision): result
        for job in chosen
        if accuracy
        for result in equal_accuracy(
            job, precisions=precisions, seeds=seeds, epochs=epochs, data_dir=data_dir, device=device
        )
    }
    if record:
        _record(rows, cold=started, results=judged.values(), page=page)
    if as_json:
        values = [asdict(row) for row in rows]
        for row, form in zip(rows, values, strict=True):
            known = {"cold": started.get(row), "accuracy": judged.get((row.job, row.precision))}
            form |= {what: asdict(value) for what, value in known.items() if value is not None and row.members == 1}
        say_json(values)
        return
    parts = [as_markdown(rows), cold_as_markdown(started), "\n".join(f"- {j.verdict}" for j in judged.values())]
    say("\n\n".join(part for part in parts if part))


def _record(
    rows: "list[BenchRow]",
    *,
    cold: "Mapping[BenchRow, ColdStart]",
    results: "Iterable[Accuracies | FirstLosses]",
    page: bool,
) -> None:
    from convarium.benchmark import Accuracies, FirstLosses, record, write_page
    from convarium.studies.reproductions import checkout_results

    compared = list(results)
    path = record(
        rows,
        checkout_results() / "speed",
        cold=cold,
        accuracies=[result for result in compared if isinstance(result, Accuracies)],
        first_losses=[result for result in compared if isinstance(result, FirstLosses)],
    )
    note(f"recorded in {path}")
    if page:
        note(f"written: {write_page()}")
