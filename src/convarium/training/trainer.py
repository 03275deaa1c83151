"""What the training loop works with, set up from a recipe: network, batches, optimizer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Protocol

import torch
from torch import Tensor, nn

from convarium.data.batches import Batches
from convarium.data.splits import Splits
from convarium.data.transforms import normalization
from convarium.errors import RecipeError
from convarium.models.build import build_model, trains_on_one_image
from convarium.recipes.recipe import Recipe
from convarium.records import Environment
from convarium.runs.environment import environment
from convarium.seeding import derive_seed
from convarium.training.accelerate import accelerate
from convarium.training.freezing import freeze
from convarium.training.loss_scaling import LossScaler, loss_scalers
from convarium.training.numerics import is_channels_last, seed_generators, set_memory_format
from convarium.training.optimizers import make_optimizer, merged_memory, set_learning_rate
from convarium.training.starting import StartWeights, set_start
from convarium.training.state import EpochProgress, TrainingRun
from convarium.training.stopping import stop_on_signals
from convarium.training.timing import Stopwatch


class EpochBatches(Protocol):
    """What the loop needs of `data.batches.Batches`."""

    def __len__(self) -> int:
        """Steps in one epoch."""

    def epoch(self, number: int, *, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch from the batch `first` on: images and labels."""


@dataclass
class Trainer:
    """One run set up for training, or several runs that train as one stacked model.

    Attributes:
        runs: one run, or the members of a stack.
        network: what the training step calls: the accelerated copy of a run's network, or the stacked model.
        batches: images and labels, epoch by epoch; of a stack with one dimension more, (members, …).
        optimizers, learning_rates: optimizers, and the rates that the schedule multiplies.
        scalers: in float16 a loss scaler for each optimizer; none in other precisions.
        environment: in which the runs are trained from now on.
        earlier: environments of the parts that were trained before an interruption.
        generators: one per run, from which its dropout draws; none where dropout draws from PyTorch's own generators.
        concurrent: how many runs share the clock; a run's seconds are its share of the time that passes.
        members: keys of a stack's members, by which a checkpoint knows them; empty for a single run.
        epoch_context: entered around the steps of every epoch.
        progress: what is done of the current epoch.
    """

    runs: Sequence[TrainingRun]
    network: nn.Module
    batches: EpochBatches
    optimizers: Sequence[torch.optim.Optimizer]
    learning_rates: Sequence[float]
    environment: Environment
    earlier: tuple[Environment, ...] = ()
    scalers: Sequence[LossScaler] = ()
    generators: Sequence[torch.Generator] = ()
    concurrent: int = 1
    members: tuple[str, ...] = ()
    epoch_context: Callable[[], AbstractContextManager[object]] = nullcontext
    progress: EpochProgress = field(default_factory=EpochProgress)

    @property
    def recipe(self) -> Recipe:
        """The run's recipe; of a stack the first member's, which differs from the others in seed and rates only."""
        return self.runs[0].recipe

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The identities of the runs in a store, as they were when they were first asked for."""
        return tuple(run.recipe.key(run.splits.digest) for run in self.runs)

    @property
    def device(self) -> torch.device:
        """Where the runs train."""
        return self.runs[0].device

    @property
    def finished_epochs(self) -> int:
        """Epochs that are recorded already; a member that has diverged stops recording before the others."""
        return max(len(run.state.history) for run in self.runs)

    @property
    def name(self) -> str:
        """What a person calls it: "lenet seed 0"."""
        if len(self.runs) > 1:
            return f"the stack of {len(self.runs)} runs of {self.recipe.model}"
        return f"{self.recipe.model} seed {self.recipe.seed}"

    def begin_epoch(self, epoch: int) -> EpochProgress:
        """Begins an epoch, or goes on in it where a checkpoint was made in the middle of it, and starts its clock."""
        progress = self.progress
        if progress.restore:
            progress.restore()
        else:
            progress = self.progress = EpochProgress()
            self._seed_dropout(epoch)
        progress.restore, progress.stopwatch = None, Stopwatch(self.concurrent)
        return progress

    def _seed_dropout(self, epoch: int) -> None:
        """Seeds every generator from which dropout draws, so that an epoch's masks depend on seed and epoch alone."""
        seed_generators(derive_seed(self.recipe.seed, "dropout", epoch), self.device)
        for run, generator in zip(self.runs, self.generators, strict=False):
            generator.manual_seed(derive_seed(run.recipe.seed, "dropout", epoch))

    def set_learning_rates(self, factor: float) -> None:
        """Sets the learning rate of every optimizer to its own times the schedule's factor."""
        for optimizer, learning_rate in zip(self.optimizers, self.learning_rates, strict=True):
            set_learning_rate(optimizer, learning_rate * factor)


