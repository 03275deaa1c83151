"""The command that writes a trained network for other programs."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from convarium.characters import one_line
from convarium.cli import completion, parameters
from convarium.cli.parameters import one_of, switch
from convarium.cli.terminal import note, say, say_json, say_wrapped, table

if TYPE_CHECKING:
    from convarium.inference.export import Exported
    from convarium.inference.quantize import Loss


@click.command()
@click.argument("run", required=False, metavar="[RUN]", shell_complete=completion.runs)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="In place of RUN: the weights.safetensors of a run, or a PyTorch state_dict or checkpoint with --model and "
    "--dataset.",
)
@click.option(
    "--format",
    default="onnx",
    show_default=True,
    help="Format of the file: ONNX (opset 18), or a program for torch.export.load.",
    **one_of("format", ("onnx", "torch-export")),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write; by default named after the run, in this folder.",
)
@switch("int8", help="In 8-bit integers, calibrated on training images; needs the run's images, and ONNX.")
@click.option(
    "--model",
    metavar="MODEL",
    shell_complete=completion.models,
    help="Network that the weights belong to. Beside a RUN whose network is your own: import it although its source is "
    "not the one that the run was made with.",
)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completion.datasets,
    help="Data set that the weights were trained on, where they do not say so themselves.",
)
@parameters.store
@parameters.data_dir
@parameters.as_json
def export(
    run: str | None,
    *,
    weights: Path | None,
    format: Literal["onnx", "torch-export"],  # noqa: A002
    out: Path | None,
    int8: bool,
    model: str | None,
    dataset: str | None,
    store: Path,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Writes a run as an ONNX file, and checks it.

    Or as a program of PyTorch alone. The file takes images of 8 bits, (n, c, h, w), in batches of any size;
    normalization is inside. It gives logits, whose softmax is the probability
    of each class. Before it is written, it is compared with the original: at
    most 1e-4 of the largest logit may lie between them.
    """
    from convarium.workspace import Workspace

    done = Workspace(store, data_dir).export(
        run,
        weights=weights,
        model=model,
        dataset=dataset,
        format=format,
        out=out,
        int8=int8,
        on_note=lambda text: note(one_line(text)),
    )
    if as_json:
        say_json(dataclasses.asdict(done) | {"path": str(done.path)})
        return
    size = done.bytes[list(done.bytes)[-1]]
    say(one_line(f"{done.path}: {_readable(size)}{f', ONNX opset {done.opset}' if done.opset else ''}"))
    say_wrapped(f"input   {done.input}", indent=" " * 8)
    say_wrapped(f"output  {done.output}", indent=" " * 8)
    say_wrapped(one_line(_checked(done)), indent="")
    batches = [latency.batch for latency in done.latencies]
    columns = ["", "size", *(f"{batch} image{'s' if batch > 1 else ''}" for batch in batches)]
    rows = [
        [name, _readable(size), *(f"{latency.milliseconds[name]:.3g} ms" for latency in done.latencies)]
        for name, size in done.bytes.items()
    ]
    say(table(columns, rows, right=columns[1:]))
    if done.loss is not None:
        say_wrapped(_lost(done.loss), indent="")


def _checked(done: "Exported") -> str:
    agreement = done.agreement
    which = "the float32 file" if done.loss is not None else "it"
    others = (
        f"{agreement.other_classes:,} images get another class"
        if agreement.other_classes
        else "the classes are the same"
    )
    return (
        f"checked on {agreement.images:,} {done.checked_on}, in batches of 1, 2, 7 and more: {which} differs from the "
        f"network by at most {agreement.largest_difference:.1e} of the largest logit, and {others}"
    )


def _lost(loss: "Loss") -> str:
    low, high = 100 * loss.interval.low, 100 * loss.interval.high
    return (
        f"int8, calibrated on {loss.calibration_images:,} training images, is right on {100 * loss.int8:.2f} % of "
        f"{loss.n:,} {loss.split} images, float32 on {100 * loss.float32:.2f} %: it loses "
        f"{_points(100 * loss.lost)} points (95 % interval {_points(low)} to {_points(high)}), and "
        f"{loss.other_classes:,} images get another class"
    )


def _points(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _readable(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
