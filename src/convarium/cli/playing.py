"""The command that writes the page in which a study's networks answer."""

import dataclasses
from pathlib import Path

import click

from convarium.characters import one_line
from convarium.cli import completion, parameters
from convarium.cli.parameters import one_of, switch
from convarium.cli.terminal import note, say, say_json, say_wrapped
from convarium.inference.playground.words import LANGUAGES, Language


@click.command()
@click.argument("study", metavar="STUDY", shell_complete=completion.studies)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write; by default play.html in the study's folder.",
)
@click.option(
    "--seeds",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Runs of each network, at most; several give their vote.",
)
@switch("all", help="Also networks of more than 1.5 million parameters, 3 MB each million.")
@switch("float32", help="Write the weights as they are, not rounded to float16: twice the size.")
@switch("epochs", help="Also the weights that --keep-weights kept: a slider shows how the network learned.")
@click.option("--title", metavar="TEXT", help="Title of the page.")
@switch("hide-names", help='Call the networks "Network A" and so on until the reader asks.')
@switch("quiz", help="Begin with ten images on which the networks disagree: the class votes first.")
@click.option("--lang", default="en", show_default=True, help="Language of the page.", **one_of("language", LANGUAGES))
@parameters.store
@parameters.data_dir
@parameters.as_json
def play(
    study: str,
    *,
    out: Path | None,
    seeds: int,
    all: bool,  # noqa: A002
    float32: bool,
    epochs: bool,
    title: str | None,
    hide_names: bool,
    quiz: bool,
    lang: Language,
    store: Path,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Writes a page in which a study's networks answer.

    One HTML file: draw a digit, drop an image or choose a test image, and every
    network of the study answers at once; open one, and watch the image go
    through it. It needs no server, no port and no network connection.
    """
    from convarium.workspace import Workspace

    done = Workspace(store, data_dir).play(
        study,
        out=out,
        seeds=seeds,
        all_networks=all,
        float32=float32,
        epochs=epochs,
        title=title,
        hide_names=hide_names,
        quiz=quiz,
        language=lang,
        on_note=lambda text: note(one_line(text)),
    )
    if as_json:
        say_json(dataclasses.asdict(done) | {"path": str(done.path)})
        return
    say(one_line(f"{done.path}: {done.bytes / 1e6:.1f} MB"))
    listed = ", ".join(f"{label} ({n} seeds)" if n > 1 else label for label, n in done.networks)
    say_wrapped(one_line(f"networks: {listed}"), indent="    ")
    for sentence in done.left_out:
        note(one_line(sentence))
