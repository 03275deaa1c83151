"""The commands. tyro makes the flags from the signatures; each command calls public functions and shows the result."""

import dataclasses
import functools
import hashlib
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from convarium.building import resolve
from convarium.cli.flags import given_fields, recipe_flags
from convarium.cli.terminal import download_progress, note, say, say_json, study_progress, table
from convarium.comparison import as_json as comparison_as_json
from convarium.cost import count_parameters
from convarium.data import DATASETS, check, fetch, load_data, lookup
from convarium.data.images import Splits
from convarium.data.sources import find
from convarium.describe import as_diff, as_tree, diff_as_json
from convarium.describe import as_json as description_as_json
from convarium.describe import describe as describe_model
from convarium.describe import diff as diff_models
from convarium.errors import ConvariumError, RecipeError, SpecError
from convarium.models import MODELS, PRESETS
from convarium.models.layers import ACTIVATIONS
from convarium.recipe import Recipe
from convarium.recipe_presets import RECIPES, recipe_preset
from convarium.records import ImageSpec, Scores
from convarium.report import as_csv, as_latex, as_markdown, as_rich, write_report
from convarium.spec import parse
from convarium.statistics import smallest_difference
from convarium.store import Store
from convarium.study import Study, compare_study, grid, run, train_one
from convarium.training import evaluate as evaluate_network
from convarium.weights import load_weights

TrainFlags = recipe_flags(without=["model"])
CompareFlags = recipe_flags(without=["model", "seed"])

StoreFlag = Annotated[Path, arg(help="the folder that holds runs/ and studies/", metavar="DIR")]
DataFlag = Annotated[Path | None, arg(help="where to look for data sets first", metavar="DIR")]
DeviceFlag = Annotated[str | None, arg(help="cpu, cuda or cuda:1; none: the best there is", metavar="NAME")]
JsonFlag = Annotated[bool, arg(help="print JSON, for machines", name="json")]
ModelArgument = Annotated[str, arg(metavar="MODEL")]
StudyArgument = Annotated[str, arg(metavar="STUDY")]
PresetFlag = Annotated[
    str | None, arg(help="train as a source does: memory-blog, d2l, uva …; flags beside it win", metavar="TAG")
]


def list_(
    what: Positional[Literal["models", "presets", "datasets", "activations", "recipes"]] = "models",
    *,
    as_json: JsonFlag = False,
) -> None:
    """What there is, one line each, with source and parameter count."""
    rows = _listings()[what]()
    if as_json:
        say_json(rows)
    else:
        columns = list(rows[0])
        say(
            table(
                columns,
                [[f"{v:,}" if isinstance(v, int) else v for v in row.values()] for row in rows],
                right=["parameters"],
            )
        )


def describe(
    model: Positional[Annotated[str | None, arg(metavar="MODEL")]] = None,
    *,
    dataset: str | None = None,
    diff: tuple[str, str] | None = None,
    as_json: JsonFlag = False,
) -> None:
    """A network layer by layer: name, type, output shape, parameters, FLOPs; or where two networks differ.

    Args:
        model: a network's spec.
        dataset: whose images it shall take; none: those that the preset was made for, else 1×28×28 or 3×32×32.
        diff: two specs to compare, layer by layer.
    """
    if (model is None) == (diff is None):
        raise SpecError("describe takes a MODEL, or --diff A B")
    if diff is not None:
        difference = diff_models(*diff, _native_image(diff[0], dataset))
        say_json(diff_as_json(difference)) if as_json else say(as_diff(difference))
    elif model is not None:
        described = describe_model(model, _native_image(model, dataset))
        say_json(description_as_json(described)) if as_json else say(as_tree(described))


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
        return
    if outcome.test is None:
        say(f"{planned.model} seed {planned.seed} {outcome.status}: {outcome.message}")
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


