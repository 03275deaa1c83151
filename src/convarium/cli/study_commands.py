"""Commands about a comparison: train what it needs, and show its table and page."""

import hashlib
import json
import re
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
from convarium.cli.pages import followed, look_inside, write_page
from convarium.cli.run_commands import planned_recipe, tell_failed
from convarium.cli.terminal import after_note, say, say_json, study_progress
from convarium.errors import ConvariumError, SpecError
from convarium.pages import as_csv, as_latex, as_markdown, as_rich, save_figures
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store
from convarium.spec import parse
from convarium.studies.plan import plan_study, tell_plan
from convarium.studies.run import run
from convarium.studies.study import Study, check_seeds, compare_study, grid

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
    check_seeds(seeds)
    if not models:
        raise SpecError("compare needs at least one network", hint="try: convarium compare lenet residual_cnn")
    bases = list(dict.fromkeys(planned_recipe(model, preset, given_fields(recipe, argv)) for model in models))
    recipes = tuple(r for seed in range(seeds) for base in bases for r in grid(base, seed=[seed]))
    names = [base.model for base in bases]
    first = names[0] if baseline is None else str(parse(baseline))
    study = Study(
        name=_study_name(bases) if name is None else name,
        question=f"How do {_and(names)} compare on {bases[0].dataset}?",
        recipes=recipes,
        baseline=first,
        command=shlex.join(["convarium", *argv]),
    )
    kept = Store(store)
    plan = tell_plan(plan_study(study, kept, device=device, data_dir=data_dir))
    with study_progress() as bars, followed(study.name, kept, after_note(plan, bars), live=live) as progress:
        comparison = run(study, kept, stack=stack, device=device, data_dir=data_dir, on_event=progress)
    page = write_page(comparison, study.name, kept, data_dir=data_dir)
    if as_json:
        say_json(comparison_as_json(comparison) | {"study": study.name, "report": str(page)})
    else:
        say(as_rich(comparison))
        say(f"study:  {study.name}\nreport: {page}")
    tell_failed([run for row in comparison.rows for run in row.runs], len(recipes))


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
    comparison = compare_study(Store(store).study(study), Store(store))
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
    kept = Store(store)
    comparison = compare_study(kept.study(study), kept)
    diagnoses = look_inside(comparison, data_dir) if diagnostics else ()
    page = write_page(comparison, study, kept, out=out, data_dir=data_dir, diagnoses=diagnoses)
    drawn = [str(path) for path in save_figures(comparison, figures, diagnoses=diagnoses)] if figures else []
    if as_json:
        say_json({"study": study, "report": str(page), "figures": drawn})
    else:
        say("\n".join([str(page), *drawn]))


def _study_name(bases: list[Recipe]) -> str:
    """A name for people, with a digest of the settings, so that other settings make another study."""
    settings = [{k: v for k, v in base.to_json().items() if k not in ("model", "seed")} for base in bases]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]
    words = "-".join(re.sub(r"[^\w]+", "-", base.model).strip("-") for base in bases)[:60].rstrip("-")
    return f"{Path(bases[0].dataset).name}-{words}-{digest}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
