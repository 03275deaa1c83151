"""fit(recipe, splits): one run from its seed to its scores. This page is the whole method.

`trainer` builds network, batches and optimizer; what makes a step fast stands in `accelerate`, `numerics` and
`cuda_graph`; what is written down, in `recording` and `checkpoint`. Runs that train together share it: see `parallel`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.data.splits import Splits
from convarium.recipes.recipe import Recipe
from convarium.recipes.schedules import parse_schedule, rate_factor
from convarium.records import Outcome
from convarium.training.checkpoint import resume
from convarium.training.class_weights import class_weights
from convarium.training.cuda_graph import capture_step
from convarium.training.loss_scaling import LossScaler
from convarium.training.numerics import at_least_float32, autocast, exact_arithmetic, preserved_generators
from convarium.training.recording import gather_steps, make_outcome, record_epoch
from convarium.training.scoring import pick_device
from convarium.training.starting import StartWeights
from convarium.training.state import EpochProgress, Step, TrainingEvent
from convarium.training.timing import Stopwatch
from convarium.training.trainer import Trainer, prepare_run

CHECKPOINT_SECONDS = 5.0  # after a step a checkpoint is written if the last one is older than this


def fit(
    recipe: Recipe,
    splits: Splits,
    *,
    device: torch.device | str | None = None,
    start: StartWeights | None = None,
    folder: Path | None = None,
    on_event: Callable[[TrainingEvent], None] | None = None,
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
        folder: where `last.ckpt` lies while the run is unfinished. A run that was killed continues from it and, in the
            same environment, ends with the same bits as a run that was never killed. None: no checkpoint is written.
        on_event: called after every step and every epoch; any exception that it raises ends the run.
        should_stop: asked after every step; where it answers True, a checkpoint is written and the run ends.
        exact: refuse to go on with a run that was begun in another environment, where the result would be recorded as
            mixed: another torch, device, processor, number of threads, kernels or code of Convarium.
        keep_weights: report the weights before the first step, and those after every so many epochs, as the `weights`
            of an event; None: none. It changes nothing else.

    Raises:
        RunError: the run was begun in another environment, with `exact`.
        TrainingStoppedError: `should_stop` answered True.
        RecipeError, ImageSizeError: the recipe does not fit the data.
    """
    stopwatch = Stopwatch()
    trainer = prepare_run(recipe, splits, pick_device(device), start=start)
    step = make_step(
        trainer.network,
        trainer.optimizers[0],
        recipe,
        trainer.generators,
        scalers=trainer.scalers,
        weights=class_weights(trainer.runs[0]),
    )
    with preserved_generators(trainer.device):
        report = None if on_event is None else (lambda _, event: on_event(event))
        train(
            trainer,
            step,
            folder=folder,
            on_event=report,
            should_stop=should_stop,
            exact=exact,
            keep_weights=keep_weights,
        )
        return make_outcome(trainer, 0, total_seconds=stopwatch.seconds)  # looks at the test split


def make_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    generators: Sequence[torch.Generator] = (),
    *,
    scalers: Sequence[LossScaler] = (),
    weights: Tensor | None = None,
) -> Step:
    """One training step on images (n, c, h, w) and labels (n,) int64. It never waits for the device.

    On CUDA it is captured as a graph, unless it scales its loss. `generators` are those that dropout draws from,
    besides PyTorch's own; `scalers`, the optimizer's loss scaler in float16, and none in other precisions; `weights`,
    of the classes in the loss, from `class_weights`: the loss is then Σ weight · loss / Σ weight over the batch.
    """
    device, scaler = next(network.parameters()).device.type, scalers[0] if scalers else None

    def step(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(recipe, device):
            logits = network(images)
        loss = F.cross_entropy(at_least_float32(logits), labels, weights, label_smoothing=recipe.label_smoothing)
        (scaler.scale(loss) if scaler else loss).backward()  # type: ignore[no-untyped-call]
        (scaler or optimizer).step()
        optimizer.zero_grad()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    if scaler:
        return step
    return capture_step(step, [*network.parameters(), *network.buffers()], [optimizer], generators)


def train(
    trainer: Trainer,
    step: Step,
    *,
    folder: Path | None = None,
    on_event: Callable[[int, TrainingEvent], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    exact: bool = False,
    keep_weights: int | None = None,
) -> None:
    """Trains to the last epoch, or to the one in which the last run diverges; `on_event` gets the run's index too."""
    recipe, epochs, steps_per_epoch = trainer.recipe, trainer.recipe.epochs, len(trainer.batches)
    schedule = parse_schedule(recipe.schedule)
    report = on_event or (lambda _, __: None)
    checkpoints = resume(
        trainer,
        folder,
        report,
        exact=exact,
        seconds=CHECKPOINT_SECONDS,
        should_stop=should_stop,
        keep_weights=keep_weights,
    )

    with exact_arithmetic(trainer.device):
        for epoch in range(trainer.finished_epochs, epochs):
            active = [index for index, run in enumerate(trainer.runs) if not run.state.diverged]
            if not active:
                break
            with trainer.epoch_context():
                progress = trainer.begin_epoch(epoch)
                steps = progress.steps
                for images, labels in trainer.batches.epoch(epoch, first=len(steps)):
                    steps_taken = epoch * steps_per_epoch + len(steps)
                    factor = rate_factor(
                        schedule, steps_taken, steps_per_epoch=steps_per_epoch, epochs=epochs, warmup=recipe.warmup
                    )
                    trainer.set_learning_rates(factor)
                    loss, correct = step(images, labels)
                    steps.append((loss, correct, labels.shape[-1]))
                    if on_event:
                        for index in active:
                            report(index, TrainingEvent(epoch, epochs, len(steps), steps_per_epoch))
                    if len(steps) < steps_per_epoch:
                        checkpoints.save_if_due()
            steps_of_run = gather_steps(steps)
            seconds = progress.seconds
            for index in active:
                event = record_epoch(
                    trainer.runs[index],
                    steps_of_run[index],
                    rate_factor=factor,
                    seconds=seconds,
                    keep_weights=keep_weights,
                )
                report(index, event)
            trainer.progress = EpochProgress()
            if epoch + 1 < epochs:
                checkpoints.save_if_due()
