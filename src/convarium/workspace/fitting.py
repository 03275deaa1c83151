"""`convarium.fit`: one run without a store, with its progress."""

from collections.abc import Callable
from pathlib import Path

import torch

from convarium.data.splits import Splits
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome
from convarium.runs.store import StoredRun
from convarium.studies.events import StudyEvent
from convarium.training import StartWeights, TrainingEvent
from convarium.training.loop import fit as fit_run
from convarium.workspace.progress import with_progress


def fit(
    recipe: Recipe,
    splits: Splits,
    *,
    device: torch.device | str | None = None,
    start: StartWeights | None = None,
    folder: Path | None = None,
    on_event: Callable[[TrainingEvent], None] | None = None,
    progress: bool | None = None,
    should_stop: Callable[[], bool] | None = None,
    exact: bool = False,
    keep_weights: int | None = None,
) -> Outcome:
    """Trains one recipe and scores it. The test split is read once, at the end, unless the recipe watches it.

    Args:
        recipe: what to train.
        splits: from `load_data(recipe.dataset, validation=recipe.validation, resize=recipe.resize)`.
        device: where to train; None: on CUDA if it is available, else on the CPU.
        start: the weights that `recipe.start_from` names, from `read_start`; None where it names none.
        folder: where `last.ckpt` lies while the run is unfinished, which goes on from there. None: no checkpoint.
        on_event: called after every step and every epoch; any exception that it raises ends the run.
        progress: show how it goes: a bar in a notebook, lines on standard error elsewhere. None: in notebooks
            alone.
        should_stop: asked after every step; where it answers True, a checkpoint is written and the run ends.
        exact: refuse to go on with a run that was begun in another environment.
        keep_weights: give `on_event` the weights before the first step, and those after every so many epochs.

    Raises:
        RunError: the run was begun in another environment, with `exact`.
        TrainingStoppedError: `should_stop` answered True.
        RecipeError, ImageSizeError: the recipe does not fit the data.
    """
    show = with_progress(None, False if progress is None and on_event else progress)

    def tell(event: TrainingEvent) -> None:
        if on_event:
            on_event(event)
        if show and (event.history or not event.weights):
            show(StudyEvent(1, 1, recipe, training=None if event.notice else event, notice=event.notice))

    outcome = fit_run(
        recipe,
        splits,
        device=device,
        start=start,
        folder=folder,
        on_event=tell if on_event or show else None,
        should_stop=should_stop,
        exact=exact,
        keep_weights=keep_weights,
    )
    if show:
        show(StudyEvent(1, 1, recipe, finished=StoredRun(recipe.key(splits.digest), Path(), recipe, outcome)))
    return outcome
