"""Commands that train, and show what was trained."""

import dataclasses
import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from convarium.cli.flags import given_fields, recipe_flags
from convarium.cli.options import (
    DataFlag,
    DeviceFlag,
    JsonFlag,
    LiveFlag,
    ModelArgument,
    PresetFlag,
    StoreFlag,
    StudyArgument,
)
from convarium.cli.pages import followed, look_inside, write_page
from convarium.cli.terminal import after_note, say, say_json, study_progress, table
from convarium.comparison import as_json as comparison_as_json
from convarium.data import load_data
from convarium.data.images import Splits
from convarium.errors import ConvariumError, RunError, SpecError
from convarium.planning import check_seeds, plan_study, tell_plan
from convarium.recipe import Recipe
from convarium.recipe_presets import RECIPES, recipe_preset
from convarium.records import Scores
from convarium.report import as_csv, as_latex, as_markdown, as_rich, save_figures
from convarium.running import run, train_one
from convarium.spec import parse
from convarium.store import Store, StoredRun
from convarium.study import Study, compare_study, grid
from convarium.training import evaluate as evaluate_network
from convarium.weights import load_weights

TrainFlags = recipe_flags(without=["model"])
CompareFlags = recipe_flags(without=["model", "seed"])


def train(
    model: Positional[ModelArgument],
    *,
    recipe: OmitArgPrefixes[TrainFlags] = TrainFlags(),  # type: ignore[valid-type]  # noqa: B008  (frozen)
    preset: PresetFlag = None,
    store: StoreFlag = Path(),
    data_dir: DataFlag = None,
    device: DeviceFlag = None,
    as_json: JsonFlag = False,
    argv: Suppress[tuple[str, ...]] = (),
) -> None:
    """One run, with a live progress bar; a run that the store has already is not trained again.

    Args:
        model: a network's spec: lenet, "resnet(depth=56)", resnet@uva, my_package.my_module:factory.
    """
    planned = _recipe(model, preset, given_fields(recipe, argv))
    with study_progress() as progress:
        done = train_one(planned, Store(store), device=device, data_dir=data_dir, progress=progress)
    outcome = done.outcome
    if as_json:
        scores = {name: _plain(s) for name, s in (("validation", outcome.validation), ("test", outcome.test)) if s}
        facts = {"run": str(done.path), "key": done.key, "status": outcome.status, "message": outcome.message}
        history = [json.loads(line) for line in (done.path / "history.jsonl").read_text("utf-8").splitlines()]
        say_json(
            facts | {"scores": scores, "cost": outcome.cost and dataclasses.asdict(outcome.cost), "history": history}
        )
    elif outcome.test is None:
        say(f"{planned.model} seed {planned.seed} {outcome.status}: {outcome.message}")
        say(f"run: {done.path}")
    else:
        marks = " (test watched)" if planned.watch_test else ""
        marks = " (selected on test)" if planned.select == "best_test" else marks
        validation = f", validation {outcome.validation.accuracy:.2%}" if outcome.validation else ""
        say(
            f"{planned.model} on {planned.dataset}, seed {planned.seed}, epoch {outcome.selected_epoch}: "
            f"test accuracy {outcome.test.accuracy:.2%} of {outcome.test.n:,} images{marks}{validation}"
        )
        if outcome.cost:
            say(f"{outcome.cost.train_seconds:.1f} s of training, {outcome.cost.images_per_second:,.0f} images/s")
        say(f"run: {done.path}")
    _tell_failed([done], 1)


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
        stack: train each network's seeds together, as one stacked model.
    """
    check_seeds(seeds)
    if not models:
        raise SpecError("compare needs at least one network", hint="try: convarium compare lenet residual_cnn")
    bases = list(dict.fromkeys(_recipe(model, preset, given_fields(recipe, argv)) for model in models))
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
        comparison = run(study, kept, stack=stack, device=device, data_dir=data_dir, progress=progress)
    page = write_page(comparison, study.name, kept, data_dir=data_dir)
    if as_json:
        say_json(comparison_as_json(comparison) | {"study": study.name, "report": str(page)})
    else:
        say(as_rich(comparison))
        say(f"study:  {study.name}\nreport: {page}")
    _tell_failed([run for row in comparison.rows for run in row.runs], len(recipes))


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


def evaluate(
    run: Positional[Annotated[str | None, arg(metavar="RUN")]] = None,
    *,
    weights: Path | None = None,
    model: str | None = None,
    dataset: str | None = None,
    split: Literal["test", "validation"] = "test",
    store: StoreFlag = Path(),
    data_dir: DataFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Scores of a stored run, or of a weights file, on the test or validation split.

    Args:
        run: a folder's name in runs/, its path, or the beginning of its key.
        weights: a file: .safetensors, a PyTorch state_dict, or a checkpoint published with a source.
        model: the network that the weights belong to; a preset brings its source's preprocessing and division.
        dataset: the images.
        split: which.
    """
    if (run is None) == (weights is None):
        raise ConvariumError("evaluate takes a RUN, or --weights FILE --model M --dataset D")
    if run is not None:
        done = Store(store).run(run)
        recipe, path = done.recipe, done.path / "weights.safetensors"
        splits = _load(recipe, data_dir)
        if not path.exists():
            raise ConvariumError(f"{done.path} holds no weights", hint="it may be a record kept without them")
    else:
        if model is None or dataset is None or weights is None:
            raise ConvariumError("--weights needs --model and --dataset", hint="name the network the weights belong to")
        recipe, path = _source_recipe(model, dataset), weights
        splits = _load(recipe, data_dir)
    network = load_weights(path, recipe.model, splits.train.spec)
    scores = evaluate_network(network, recipe, splits, split=split)
    if as_json:
        say_json(_plain(scores))
        return
    say(f"{split} accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}, {scores.n:,} images")
    classes = [[name, "–" if accuracy is None else f"{accuracy:.2%}"] for name, accuracy in scores.per_class.items()]
    say(table(["class", "accuracy"], classes, right=["accuracy"]))


