"""A recipe in PyTorch Lightning: `Classifier` is the network with its training, `ImageDataModule` its images.

Both work in anyone's Trainer:

    recipe = Recipe(model="resnet@uva", dataset="cifar10", epochs=20, optimizer="sgd", learning_rate=0.1, momentum=0.9)
    data = ImageDataModule(recipe)
    trainer = lightning.Trainer(max_epochs=recipe.epochs)
    trainer.fit(Classifier(recipe, data.image), data)
    trainer.test(ckpt_path="best", datamodule=data)

The parts are those of CIFARModule in UvA Deep Learning tutorial 5; the numbers are those of `training.fit`: the same
initial weights, permutations, augmentations, learning rates and steps. `lightning_engine` trains runs of a store so.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.errors import RecipeError
from convarium.models.build import build_model
from convarium.models.weight_files import read_weight_file
from convarium.models.weights import fitting_weights
from convarium.recipes.recipe import Recipe, recipe_from_json
from convarium.recipes.schedules import parse_schedule, rate_factor
from convarium.records import ImageSpec
from convarium.runs.tensorboard import EventLog
from convarium.seeding import derive_seed
from convarium.training.class_weights import balanced_weights
from convarium.training.engines import without_lightning
from convarium.training.freezing import freeze
from convarium.training.lightning_data import PADDING, Batch, ImageDataModule
from convarium.training.numerics import (
    at_least_float32,
    autocast,
    default_generators,
    seed_generators,
    set_memory_format,
)
from convarium.training.optimizers import make_optimizer
from convarium.training.starting import StartWeights, set_start

try:
    from lightning.pytorch import Callback, LightningModule
    from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
    from lightning.pytorch.loggers import TensorBoardLogger
except ModuleNotFoundError as error:
    raise without_lightning() from error

__all__ = ["Classifier", "ImageDataModule"]

MONITORED = "validation_accuracy"

_PROGRESS = "convarium"
"""Under what name Lightning's checkpoints have what they lack otherwise."""


