"""The command that times: this machine's speed against the sources' own loops."""

import statistics
from dataclasses import asdict
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from convarium.benchmark import JOBS, BenchRow, as_markdown, cold_as_markdown, equal_accuracy, time_cold_start
from convarium.benchmark import bench as run_bench
from convarium.cli.options import DataFlag, DeviceFlag, JsonFlag
from convarium.cli.terminal import note, say, say_json
from convarium.errors import ConvariumError


def bench(
    jobs: Positional[Annotated[tuple[str, ...], arg(metavar="JOB...")]] = (),
    *,
    pairs: int = 5,
    seconds: float = 10.0,
    precision: Literal["both", "float32", "bfloat16"] = "both",
    stack: bool = False,
    lightning: bool = False,
    cold: int | None = None,
    accuracy: bool = False,
    seeds: int = 10,
    epochs: int = 1,
    data_dir: DataFlag = None,
    device: DeviceFlag = None,
    markdown: bool = False,
    as_json: JsonFlag = False,
) -> None:
    """This machine's speed against the sources' own loops, as ratios, in the rows of docs/speed.md.

    Args:
        jobs: networks with the source that trains them, such as lenet@d2l; none: all of them, which takes long.
        pairs: how often every side has its turn.
        seconds: about how long a turn is.
        precision: of Convarium's side, a row for each; the reference is always float32. "both" is float32 alone on a
            processor without instructions for bfloat16.
        stack: also 8 seeds trained as one stack, for memory_mlp, lenet@d2l and resnet@uva.
        lightning: also against the same loop in Lightning's Trainer; needs the package lightning.
        cold: also train each job by its source's recipe for that many epochs, each in a fresh process, and tell the
            seconds to the first step, of the training, and to the end.
        accuracy: also train both sides and judge whether their test accuracies are equivalent; at 224 pixels on a CPU,
            whether their first 20 losses agree.
        seeds: trainings of each side for --accuracy.
        epochs: of each of them.
        markdown: print Markdown, which is also the default.
    """
    if markdown and as_json:
        raise ConvariumError("choose one of --markdown and --json")
    if min(seeds, epochs, 1 if cold is None else cold) < 1:
        raise ConvariumError("--seeds, --epochs or --cold is out of range", expected="1 or more")
    chosen = jobs or tuple(JOBS)

    def tell(row: BenchRow) -> None:
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
        on_event=tell,
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
    if as_json:
        found = [asdict(row) for row in rows]
        for row, form in zip(rows, found, strict=True):
            known = {"cold": started.get(row), "accuracy": judged.get((row.job, row.precision))}
            form |= {what: asdict(value) for what, value in known.items() if value is not None and row.members == 1}
        say_json(found)
        return
    parts = [as_markdown(rows), cold_as_markdown(started), "\n".join(f"- {j.verdict}" for j in judged.values())]
    say("\n\n".join(part for part in parts if part))
