"""The command that answers images: with classes and probabilities, as text, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convarium.characters import one_line
from convarium.cli import completion, parameters
from convarium.cli.parameters import switch
from convarium.cli.progress import image_progress
from convarium.cli.terminal import note, say
from convarium.errors import ConvariumError, RunError

if TYPE_CHECKING:
    from convarium.inference.predict import Predictions, Predictor
    from convarium.inference.unknown import UnknownRule

_MANY = 500
"""Images from which on a bar is drawn."""

_PROMISE = "it does not promise to catch images of other classes"
_IF_CHOSEN = ", and promises less if these validation images have chosen a learning rate or the network"


@click.command()
@click.argument("names", nargs=-1, metavar="RUN IMAGE...", shell_complete=completion.run_then_images)
@click.option(
    "--ensemble",
    metavar="STUDY:NETWORK",
    help="In place of RUN: the mean of the probabilities of a network's trained runs in a study, one for each seed.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="In place of RUN: weights.safetensors of a run, a PyTorch state_dict, or a checkpoint.",
)
@click.option(
    "--model",
    metavar="MODEL",
    shell_complete=completion.models,
    help="Network that the weights belong to, if they do not say it. Beside a RUN whose network is your own: import it "
    "although its source is not the one that the run was made with.",
)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completion.datasets,
    help="Images that the weights were trained on, if they do not say how images are preprocessed.",
)
@click.option("--top", type=click.IntRange(min=1), metavar="K", help="Show the K likeliest classes of each image.")
@switch(
    "unknown",
    help="Answer 'unknown' below a probability that is set so that 95 % of images of the known classes are answered "
    "(split conformal prediction, calibrated on the run's stored predictions); it does not promise to catch images of "
    "other classes.",
)
@click.option(
    "--coverage",
    type=float,
    help="Share of images of the known classes that --unknown answers; by default 0.95.",
)
@parameters.store
@parameters.data_dir
@parameters.device
@switch("csv", "as_csv", help="Print CSV.")
@parameters.as_json
def predict(
    names: tuple[str, ...],
    *,
    ensemble: str | None,
    weights: Path | None,
    model: str | None,
    dataset: str | None,
    top: int | None,
    unknown: bool,
    coverage: float | None,
    store: Path,
    data_dir: Path | None,
    device: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Answers images: classes and probabilities.

    RUN is the name of a folder in runs/, its path, or the beginning of its key. IMAGE is an image file; a folder, whose
    images are found as in data sets; or - for standard input, with one image or a list of paths. Images that cannot be
    read are named, the others are answered, and the exit code is 1.
    """
    if as_csv and as_json:
        raise ConvariumError("choose one of --csv and --json")
    if coverage is not None and not unknown:
        raise ConvariumError("--coverage is for --unknown", hint="give both")
    needs_run = ensemble is None and weights is None
    run, images = (names[0], names[1:]) if needs_run and names else (None, names)
    if (needs_run and run is None) or not images:
        hint = "try: convarium predict RUN photo.png, or see convarium predict --help"
        raise ConvariumError("predict needs a run and images" if needs_run else "predict needs images", hint=hint)
    from convarium.inference.inputs import find_images
    from convarium.workspace import Workspace

    predictor = Workspace(store, data_dir, device).predictor(
        run,
        ensemble=ensemble,
        weights=weights,
        model=model,
        dataset=dataset,
        unknown=unknown,
        coverage=0.95 if coverage is None else coverage,
    )
    if top is not None:
        from convarium.inference.predict import check_top

        check_top(top, len(predictor.classes))
    with find_images(images) as inputs:
        for text in (*predictor.notes, *inputs.notes):
            note(one_line(text))
        if not as_json:
            if not needs_run:
                note(one_line(f"answered by {predictor.description}"))
            if predictor.rule is not None:
                note(_explained(predictor.rule))
        unreadable: dict[str, str] = {}
        writing = _json if as_json else _csv if as_csv else _lines
        is_followed = len(inputs) > _MANY and not sys.stdout.isatty()
        with image_progress() if is_followed else nullcontext() as on_event:
            batches = _noting(predictor.batches(inputs, on_event=on_event), unreadable)
            for text in writing(predictor, batches, top):
                say(text)
    if unreadable:
        raise RunError(
            f"{len(unreadable):,} of {len(inputs):,} images could not be read", hint="the notes above say why"
        )


