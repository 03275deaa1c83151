"""Commands that look: what there is, a network layer by layer, the data sets."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from convarium.cli.experiment_commands import experiments
from convarium.cli.options import DataFlag, JsonFlag
from convarium.cli.terminal import download_progress, say, say_json, table
from convarium.data import DATASETS, check, fetch, load_data, lookup
from convarium.data.sources import find
from convarium.errors import SpecError
from convarium.models.describe import as_diff, as_tree, diff_as_json
from convarium.models.describe import as_json as description_as_json
from convarium.models.describe import describe as describe_model
from convarium.models.describe import diff as diff_models
from convarium.models.index import ACTIVATION_GAINS, NETWORKS, PARAMETERS, PRESETS, native_image
from convarium.recipes.presets import RECIPES
from convarium.records import ImageSpec


def list_(
    what: Positional[Literal["models", "presets", "datasets", "activations", "recipes", "experiments"]] = "models",
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
    resize: int | None = None,
    diff: tuple[str, str] | None = None,
    as_json: JsonFlag = False,
) -> None:
    """A network layer by layer: name, type, output shape, parameters, FLOPs; or where two networks differ.

    Args:
        model: a network's spec.
        dataset: whose images it shall take; none: those that the preset was made for, else 1×28×28 or 3×32×32.
        resize: pixels to which the images are enlarged or reduced; none: as they are.
        diff: two specs to compare, layer by layer.
    """
    if (model is None) == (diff is None):
        raise SpecError("describe takes a MODEL, or --diff A B")
    if diff is not None:
        difference = diff_models(*diff, _image(diff[0], dataset, resize))
        say_json(diff_as_json(difference)) if as_json else say(as_diff(difference))
    elif model is not None:
        described = describe_model(model, _image(model, dataset, resize))
        say_json(description_as_json(described)) if as_json else say(as_tree(described))


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
                place = fetch(name, data_dir=data_dir, on_event=progress)
        else:
            found = find(dataset, data_dir)
            place = check(name, data_dir=data_dir) if found and action == "check" else found and found[1]
            if action == "check" and found is None and datasets:
                check(name, data_dir=data_dir)  # says which files are missing, and where to put them
        inside = "inside scikit-learn" if not dataset.files else None
        rows.append({"dataset": name, "what": dataset.title, "place": inside or (str(place) if place else "not found")})
    say_json(rows) if as_json else say(table(list(rows[0]), [list(row.values()) for row in rows]))


def _image(model: str, dataset: str | None, resize: int | None) -> ImageSpec:
    image = _native_image(model, dataset)
    if resize is None:
        return image
    if not 1 <= resize <= 1024:
        raise SpecError(f"--resize {resize} is out of range", expected="1 to 1024 pixels")
    return replace(image, height=resize, width=resize)


def _native_image(model: str, dataset: str | None) -> ImageSpec:
    if dataset is not None:
        if dataset in DATASETS:
            return DATASETS[dataset].spec
        return load_data(dataset).train.spec
    return native_image(model)


def _listings() -> dict[str, Callable[[], list[dict[str, object]]]]:
    return {
        "models": lambda: [{"model": n, "parameters": PARAMETERS[n], "what": f.summary} for n, f in NETWORKS.items()],
        "presets": lambda: [{"preset": n, "parameters": PARAMETERS[n], "source": p.source} for n, p in PRESETS.items()],
        "datasets": lambda: [{"dataset": n, "what": d.title} for n, d in DATASETS.items()],
        "activations": lambda: [{"activation": n, "gain": f"{gain:.4f}"} for n, gain in ACTIVATION_GAINS.items()],
        "experiments": experiments,
        "recipes": lambda: [
            {"preset": f"{tag}/{variant}".rstrip("/"), "network": network}
            for tag, networks in RECIPES.items()
            for network, variants in networks.items()
            for variant in variants
        ],
    }
