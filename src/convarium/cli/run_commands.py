"""Commands about one run: train it, score it."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from convarium.cli.flags import given_fields, recipe_flags
from convarium.cli.options import (
    DataFlag,
    DeviceFlag,
    JsonFlag,
    ModelArgument,
    PresetFlag,
    StoreFlag,
)
from convarium.cli.terminal import say, say_json, study_progress, table
from convarium.records import Scores
from convarium.studies.run import check_failures
from convarium.workspace import Workspace

TrainFlags = recipe_flags(without=["model"])


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
    with study_progress() as progress:
        done = Workspace(store, data_dir, device).train(
            model, preset=preset, on_event=progress, **given_fields(recipe, argv)
        )
    planned = done.recipe
    outcome = done.outcome
    if as_json:
        found = {split: getattr(outcome, split) for split in ("train", "validation", "test")}
        scores = {split: _plain(scored) for split, scored in found.items() if scored}
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
    check_failures([done])


def evaluate(
    run: Positional[Annotated[str | None, arg(metavar="RUN")]] = None,
    *,
    weights: Path | None = None,
    model: str | None = None,
    dataset: str | None = None,
    split: Literal["test", "validation", "train"] = "test",
    store: StoreFlag = Path(),
    data_dir: DataFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Scores of a stored run, or of a weights file, on a split.

    Args:
        run: a folder's name in runs/, its path, or the beginning of its key.
        weights: a file: .safetensors, a PyTorch state_dict, or a checkpoint published with a source.
        model: the network that the weights belong to; a preset brings its source's preprocessing and division.
        dataset: the images.
        split: which.
    """
    scores = Workspace(store, data_dir).evaluate(run, weights=weights, model=model, dataset=dataset, split=split)
    if as_json:
        say_json(_plain(scores))
        return
    say(f"{split} accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}, {scores.n:,} images")
    classes = [[name, "–" if accuracy is None else f"{accuracy:.2%}"] for name, accuracy in scores.per_class.items()]
    say(table(["class", "accuracy"], classes, right=["accuracy"]))


def _plain(scores: Scores) -> dict[str, object]:
    return {"accuracy": scores.accuracy, "loss": scores.loss, "per_class": dict(scores.per_class), "n": scores.n}
