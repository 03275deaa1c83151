"""A run while it trains: what it consists of, what it has recorded so far, and the events that it reports."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from convarium.data.splits import Splits
from convarium.recipes.recipe import Recipe
from convarium.records import Epoch
from convarium.training.timing import Stopwatch

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""One training step: (images, labels) → (mean loss, number of correct predictions), both left on the device.

A stacked model's step takes one dimension more, (members, …), and returns one value per member.
"""


@dataclass
class TrainingState:
    """What a run has recorded so far: everything mutable in `fit` besides the network and the optimizer.

    Attributes:
        history: one row per finished epoch.
        step_loss, step_accuracy: (steps,) float; one tensor for all epochs, so that memory grows by these numbers only.
        train_seconds: seconds spent in training steps.
        selected_epoch: the epoch that the recipe selects, counted from 1; 0 before the first epoch ends.
        selected: the state dict of that epoch; empty while the current weights are the selected ones.
        test_predicted: for each epoch, how many test images its weights assign to each class; empty unless the recipe
            watches the test split.
    """

    history: list[Epoch] = field(default_factory=list)
    step_loss: Tensor = field(default_factory=partial(torch.empty, 0))
    step_accuracy: Tensor = field(default_factory=partial(torch.empty, 0))
    train_seconds: float = 0.0
    selected_epoch: int = 0
    selected: dict[str, Tensor] = field(default_factory=dict)
    test_predicted: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def diverged(self) -> bool:
        """Whether the last epoch had a loss that is not finite, which ends the run."""
        return bool(self.history) and not math.isfinite(self.history[-1].train_loss)


@dataclass
class EpochProgress:
    """The steps of the current epoch that are done, of one run or of a stack.

    Attributes:
        steps: of each step the mean loss and the number of correct predictions, () or (members,), both on the device,
            and the number of images per member.
        earlier_seconds: that they took before the run was interrupted.
        stopwatch: runs since the epoch began, or went on.
        restore: sets weights and random generators to what they were after these steps, where the epoch is to go on
            from a checkpoint; else None.
    """

    steps: list[tuple[Tensor, Tensor, int]] = field(default_factory=list)
    earlier_seconds: float = 0.0
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    restore: Callable[[], None] | None = None

    @property
    def seconds(self) -> float:
        """The duration of the steps."""
        return self.earlier_seconds + self.stopwatch.seconds()


@dataclass(frozen=True)
class TrainingEvent:
    """What `fit` reports while it trains: one event after every step, and one after every epoch.

    There is one more where a run goes on that was interrupted, with what was recorded before and no `step_loss`; and
    one for each notice.

    Attributes:
        epoch: index of the current epoch, from 0; after an epoch, the number of finished epochs.
        epochs: epochs in the whole run.
        step: finished steps of the current epoch; 0 in the event after an epoch.
        steps_per_epoch: steps in one epoch.
        history: rows of all finished epochs; None after a step, as are the attributes below.
        step_loss, step_accuracy: (steps_per_epoch,) float, of the finished epoch.
        test_predicted: for each finished epoch, how many test images its weights assign to each class; None unless the
            recipe watches the test split.
        weights: a copy of the network's state dict on the CPU after an epoch whose weights are kept and, in an event of
            its own, without a history, before the first step. None: they are not kept.
        notice: what a person should know, such as that a checkpoint is damaged.
    """

    epoch: int
    epochs: int
    step: int
    steps_per_epoch: int
    history: tuple[Epoch, ...] | None = None
    step_loss: Tensor | None = None
    step_accuracy: Tensor | None = None
    test_predicted: tuple[tuple[int, ...], ...] | None = None
    weights: Mapping[str, Tensor] | None = None
    notice: str | None = None


@dataclass
class TrainingRun:
    """One recipe, its data, and the network that is trained or scored by it.

    Attributes:
        network: on `device`, in the memory format that the recipe trains in.
    """

    recipe: Recipe
    splits: Splits
    network: nn.Module
    device: torch.device
    state: TrainingState = field(default_factory=TrainingState)
