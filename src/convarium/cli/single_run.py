"""Commands about one run: train it, score it."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from convarium.chance import predicts_at_chance
from convarium.characters import one_line
from convarium.cli import completion, parameters
from convarium.cli.next_steps import say_steps
from convarium.cli.nodes import has_served
from convarium.cli.parameters import given_fields, one_of, recipe_flags
from convarium.cli.progress import image_progress, study_progress
from convarium.cli.terminal import note, say, say_json, say_line, say_wrapped, table
from convarium.errors import RunError
from convarium.recipes.starting import describe_beginning

if TYPE_CHECKING:
    from convarium.records import Scores
    from convarium.runs.store import StoredRun
    from convarium.studies.events import StudyEvent
    from convarium.training.engines import LightningEngine

_NOT_FINITE = "the network's logits are not finite"
_AT_CHANCE = "at chance: it does no better than always naming the largest class"


@click.command()
@click.argument("model", metavar="MODEL", shell_complete=completion.models)
@recipe_flags(without=["model"])
@parameters.preset
@parameters.minutes
@parameters.keep_weights
@parameters.engine
@parameters.exact
@parameters.store
@parameters.data_dir
@parameters.device
@parameters.as_json
@click.pass_context
def train(
    context: click.Context,
    /,
    model: str,
    *,
    preset: str | None,
    minutes: float | None,
    keep_weights: int | None,
    engine: "LightningEngine | None",
    exact: bool,
    store: Path,
    data_dir: Path | None,
    device: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Trains one network once.

    With a live progress bar. A run that the store already has is reused. MODEL is a network's spec: lenet,
    "resnet(depth=56)", resnet@uva, my_package.my_module:factory.
    """
    if has_served(engine, data_dir, device):
        return
    from convarium.workspace import Workspace, planned_recipe

    recipe = planned_recipe(model, preset, given_fields(fields, context))
    note(f"reading {recipe.dataset} …")
    trained = True

    def listen(event: "StudyEvent") -> None:
        nonlocal trained
        trained = event.trained_now if event.finished else trained
        on_event(event)

    with study_progress() as on_event:
        done = Workspace(store, data_dir, device).train(
            recipe, exact=exact, minutes=minutes, keep_weights=keep_weights, engine=engine, on_event=listen
        )
    if not trained:
        note(f"nothing was trained: the store has this run already ({done.path.name})")
    outcome = done.outcome
    if as_json:
        from convarium.runs.json_forms import history_to_json

        scored = {split: getattr(outcome, split) for split in ("train", "validation", "test")}
        scores = {split: _plain(scores) for split, scores in scored.items() if scores}
        facts = {"run": str(done.path), "key": done.key, "status": outcome.status, "message": outcome.message}
        facts |= {
            "mixed": done.mixed_reason,
            "start_from": done.recipe.start_from,
            "freeze": done.recipe.freeze,
        }
        history = history_to_json(outcome.history)
        say_json(
            facts
            | {
                "at_chance": outcome.is_at_chance,
                "skipped_steps": outcome.skipped_steps,
                "scores": scores,
                "cost": outcome.cost and dataclasses.asdict(outcome.cost),
                "history": history,
            }
        )
    elif done.result is None:
        say_line(one_line(f"{recipe.model} seed {recipe.seed} {outcome.status}: {outcome.message}"))
        say(one_line(f"run: {done.path}"))
    else:
        marks = " (test watched)" if recipe.watch_test else ""
        marks = " (selected on test)" if recipe.select == "best_test" else marks
        if recipe.test == "none":
            marks = " (selected on validation)" if recipe.select == "best_validation" else ""
        has_both = outcome.validation is not None and outcome.test is not None
        validation = (
            f", validation {100 * outcome.validation.accuracy:.2f} %" if outcome.validation and has_both else ""
        )
        say_line(
            f"{recipe.model} on {recipe.dataset}, seed {recipe.seed}, epoch {outcome.selected_epoch}: "
            f"{done.result_split} accuracy {100 * done.result.accuracy:.2f} % of {done.result.n:,} images"
            f"{marks}{validation}"
        )
        for line in _remarks(done):
            say_line(line)
        if outcome.cost:
            say_line(f"{outcome.cost.train_seconds:.1f} s of training, {outcome.cost.images_per_second:,.0f} images/s")
        say(one_line(f"run: {done.path}"))
    beginning = describe_beginning(done.recipe.start_from, done.recipe.freeze)
    if beginning and not as_json:
        say_line(one_line(beginning))
    if outcome.skipped_steps and not as_json:
        say_line(
            f"{outcome.skipped_steps:,} of {outcome.history[-1].steps:,} steps changed no weight: a gradient overflowed"
        )
    if done.is_mixed and not as_json:
        say_line(f"mixed: it was interrupted and went on in another environment ({done.mixed_reason})")
    if not done.has_digest and not as_json:
        say_line("the record of this run has no digest of its own: an older Convarium made it")
    if done.result is not None and not as_json:
        in_store = [] if store == Path() else ["--store", str(store)]
        names = {"score it": "evaluate", "export it": "export"}
        say_steps({title: ["convarium", verb, done.path.name, *in_store] for title, verb in names.items()})
    check_failed([done])