def _noting(batches: Iterable[Predictions], unreadable: dict[str, str]) -> Iterator[Predictions]:
    """The batches; the images that cannot be read are named on standard error, and gathered."""
    for batch in batches:
        for name, why in batch.unreadable.items():
            note(one_line(f"cannot read {name}: {why}"))
        unreadable |= batch.unreadable
        yield batch


def _lines(predictor: Predictor, batches: Iterable[Predictions], top: int | None) -> Iterator[str]:  # noqa: ARG001
    """One line an image: "cats/1.png: cat 97.10 %"."""
    for batch in batches:
        for name, known, ranked in zip(batch.paths, batch.known.tolist(), batch.top(top or 1), strict=True):
            classes = ", ".join(f"{class_name} {100 * probability:.2f} %" for class_name, probability in ranked)
            yield one_line(f"{name}: {classes}" if known else f"{name}: unknown ({classes})")


def _csv(predictor: Predictor, batches: Iterable[Predictions], top: int | None) -> Iterator[str]:
    """A row an image: its class and the probability of it, then those of all classes, or the likeliest ones."""
    known = ["known"] if predictor.rule else []
    if top is None:
        others = [f"probability of {name}" for name in predictor.classes]
    else:
        others = [text for rank in range(2, top + 1) for text in (f"class {rank}", f"probability {rank}")]
    yield _csv_text([["image", "class", "probability", *known, *others]])
    for batch in batches:
        rows = []
        for number, ranked in enumerate(batch.top(top or 1)):
            is_known = bool(batch.known[number])
            row: list[object] = [batch.paths[number], batch.answers[number], ranked[0][1]]
            row += [str(is_known).lower()] if known else []
            row += batch.probabilities[number].tolist() if top is None else [x for pair in ranked[1:] for x in pair]
            rows.append(row)
        if rows:
            yield _csv_text(rows)


def _csv_text(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


def _json(predictor: Predictor, batches: Iterable[Predictions], top: int | None) -> Iterator[str]:
    """One document, written as the images are answered, in ASCII."""
    head = {
        "answered_by": predictor.description,
        "runs": list(predictor.runs),
        "notes": list(predictor.notes),
        "classes": list(predictor.classes),
        "unknown": predictor.rule and _rule(predictor.rule),
    }
    yield json.dumps(head, allow_nan=False)[:-1] + ', "predictions": ['
    unreadable: list[dict[str, str]] = []
    is_first = True
    for batch in batches:
        unreadable += [{"image": name, "reason": why} for name, why in batch.unreadable.items()]
        rows = [json.dumps(row, allow_nan=False) for row in _rows(batch, top)]
        if rows:
            yield ("" if is_first else ",") + ",\n".join(rows)
            is_first = False
    yield f'], "unreadable": {json.dumps(unreadable)}}}'


def _rows(batch: Predictions, top: int | None) -> Iterator[dict[str, Any]]:
    answers, known = batch.answers, batch.known.tolist()
    for number, ranked in enumerate(batch.top(top or len(batch.classes))):
        row = {"image": batch.paths[number], "class": answers[number], "probability": ranked[0][1]}
        yield row | ({"known": known[number]} if batch.rule else {}) | {"probabilities": dict(ranked)}


def _rule(rule: UnknownRule) -> dict[str, Any]:
    return {
        "threshold": rule.threshold,
        "coverage": rule.coverage,
        "calibrated_on": rule.source,
        "n": rule.n,
        "measured_coverage": rule.measured,
        "measured_low": rule.low,
        "measured_high": rule.high,
        "message": _explained(rule),
    }


def _explained(rule: UnknownRule) -> str:
    return (
        f"'unknown' stands for a largest probability below {rule.threshold:.4g}, set by {rule.n:,} {rule.source} "
        f"so that {100 * rule.coverage:.4g} % of the images of the known classes are answered (over 500 random halves "
        f"of them, {100 * rule.measured:.1f} % of the other half were, nine times in ten between "
        f"{100 * rule.low:.1f} % and {100 * rule.high:.1f} %); "
        f"{_PROMISE}{_IF_CHOSEN if rule.source == 'validation images' else ''}"
    )
