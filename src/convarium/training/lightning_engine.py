"""`fit_with_lightning`: one run from its seed to its scores, as `loop.fit`, with the steps in Lightning's Trainer.

What is recorded, what a checkpoint holds and when training stops are the native loop's own; so a run may go on in the
other engine, and is marked as mixed. The first device does this in the process that calls; the others obey.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.environments import LightningEnvironment

from convarium.data.splits import Splits
from convarium.errors import RecipeError
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome
from convarium.training.engines import LightningEngine
from convarium.training.lightning import Classifier, ImageDataModule
from convarium.training.lightning_callbacks import DeviceCallback, RecordingCallback
from convarium.training.lightning_nodes import other_ranks
from convarium.training.lightning_ranks import Job
from convarium.training.lightning_signals import own_signals
from convarium.training.numerics import exact_arithmetic, preserved_generators
from convarium.training.recording import make_outcome
from convarium.training.scoring import pick_device
from convarium.training.starting import StartWeights
from convarium.training.state import TrainingEvent
from convarium.training.timing import Stopwatch


def fit_with_lightning(
    recipe: Recipe,
    splits: Splits,
    *,
    engine: LightningEngine,
    device: torch.device | str | None = None,
    start: StartWeights | None = None,
    folder: Path | None = None,
    on_event: Callable[[TrainingEvent], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    exact: bool = False,
    keep_weights: int | None = None,
) -> Outcome:
    """Trains one recipe with Lightning and scores it; arguments, result and errors are those of `loop.fit`.

    Args:
        recipe, splits, device, start, folder, on_event, should_stop, exact, keep_weights: as for `fit`.
        engine: the devices, and how they are combined.

    Raises:
        RecipeError: besides, one device is named where several are asked for.
        RunError: besides, another device's process has ended.
    """
    stopwatch, device = Stopwatch(), pick_device(device)
    if engine.devices > 1 and device.index:
        hint = "leave out --device, and name the GPUs in CUDA_VISIBLE_DEVICES"
        raise RecipeError(f"{device} is one device, and {engine.devices} were asked for", hint=hint)
    job = Job(recipe, splits, engine, device.type, start)
    callback = RecordingCallback(
        job,
        device,
        folder=folder,
        on_event=on_event,
        should_stop=should_stop,
        exact=exact,
        keep_weights=keep_weights,
    )
    with preserved_generators(device), exact_arithmetic(device):
        with other_ranks(job, should_stop or (lambda: False)):
            network = train_rank(job, device, callback)
        network.to(device)  # Lightning leaves it on the CPU
        assert callback.trainer
        return make_outcome(callback.trainer, 0, total_seconds=stopwatch.seconds)


def train_rank(job: Job, device: torch.device, callback: DeviceCallback) -> torch.nn.Module:
    """Trains on one device, together with the others of a job; returns the network.

    Raises:
        Exception: whatever `callback` raises; KeyboardInterrupt after Ctrl-C.
    """
    recipe, engine = job.recipe, job.engine
    data = ImageDataModule(recipe, job.splits)
    classifier = Classifier(recipe, data.image, start=job.start)
    is_cuda = device.type == "cuda"
    plugins: list[Any] = [LightningEnvironment()]
    if recipe.precision == "float16":
        plugins.append(MixedPrecision("16-mixed", device.type))
    with _quiet(), own_signals():
        trainer = pl.Trainer(
            accelerator="gpu" if is_cuda else device.type,
            devices=[device.index or 0] if is_cuda and engine.devices == 1 else engine.devices,
            num_nodes=engine.nodes,
            strategy="ddp" if engine.strategy == "auto" and engine.world_size > 1 else engine.strategy,
            plugins=plugins,
            max_epochs=recipe.epochs,
            callbacks=[callback],
            logger=False,  # the run's own files have all of it
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,  # the first device scores, as the native loop does
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(classifier, data)
        except SystemExit as end:  # what Lightning makes of Ctrl-C
            if isinstance(end.__context__, KeyboardInterrupt):
                raise end.__context__ from None
            raise
    return classifier.network


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, Lightning says nothing of what it is set to here."""
    logs = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels, threads = [log.level for log in logs], torch.get_num_threads()
    try:
        for log in logs:
            log.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            warnings.filterwarnings("ignore", message=".*LeafSpec")  # of PyTorch, which Lightning still uses
            yield
    finally:
        torch.set_num_threads(threads)  # which Lightning divides among the processes of a machine
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
