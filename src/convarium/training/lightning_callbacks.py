"""What a device does while Lightning trains a run: it goes on from the first one's checkpoint and keeps its steps.

The first device records, reports and writes checkpoints as the native loop does.
"""

import dataclasses
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from convarium import kernels
from convarium.recipes.schedules import parse_schedule, rate_factor
from convarium.records import Environment
from convarium.runs.environment import environment
from convarium.training.checkpoint import Checkpoints, resume
from convarium.training.checkpoint_content import check_content, gather_content
from convarium.training.engines import LightningEngine
from convarium.training.lightning_ranks import Job
from convarium.training.lightning_signals import take_signals_back
from convarium.training.loop import CHECKPOINT_SECONDS
from convarium.training.loss_scaling import loss_scalers
from convarium.training.recording import gather_steps, record_epoch
from convarium.training.state import EpochProgress, TrainingEvent, TrainingRun
from convarium.training.trainer import Trainer


class DeviceCallback(pl.Callback):  # type: ignore[misc]
    """Sets a device to where the run goes on, and keeps what is known of its steps.

    Args:
        job: what is trained.
        device: this one.
    """

    def __init__(self, job: Job, device: torch.device) -> None:
        self.job, self.device = job, device
        self.trainer: Trainer | None = None
        self._scale_before = torch.empty(0)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Takes the optimizer that Lightning has made, and goes on from a checkpoint of the first device."""
        recipe, splits = self.job.recipe, self.job.splits
        take_signals_back()
        scalers = loss_scalers(recipe, trainer.optimizers)
        own = self.trainer = Trainer(
            runs=[TrainingRun(recipe, splits, module.network, self.device)],
            network=module.network,
            batches=trainer.train_dataloader.batches,
            optimizers=trainer.optimizers,
            learning_rates=[recipe.learning_rate],
            scalers=scalers,
            environment=environment_with(self.job.engine, self.device),
        )
        if scalers:
            trainer.precision_plugin.scaler = scalers[0].scaler
        self.resume(own)
        if trainer.world_size > 1:
            goes_on = bool(own.finished_epochs or own.progress.steps)
            content = trainer.strategy.broadcast(gather_content(own) if goes_on else None)
            if content is not None and not trainer.is_global_zero:
                for load in check_content(own, *content):
                    load()
        epoch, steps = own.finished_epochs, len(own.progress.steps)
        trainer.datamodule.first = epoch, steps
        progress = trainer.fit_loop.epoch_progress.current
        progress.ready = progress.started = progress.processed = progress.completed = epoch
        module.go_to_step(epoch * len(own.batches) + steps)
        trainer.should_stop = own.runs[0].state.diverged

    def resume(self, own: Trainer) -> None:
        """Reads the checkpoint, on the first device."""

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Begins the epoch with its first batch, which may not be the first of the epoch."""
        assert self.trainer
        if batch_idx == 0:
            self.trainer.begin_epoch(trainer.current_epoch)
        for scaler in self.trainer.scalers:
            self._scale_before = scaler.scale(scaler.one)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Keeps the step's loss and its number of correct predictions."""
        own = self.trainer
        assert own
        for scaler in own.scalers:
            scaler.skipped += scaler.scale(scaler.one) < self._scale_before
        steps, recipe = own.progress.steps, self.job.recipe
        size = min(recipe.batch_size, len(self.job.splits.train) - len(steps) * recipe.batch_size)
        steps.append((outputs["mean_loss"], outputs["correct"], size))

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:  # noqa: ARG002
        """Ends the run on every device where it has diverged."""
        own = self.trainer
        assert own
        (steps,) = gather_steps(own.progress.steps)
        trainer.should_stop = not bool(torch.isfinite(steps.losses).all())
        own.progress = EpochProgress()


class RecordingCallback(DeviceCallback):
    """That of the first device: it records, reports, and writes the checkpoints of all of them.

    Args:
        job, device: as for `DeviceCallback`.
        folder, on_event, should_stop, exact, keep_weights: as for `fit`.
    """

    def __init__(
        self,
        job: Job,
        device: torch.device,
        *,
        folder: Path | None,
        on_event: Callable[[TrainingEvent], None] | None,
        should_stop: Callable[[], bool] | None,
        exact: bool,
        keep_weights: int | None,
    ) -> None:
        super().__init__(job, device)
        self.keep_weights = keep_weights
        self.folder, self.should_stop, self.exact = folder, should_stop, exact
        self.on_event = on_event or (lambda _: None)
        self.checkpoints: Checkpoints | None = None

    def resume(self, own: Trainer) -> None:
        """Goes on from the checkpoint in the folder, if there is one."""
        self.checkpoints = resume(
            own,
            self.folder,
            lambda _, event: self.on_event(event),
            exact=self.exact,
            seconds=CHECKPOINT_SECONDS,
            should_stop=self.should_stop,
            keep_weights=self.keep_weights,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Reports the step, and writes a checkpoint from time to time."""
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)
        assert self.trainer
        done, of = len(self.trainer.progress.steps), len(self.trainer.batches)
        self.on_event(TrainingEvent(trainer.current_epoch, self.job.recipe.epochs, done, of))
        if done < of:
            self._save_if_due()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Scores the network and records the epoch."""
        own, recipe, epoch = self.trainer, self.job.recipe, trainer.current_epoch
        assert own
        seconds = own.progress.seconds
        (steps,) = gather_steps(own.progress.steps)
        super().on_train_epoch_end(trainer, module)
        factor = rate_factor(
            parse_schedule(recipe.schedule),
            (epoch + 1) * len(own.batches) - 1,
            steps_per_epoch=len(own.batches),
            epochs=recipe.epochs,
            warmup=recipe.warmup,
        )
        event = record_epoch(own.runs[0], steps, rate_factor=factor, seconds=seconds, keep_weights=self.keep_weights)
        self.on_event(event)
        if epoch + 1 < recipe.epochs:
            self._save_if_due()

    def _save_if_due(self) -> None:
        assert self.checkpoints
        self.checkpoints.save_if_due()


def environment_with(engine: LightningEngine, device: torch.device) -> Environment:
    """The environment of a run that Lightning trains, with PyTorch's own kernels."""
    name = f"Lightning {metadata.version('lightning')}"
    if engine.world_size > 1:
        nodes = f" of {engine.nodes} nodes" if engine.nodes > 1 else ""
        name += f" on {engine.world_size} devices{nodes}"
    return dataclasses.replace(environment(device), kernels=kernels.TORCH, engine=name)