@click.command()
@click.argument("run", required=False, metavar="[RUN]", shell_complete=completion.runs)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights to score: weights.safetensors of a run, a PyTorch state_dict, or a checkpoint.",
)
@click.option(
    "--model",
    metavar="MODEL",
    shell_complete=completion.models,
    help="Network that the weights belong to; a preset brings its source's preprocessing and division. Beside a RUN "
    "whose network is your own: import it although its source is not the one that the run was made with.",
)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completion.datasets,
    help="Images that are scored. Beside a RUN: others than its own, preprocessed as its own were, with classes of the "
    "same names. If they are not divided into splits, all of them are scored.",
)
@click.option(
    "--split",
    help="Split that is scored; by default the test images, or those for validation of a run that has no others.",
    **one_of("split", ("test", "validation", "train")),
)
@parameters.switch("skip-broken", help="Leave out images beside a RUN that cannot be read.")
@parameters.store
@parameters.data_dir
@parameters.as_json
def evaluate(
    run: str | None,
    *,
    weights: Path | None,
    model: str | None,
    dataset: str | None,
    split: Literal["test", "validation", "train"] | None,
    skip_broken: bool,
    store: Path,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Scores a stored run or a weights file on a split.

    RUN is the name of a folder in runs/, its path, or the beginning of its key.
    """
    from convarium.metrics import balanced_accuracy, macro_f1
    from convarium.workspace import Workspace

    notes: list[str] = []
    workspace = Workspace(store, data_dir)
    if split is None:
        split = "test" if run is None or dataset is not None else workspace.find_run(run).result_split
    with image_progress() as on_event:
        scores = workspace.evaluate(
            run,
            weights=weights,
            model=model,
            dataset=dataset,
            split=split,
            skip_broken=skip_broken,
            on_note=notes.append,
            on_event=on_event,
        )
    if as_json:
        say_json(_plain(scores) | {"notes": notes})
        return
    loss = f"loss {scores.loss:.4f}" if math.isfinite(scores.loss) else f"no loss: {_NOT_FINITE}"
    say_line(f"{split} accuracy {100 * scores.accuracy:.2f} %, {loss}, {scores.n:,} images")
    balanced, f1 = balanced_accuracy(scores.confusion), macro_f1(scores.confusion)
    say_line(f"balanced accuracy {100 * balanced:.2f} %, macro F1 {100 * f1:.2f} %")
    if predicts_at_chance(scores.confusion):
        say_line(_AT_CHANCE)
    classes = [
        [name, "–" if accuracy is None else f"{100 * accuracy:.2f} %"] for name, accuracy in scores.per_class.items()
    ]
    say(table(["class", "accuracy"], classes, right=["accuracy"]))
    for text in notes:
        say_wrapped(one_line(f"note: {text}"), indent="  ")


def check_failed(runs: "Sequence[StoredRun]") -> None:
    """Raises an error if one of the runs ended in an error.

    Raises:
        RunError: says how many runs failed.
    """
    failed = sum(run.outcome.status == "failed" for run in runs)
    if failed:
        wrong = "the run failed" if len(runs) == 1 else f"{failed} of {len(runs)} runs failed"
        raise RunError(wrong, hint="mend what the note above names and give the same command again, which retries it")


def _remarks(run: "StoredRun") -> list[str]:
    """What the accuracy of a finished run does not say: that of rare classes, and whether it is above chance."""
    from convarium.analysis.comparison import METRICS, primary_metric
    from convarium.analysis.comparison.still_learning import still_learning

    lines = []
    metric, reason = primary_metric([run])
    value = METRICS[metric].measure(run)
    if METRICS[metric].of_counts is not None and value is not None:
        lines.append(f"{METRICS[metric].title} {100 * value:.2f} %: {reason}")
    if run.outcome.is_at_chance is None:
        lines.append("whether it learned anything cannot be told: even the largest set that was scored is too small")
    elif run.outcome.is_at_chance:
        lines.append(_AT_CHANCE)
    learning = still_learning("it", [run])
    return [*lines, f"{learning}: longer training may give more"] if learning else lines


def _plain(scores: "Scores") -> dict[str, object]:
    from convarium.metrics import balanced_accuracy, macro_f1

    plain = {
        "accuracy": scores.accuracy,
        "balanced_accuracy": balanced_accuracy(scores.confusion),
        "macro_f1": macro_f1(scores.confusion),
        "loss": scores.loss,
        "per_class": dict(scores.per_class),
        "n": scores.n,
        "at_chance": predicts_at_chance(scores.confusion),
    }
    return plain if math.isfinite(scores.loss) else plain | {"loss": None, "message": _NOT_FINITE}
