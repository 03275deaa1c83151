"""Commands about a comparison: train what it needs, and show its table and page."""

import shlex
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from convarium.analysis.comparison import as_json as comparison_as_json
from convarium.cli.flags import given_fields, recipe_flags
from convarium.cli.options import (
    DataFlag,
    DeviceFlag,
    JsonFlag,
    LiveFlag,
    PresetFlag,
    StoreFlag,
    StudyArgument,
)
from convarium.cli.terminal import note, say, say_json, study_progress
from convarium.errors import ConvariumError
from convarium.pages import as_csv, as_latex, as_markdown, as_rich
from convarium.studies.run import check_failures
from convarium.workspace import Workspace

CompareFlags = recipe_flags(without=["model", "seed"])


def compare(
    models: Positional[Annotated[tuple[str, ...], arg(metavar="MODEL...")]],
    *,
    recipe: OmitArgPrefixes[CompareFlags] = CompareFlags(),  # type: ignore[valid-type]  # noqa: B008  (frozen)
    seeds: int = 5,
    preset: PresetFlag = None,
    baseline: str | None = None,
    name: str | None = None,
    stack: bool = False,
    live: LiveFlag = False,
    store: StoreFlag = Path(),
    data_dir: DataFlag = None,
    device: DeviceFlag = None,
    as_json: JsonFlag = False,
    argv: Suppress[tuple[str, ...]] = (),
) -> None:
    """The main job: networks × seeds on equal terms, then table, verdicts and report.

    Args:
        models: two or more networks' specs.
        seeds: runs of each network, with seeds 0, 1, 2, …
        baseline: the network that the others are compared with; none: the first.
        name: of the study; a study of this name is extended by more seeds or networks.
        stack: train each network's seeds at the same time: side by side on a CPU, as one model on CUDA.
    """
    workspace = Workspace(store, data_dir, device)
    with study_progress() as progress:
        result = workspace.compare(
            models,
            seeds=seeds,
            preset=preset,
            baseline=baseline,
            name=name,
            stack=stack,
            live=live,
            command=shlex.join(["convarium", *argv]),
            on_event=progress,
            **given_fields(recipe, argv),
        )
    comparison, study, page = result.comparison, result.study, result.report
    if as_json:
        say_json(comparison_as_json(comparison) | {"study": study.name, "report": str(page)})
    else:
        say(as_rich(comparison))
        say(f"study:  {study.name}\nreport: {page}")
    check_failures(result.runs)


def results(
    study: Positional[StudyArgument],
    *,
    store: StoreFlag = Path(),
    csv: bool = False,
    markdown: bool = False,
    latex: bool = False,
    as_json: JsonFlag = False,
) -> None:
    """A study's table and verdicts from its stored runs: terminal, CSV, Markdown, LaTeX or JSON.

    Args:
        study: its name, see the folder studies/.
        csv: print CSV.
        markdown: print Markdown.
        latex: print LaTeX.
    """
    if csv + markdown + latex + as_json > 1:
        raise ConvariumError("choose one of --csv, --markdown, --latex and --json")
    comparison = Workspace(store).results(study)
    if as_json:
        say_json(comparison_as_json(comparison))
    elif csv or markdown or latex:
        say((as_csv if csv else as_markdown if markdown else as_latex)(comparison).rstrip("\n"))
    else:
        say(as_rich(comparison))


def report(
    study: Positional[StudyArgument],
    *,
    out: Path | None = None,
    figures: Path | None = None,
    diagnostics: bool = False,
    store: StoreFlag = Path(),
    data_dir: DataFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """A study's page: one HTML file that opens offline; or its figures for a paper.

    Args:
        study: its name, see the folder studies/.
        out: the file to write; none: report.html in the study's folder.
        figures: a folder for every chart as SVG, PDF and PNG, with the data behind them as CSV.
        diagnostics: also look inside the networks, from their stored weights: gradients, dead units, loss surfaces,
            filters and feature maps; takes up to a few minutes a network.
    """
    files = Workspace(store, data_dir).report(study, out=out, figures=figures, diagnostics=diagnostics, on_event=note)
    page, drawn = files.report, [str(path) for path in files.figures]
    if as_json:
        say_json({"study": study, "report": str(page), "figures": drawn})
    else:
        say("\n".join([str(page), *drawn]))
