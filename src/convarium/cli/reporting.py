"""Commands about a stored study, of which nothing is trained: its table, and its report."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from convarium.characters import one_line
from convarium.cli import completion, parameters
from convarium.cli.next_steps import say_next_steps
from convarium.cli.parameters import switch
from convarium.cli.terminal import note, say, say_json
from convarium.errors import ConvariumError

if TYPE_CHECKING:
    from convarium.analysis.comparison import Comparison


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