def compare(
    models: Positional[Annotated[tuple[str, ...], arg(metavar="MODEL...")]],
    *,
    recipe: OmitArgPrefixes[CompareFlags] = CompareFlags(),  # type: ignore[valid-type]  # noqa: B008  (frozen)
    seeds: int = 5,
    preset: PresetFlag = None,
    baseline: str | None = None,
    name: str | None = None,
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
    """
    if seeds < 1:
        raise RecipeError(
            "seeds is out of range", expected="at least 1", received=seeds, hint="5 or more tell something"
        )
    if not models:
        raise SpecError("compare needs at least one network", hint="try: convarium compare lenet residual_cnn")
    bases = [_recipe(model, preset, given_fields(recipe, argv)) for model in dict.fromkeys(models)]
    recipes = tuple(r for seed in range(seeds) for base in bases for r in grid(base, seed=[seed]))
    names = [base.model for base in bases]
    first = names[0] if baseline is None else str(parse(baseline))
    study = Study(
        name=name or _study_name(bases),
        question=f"How do {_and(names)} compare on {bases[0].dataset}?",
        recipes=recipes,
        baseline=first,
        command=shlex.join(["convarium", *argv]),
    )
    if len(names) > 1 and seeds > 1:
        smallest = smallest_difference(seeds, family=len(names) - 1)
        note(f"{len(recipes)} runs; {seeds} seeds each resolve {smallest:.1f} standard deviations between seeds")
    kept = Store(store)
    with study_progress() as progress:
        comparison = run(study, kept, device=device, data_dir=data_dir, progress=progress)
    page = write_report(comparison, kept.root / "studies" / study.name / "report.html")
    if as_json:
        say_json(comparison_as_json(comparison) | {"study": study.name, "report": str(page)})
        return
    say(as_rich(comparison))
    say(f"study:  {study.name}\nreport: {page}")


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
    study: Positional[StudyArgument], *, store: StoreFlag = Path(), out: Path | None = None, as_json: JsonFlag = False
) -> None:
    """A study's page: one HTML file that opens offline.

    Args:
        study: its name, see the folder studies/.
        out: the file to write; none: report.html in the study's folder.
    """
    kept = Store(store)
    comparison = compare_study(kept.study(study), kept)
    page = write_report(comparison, out or kept.root / "studies" / study / "report.html")
    say_json({"study": study, "report": str(page)}) if as_json else say(str(page))


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


def data(
    action: Positional[Literal["list", "fetch", "check"]] = "list",
    datasets: Positional[Annotated[tuple[str, ...], arg(metavar="DATASET...")]] = (),
    *,
    data_dir: DataFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """The data sets: what there is and where it lies, get them, verify them.

    Args:
        action: list, fetch or check.
        datasets: names; none: all of them.
    """
    known = {name: lookup(name) for name in datasets or DATASETS}
    rows = []
    for name, dataset in known.items():
        if action == "fetch":
            with download_progress() as progress:
                place = fetch(name, data_dir=data_dir, progress=progress)
        else:
            found = find(dataset, data_dir)
            place = check(name, data_dir=data_dir) if found and action == "check" else found and found[1]
            if action == "check" and found is None and datasets:
                check(name, data_dir=data_dir)  # says which files are missing, and where to put them
        inside = "inside scikit-learn" if not dataset.files else None
        rows.append({"dataset": name, "what": dataset.title, "place": inside or (str(place) if place else "not found")})
    say_json(rows) if as_json else say(table(list(rows[0]), [list(row.values()) for row in rows]))


def _recipe(model: str, preset: str | None, given: dict[str, object]) -> Recipe:
    fields = recipe_preset(preset, model).to_json() if preset else {"model": model}
    return Recipe(**(fields | given))


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


def _native_image(model: str, dataset: str | None) -> ImageSpec:
    if dataset is not None:
        if dataset in DATASETS:
            return DATASETS[dataset].spec
        return load_data(dataset).train.spec
    preset = resolve(model).preset
    if preset is not None:
        return preset.image
    cifar = resolve(model).name in {resolve(p.model).name for p in PRESETS.values() if p.image.channels == 3}
    return ImageSpec(3, 32, 32, 10) if cifar else ImageSpec(1, 28, 28, 10)


def _listings() -> dict[str, Callable[[], list[dict[str, object]]]]:
    def parameters(model: str) -> int:
        with torch.device("meta"):
            return count_parameters(resolve(model).build(_native_image(model, None)))

    def first_line(factory: object) -> str:
        return (getattr(factory, "__doc__", None) or "").partition("\n")[0]

    return {
        "models": lambda: [{"model": n, "parameters": parameters(n), "what": first_line(f)} for n, f in MODELS.items()],
        "presets": lambda: [{"preset": n, "parameters": parameters(n), "source": p.source} for n, p in PRESETS.items()],
        "datasets": lambda: [{"dataset": n, "what": d.title} for n, d in DATASETS.items()],
        "activations": lambda: [{"activation": n, "gain": f"{a.gain:.4f}"} for n, a in ACTIVATIONS.items()],
        "recipes": lambda: [
            {"preset": f"{tag}/{variant}".rstrip("/"), "network": network}
            for tag, networks in RECIPES.items()
            for network, variants in networks.items()
            for variant in variants
        ],
    }


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


def _deferred(command: Callable[..., None]) -> Callable[..., "functools.partial[None]"]:
    """Tyro calls what it has parsed at once; this makes it return the call instead."""

    @functools.wraps(command)
    def later(*args: object, **options: object) -> "functools.partial[None]":
        return functools.partial(command, *args, **options)

    return later


_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_,
    "describe": describe,
    "train": train,
    "compare": compare,
    "results": results,
    "report": report,
    "evaluate": evaluate,
    "data": data,
}

COMMANDS = {name: _deferred(command) for name, command in _COMMANDS.items()}
"""Name → command, in the order in which help shows them."""