@stop_on_signals()  # raised inside of PyTorch's functional_call, KeyboardInterrupt comes out as an AttributeError
def prepare_run(
    recipe: Recipe,
    splits: Splits,
    device: torch.device,
    *,
    start: StartWeights | None = None,
    concurrent: int = 1,
    stack: tuple[str, ...] = (),
) -> Trainer:
    """Sets up one run: its network with initial weights on the device, its batches and its optimizer.

    Args:
        recipe, splits: as for `fit`.
        device: where to train.
        start: the weights that the recipe starts from.
        concurrent: runs that train at the same time, this one included.
        stack: their keys, which the environment names.

    Raises:
        RecipeError, ImageSizeError: the recipe does not fit the data.
    """
    check_batches(recipe, splits)
    network = initial_network(recipe, splits, device, start=start)
    set_memory_format(network, recipe, device)
    # On CUDA dropout is one kernel, and a captured step draws from the device's own generator.
    generators = [torch.Generator()] if device.type == "cpu" else []
    accelerated = accelerate(network, recipe, device, *generators)
    with merged_memory(accelerated, recipe):
        optimizer = make_optimizer(accelerated, recipe)
    run = TrainingRun(recipe, splits, network, device)
    return Trainer(
        runs=[run],
        network=accelerated,
        batches=training_batches(run),
        optimizers=[optimizer],
        learning_rates=[recipe.learning_rate],
        scalers=loss_scalers(recipe, [optimizer]),
        environment=environment(device, stack=stack),
        generators=generators,
        concurrent=concurrent,
        epoch_context=partial(merged_memory, accelerated, recipe),
    )


def initial_network(
    recipe: Recipe, splits: Splits, device: torch.device, *, start: StartWeights | None = None
) -> nn.Module:
    """The network of a recipe as it is before its first step, in training mode but for what is frozen.

    Raises:
        RecipeError: the recipe starts from other weights than `start`, or what is to be frozen does not exist or is all
            that there is.
    """
    network = build_model(recipe.model, splits.train.spec, seed=derive_seed(recipe.seed, "init"))
    set_start(network, recipe, start)
    network.to(device).train()
    freeze(network, recipe)
    return network


def check_batches(recipe: Recipe, splits: Splits) -> None:
    """Refuses, before anything is trained, a recipe that does not fit its data.

    Raises:
        RecipeError: a batch larger than the training split, a last batch of one image where the network's batch norm
            needs two, images of another size than the recipe's, or a selection by validation images where there are
            none.
        SpecError: a normalization of three channels for images with one.
    """
    normalization(recipe.normalize, splits)
    if recipe.batch_size > len(splits.train):
        raise RecipeError(
            f"batch_size {recipe.batch_size} exceeds the {len(splits.train)} training images of {recipe.dataset}",
            hint=f"use --batch-size {len(splits.train)} or less",
        )
    if splits.train.resize != recipe.resize:
        raise RecipeError(
            f"the images are resized to {splits.train.resize}, the recipe says {recipe.resize}",
            hint="load_data(…, resize=recipe.resize)",
        )
    if recipe.select == "best_validation" and not len(splits.validation):
        raise RecipeError(
            f"select='best_validation' needs validation images, and {recipe.dataset} holds none out",
            hint=f"use --validation {max(1, len(splits.train) // 10)}",
        )
    if has_batch_of_one(recipe, splits) and not trains_on_one_image(recipe.model, splits.train.spec):
        raise RecipeError(
            f"{recipe.model} cannot be trained on a batch of one image, which the {len(splits.train)} training images "
            f"leave at batch_size {recipe.batch_size}: its batch norm sees a single value per channel",
            hint=larger_batch_hint(recipe, splits),
        )


def has_batch_of_one(recipe: Recipe, splits: Splits) -> bool:
    """Whether an epoch has a batch of one image."""
    return recipe.batch_size == 1 or (not recipe.drop_last and len(splits.train) % recipe.batch_size == 1)


def larger_batch_hint(recipe: Recipe, splits: Splits) -> str:
    """What to try where a batch of one image fails: the nearest batch size that leaves none, or dropping the batch."""
    n, size = len(splits.train), recipe.batch_size
    if n == 1:
        return "give it two training images or more"
    near = (other for distance in range(n + size) for other in (size - distance, size + distance))
    fitting = next(other for other in near if 2 <= other <= n and n % other != 1)
    return f"use --batch-size {fitting}" + ("" if size == 1 else ", or --drop-last")


def training_batches(run: TrainingRun) -> Batches:
    """A run's training batches, in the dtype and the memory format of its network."""
    recipe = run.recipe
    mean, std = normalization(recipe.normalize, run.splits)
    return Batches(
        run.splits.train,
        batch_size=recipe.batch_size,
        drop_last=recipe.drop_last,
        augment=recipe.augment,
        mean=mean,
        std=std,
        shuffle_seed=derive_seed(recipe.seed, "shuffle"),
        augment_seed=derive_seed(recipe.seed, "augment"),
        device=run.device,
        channels_last=is_channels_last(run.network),
        dtype=next(run.network.parameters()).dtype,
    )