class Classifier(LightningModule):  # type: ignore[misc]
    """A network and how its recipe trains it.

    It logs `train_loss` and `train_accuracy` (running means of an epoch, while the weights change), and the loss and
    accuracy of validation and test, over all images of all devices.

    A Trainer that writes checkpoints keeps the best by validation accuracy and the last, unless it was given a
    ModelCheckpoint of one's own. One that has a logger also logs learning rates, hyper-parameters and, in TensorBoard,
    the network's graph.

    Args:
        recipe: what to train, as a `Recipe` or as the fields of one. A recipe in float16 needs a Trainer with
            precision="16-mixed"; all others need none, since bfloat16 is computed here.
        image: the images that the network takes, as an `ImageSpec` or as its fields: `ImageDataModule.image`.
        start: the weights that `recipe.start_from` names, from `read_start`.
        class_weights: how much each class counts in the training loss, from `balanced_weights`; None: found in the
            labels of an `ImageDataModule`, where the recipe balances classes.

    Raises:
        RecipeError, ImageSizeError: the recipe does not exist, or its network cannot take such images.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        recipe: Recipe | Mapping[str, Any],
        image: ImageSpec | Mapping[str, int],
        *,
        start: StartWeights | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.recipe = recipe if isinstance(recipe, Recipe) else recipe_from_json(dict(recipe))
        self.image = image if isinstance(image, ImageSpec) else ImageSpec(**image)
        self.save_hyperparameters({"recipe": self.recipe.to_json(), "image": dataclasses.asdict(self.image)})
        self.network = build_model(self.recipe.model, self.image, seed=derive_seed(self.recipe.seed, "init"))
        self.has_started = self.recipe.start_from is None or start is not None
        if start is not None:
            set_start(self.network, self.recipe, start)
        freeze(self.network.train(), self.recipe)
        weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=self._dtype_of_weights())
        self.register_buffer("class_weights", weights, persistent=False)
        self.example_input_array = torch.zeros(2, self.image.channels, self.image.height, self.image.width)
        self._totals: dict[str, Tensor] = {}
        self._progress: dict[str, Any] | None = None

    def load_weights(self, path: str | Path) -> None:
        """Copies the weights of a file into the network: of a stored run, a state dict, a checkpoint of this class, or
        one that UvA tutorial 5 publishes. Reading it runs no code.

        Raises:
            WeightsError: the file is missing, damaged or unsafe, or does not fit the network.
        """
        self.network.load_state_dict(fitting_weights(read_weight_file(path), self.network, self.recipe.model))
        self.has_started = True

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, c, h, w) → logits (n, classes)."""
        logits: Tensor = self.network(images)
        return logits

    def configure_optimizers(self) -> dict[str, Any]:
        """The recipe's optimizer, with its schedule as a factor of the learning rate in every step."""
        optimizer, recipe = make_optimizer(self.network, self.recipe), self.recipe
        factor = partial(
            rate_factor,
            parse_schedule(recipe.schedule),
            steps_per_epoch=self._steps_per_epoch(),
            epochs=recipe.epochs,
            warmup=recipe.warmup,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def go_to_step(self, step: int) -> None:
        """Sets the learning rate to that of a step, counted from 0 over all epochs."""
        schedule = self.lr_schedulers()
        schedule.last_epoch = step
        for group, rate, factor in zip(
            schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
        ):
            group["lr"] = rate * factor(step)

    def configure_callbacks(self) -> list[Callback]:
        """Learning rates in the log, and the checkpoints that the class's docstring names."""
        trainer, callbacks = self.trainer, list[Callback]()
        if trainer.loggers:
            callbacks.append(LearningRateMonitor("epoch"))
        by_default = ModelCheckpoint()
        if [(c.state_key, getattr(c, "dirpath", None)) for c in trainer.checkpoint_callbacks] == [
            (by_default.state_key, None)
        ]:
            data = trainer.datamodule
            has_validation = not isinstance(data, ImageDataModule) or len(data.splits.validation) > 0
            monitor = MONITORED if has_validation else None  # then the last is the best that is known
            callbacks.append(ModelCheckpoint(monitor=monitor, mode="max", save_last=True))
        return callbacks

    def setup(self, stage: str) -> None:
        """Lays the network out as the recipe trains fastest, and finds the weights of the classes.

        Raises:
            RecipeError: the Trainer does not fit the recipe, or something that the recipe names is missing.
        """
        recipe, trainer = self.recipe, self.trainer
        set_memory_format(self.network, recipe, trainer.strategy.root_device)
        if stage != "fit":
            return
        if recipe.class_weights == "balanced" and self.class_weights is None:
            if not isinstance(trainer.datamodule, ImageDataModule):
                hint = "pass class_weights=balanced_weights(labels, classes=n), see convarium.training.class_weights"
                raise RecipeError("the recipe balances the classes, and their numbers are not known", hint=hint)
            labels = trainer.datamodule.splits.train.labels
            self.class_weights = balanced_weights(labels, classes=self.image.classes).to(self._dtype_of_weights())
        if recipe.precision == "float16" and trainer.precision != "16-mixed":
            hint = 'lightning.Trainer(precision="16-mixed")'
            raise RecipeError("a recipe in float16 needs a scaled loss", received=trainer.precision, hint=hint)

    def on_fit_start(self) -> None:
        """Checks that what is to be trained is complete, and writes the network's graph for TensorBoard.

        Raises:
            RecipeError: the weights to start from are missing, or the Trainer has more epochs than the recipe.
        """
        recipe, trainer = self.recipe, self.trainer
        if not self.has_started:
            hint = "pass start=read_start(recipe, splits), see convarium.training"
            raise RecipeError("the weights that the recipe starts from were not read", hint=hint)
        is_endless = trainer.max_epochs == -1 and trainer.max_steps == -1
        if is_endless or (trainer.max_epochs or 0) > recipe.epochs:
            hint = "lightning.Trainer(max_epochs=recipe.epochs)"
            expected = f"at most {recipe.epochs}, as the recipe and its schedule say"
            raise RecipeError("the Trainer has another number of epochs", expected=expected, hint=hint)
        for logger in trainer.loggers:
            if trainer.is_global_zero and isinstance(logger, TensorBoardLogger):
                EventLog(logger.experiment).graph(build_model(recipe.model, self.image), self.image)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what an epoch needs to go on after any of its steps."""
        checkpoint[_PROGRESS] = {
            "totals": self._totals,
            "generators": [generator.get_state() for generator in self._generators()],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes what `on_save_checkpoint` has added; the weights are those to go on from."""
        self.has_started = True
        self._progress = checkpoint.get(_PROGRESS)

    def on_train_start(self) -> None:
        """Goes on with an epoch in whose middle a checkpoint was written."""
        if self._progress is not None:
            self._totals = {name: total.to(self.device) for name, total in self._progress["totals"].items()}
            for generator, state in zip(self._generators(), self._progress["generators"], strict=False):
                generator.set_state(state)
        self._progress = None

    def on_train_epoch_start(self) -> None:
        """Seeds dropout, so that an epoch's masks depend on seed and epoch alone."""
        self._begin("train")
        seed_generators(derive_seed(self.recipe.seed, "dropout", self.trainer.current_epoch), self.device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's
        """Seeds dropout on all devices but the first, whose masks shall be others than those of the first."""
        rank, step = self.trainer.global_rank, self.lr_schedulers().last_epoch
        if rank:
            seed_generators(derive_seed(self.recipe.seed, f"dropout/{rank}", step), self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002 - Lightning's
        """Loss and number of correct predictions of a batch, of which every device has a part.

        The mean over the devices' gradients is the gradient of the mean over the batch, also where the parts are not
        equally large.

        Returns:
            loss: to be minimized here; mean_loss: of the whole batch; correct, images: numbers of the whole batch.
        """
        images, labels = batch
        with autocast(self.recipe, self.device.type):
            logits = self(images)
        logits, correct = at_least_float32(logits), (logits.detach().argmax(1) == labels).sum()
        cross_entropy = partial(
            F.cross_entropy, logits, labels, self.class_weights, label_smoothing=self.recipe.label_smoothing
        )
        if self.trainer.world_size == 1:
            loss = mean_loss = cross_entropy()
            counted = torch.full((), len(labels), device=self.device)
        else:
            loss = cross_entropy(reduction="sum")
            is_image = labels != PADDING
            weight = is_image.sum()
            if self.class_weights is not None:
                weight = (self.class_weights[labels.clamp(min=0)] * is_image).sum()
            part = torch.stack([loss.detach(), weight.to(loss.dtype), correct.to(loss.dtype), is_image.sum().to(loss)])
            total = self.sum_over_devices(part)
            loss, mean_loss = loss * (self.trainer.world_size / total[1]), total[0] / total[1]
            correct, counted = total[2].round().long(), total[3].round().long()
        self._add("train", mean_loss.detach() * counted, correct, counted)
        return {"loss": loss, "mean_loss": mean_loss.detach(), "correct": correct, "images": counted}

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's running means."""
        self._log("train")

    def on_validation_epoch_start(self) -> None:
        """Begins to count."""
        self._begin("validation")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's
        """Counts the loss and the correct predictions of a batch."""
        self._score("validation", batch)

    def on_validation_epoch_end(self) -> None:
        """Logs loss and accuracy over the images of all devices."""
        self._log("validation")

    def on_test_epoch_start(self) -> None:
        """Begins to count."""
        self._begin("test")

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's
        """Counts the loss and the correct predictions of a batch."""
        self._score("test", batch)

    def on_test_epoch_end(self) -> None:
        """Logs loss and accuracy over the images of all devices."""
        self._log("test")

    def predict_step(self, batch: Tensor | Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's
        """Logits (n, classes) of images, given with or without labels."""
        logits: Tensor = self(batch if isinstance(batch, Tensor) else batch[0])
        return logits

    def sum_over_devices(self, numbers: Tensor) -> Tensor:
        """The sums of what each device has, without the barriers of Lightning's own function."""
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(numbers)
        return numbers

    def _score(self, split: str, batch: Batch) -> None:
        images, labels = batch
        with torch.autocast(self.device.type, enabled=False):  # scores are computed in float32, as `evaluate` does
            logits = at_least_float32(self(images))
        loss = F.cross_entropy(logits, labels, reduction="sum")
        self._add(split, loss, (logits.argmax(1) == labels).sum(), (labels != PADDING).sum())

    def _begin(self, split: str) -> None:
        dtype = torch.float32 if self.device.type == "mps" else torch.float64  # which an Apple GPU does not have
        self._totals[split] = torch.zeros(3, dtype=dtype, device=self.device)

    def _add(self, split: str, *numbers: Tensor) -> None:
        """Adds a batch's loss, correct predictions and images; it never waits for the device."""
        total = self._totals[split]
        total += torch.stack([number.to(total) for number in numbers])

    def _log(self, split: str) -> None:
        total = self._totals[split]
        if split != "train":  # a training step has the numbers of all devices
            total = self.sum_over_devices(total.clone())
        for name, number in (("loss", total[0]), ("accuracy", total[1])):
            self.log(f"{split}_{name}", (number / total[2]).float(), prog_bar=name == "accuracy")

    def _generators(self) -> list[torch.Generator]:
        return [torch.default_generator, *default_generators(self.device)]

    def _dtype_of_weights(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def _steps_per_epoch(self) -> int:
        """The optimizer's steps in an epoch, on which the schedule depends."""
        trainer = self.trainer
        if isinstance(trainer.datamodule, ImageDataModule) and trainer.limit_train_batches == 1.0:
            # Loaders that are made now would not take what a checkpoint says of them, which is read later.
            batches = trainer.datamodule.steps_per_epoch
        else:
            trainer.fit_loop.setup_data()
            batches = trainer.num_training_batches
        if batches == math.inf:
            raise RecipeError("the number of batches in an epoch is not known", hint="give the data loader a length")
        return math.ceil(int(batches) / int(trainer.accumulate_grad_batches))