def _recipe(model: str, preset: str | None, given: dict[str, object]) -> Recipe:
    fields = recipe_preset(preset, model).to_json() if preset is not None else {"model": model}
    return Recipe(**(fields | given))


def _tell_failed(runs: Sequence[StoredRun], planned: int) -> None:
    failed = sum(run.outcome.status == "failed" for run in runs)
    if failed:
        told = "the run failed" if planned == 1 else f"{failed} of {planned} runs failed"
        raise RunError(told, hint="mend what the note above names and give the same command again, which retries it")


def _load(recipe: Recipe, data_dir: Path | None) -> Splits:
    return load_data(recipe.dataset, data_dir=data_dir, validation=recipe.validation, resize=recipe.resize)


def _source_recipe(model: str, dataset: str) -> Recipe:
    """The recipe of the source that a preset network comes from, as far as it fits the data set; else the defaults."""
    asked = parse(model)
    if asked.tag in RECIPES:
        recipe = recipe_preset(asked.tag, model)
        if recipe.dataset == dataset:
            return recipe
    return Recipe(model=model, dataset=dataset)


def _study_name(bases: list[Recipe]) -> str:
    """A name for people, with a digest of the settings, so that other settings make another study."""
    settings = [{k: v for k, v in base.to_json().items() if k not in ("model", "seed")} for base in bases]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]
    words = "-".join(re.sub(r"[^\w]+", "-", base.model).strip("-") for base in bases)[:60].rstrip("-")
    return f"{Path(bases[0].dataset).name}-{words}-{digest}"


def _plain(scores: Scores) -> dict[str, object]:
    return {"accuracy": scores.accuracy, "loss": scores.loss, "per_class": dict(scores.per_class), "n": scores.n}


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
