"""Several networks of one architecture trained as one stacked model: one forward and backward pass for all of them.

Every network's parameters and buffers become parts of stacked tensors, (members, …). Scores and stored weights, which
concern one member alone, use the member's own network, which sees the training through these parts.
"""

import dataclasses
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.data.batches import Batches
from convarium.data.splits import ImageData, Splits
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome
from convarium.runs.environment import environment
from convarium.training.class_weights import class_weights
from convarium.training.cuda_graph import capture_step
from convarium.training.loop import train
from convarium.training.loss_scaling import LossScaler, loss_scalers
from convarium.training.numerics import at_least_float32, autocast, memory_format, preserved_generators
from convarium.training.optimizers import optimizer_over
from convarium.training.recording import make_outcome
from convarium.training.stacked_dropout import vmapped_structure
from convarium.training.starting import StartWeights
from convarium.training.state import Step, TrainingEvent, TrainingRun
from convarium.training.timing import Stopwatch
from convarium.training.trainer import Trainer, initial_network, training_batches


def fit_stacked_model(
    recipes: Sequence[Recipe],
    splits: Splits,
    device: torch.device,
    folders: Sequence[Path | None],
    *,
    start: StartWeights | None = None,
    on_event: Callable[[int, TrainingEvent], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    exact: bool = False,
    keep_weights: int | None = None,
) -> list[Outcome]:
    """`fit_stack` on CUDA: a step of all members is one step of a model with one dimension more."""
    stopwatch, first = Stopwatch(len(recipes)), recipes[0]
    networks = [initial_network(recipe, splits, device, start=start) for recipe in recipes]
    runs = [TrainingRun(recipe, splits, network, device) for recipe, network in zip(recipes, networks, strict=True)]
    model = stack_networks(networks)
    optimizers = make_optimizers(model, recipes)
    keys = tuple(recipe.key(splits.digest)[:8] for recipe in recipes)
    generators = [torch.Generator(device) for _ in recipes]
    on_device = dataclasses.replace(splits, train=_moved(splits.train, device))  # once, not once per member
    trainer = Trainer(
        runs=runs,
        network=networks[0],
        batches=StackedBatches([training_batches(dataclasses.replace(run, splits=on_device)) for run in runs]),
        optimizers=[group.optimizer for group in optimizers],
        learning_rates=[recipes[group.members.start].learning_rate for group in optimizers],
        scalers=loss_scalers(first, [group.optimizer for group in optimizers]),
        environment=environment(device, stack=keys),
        generators=generators,
        concurrent=len(recipes),
        members=keys,
    )
    weights = class_weights(runs[0])
    step = make_stacked_step(model, optimizers, first, generators, scalers=trainer.scalers, weights=weights)
    with preserved_generators(device):
        folder = next((folder for folder in folders if folder), None)
        train(
            trainer,
            step,
            folder=folder,
            on_event=on_event,
            should_stop=should_stop,
            exact=exact,
            keep_weights=keep_weights,
        )
        separate_networks(networks)  # so that the stored weights, loaded again, give exactly the stored scores
        return [make_outcome(trainer, index, total_seconds=stopwatch.seconds) for index in range(len(runs))]


@dataclass(frozen=True)
class StackedModel:
    """Networks of one architecture that share memory.

    Attributes:
        network: the first of them, for its structure.
        parameters: by name, (members, …), those that are trained; every network's own are parts of them.
        buffers: the same of buffers and of frozen parameters.
    """

    network: nn.Module
    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]


@dataclass(frozen=True)
class MembersOptimizer:
    """An optimizer for neighboring members that have equal settings.

    Attributes:
        members: their place in the stack.
        parts: their parts of the stacked parameters, in the order of these.
    """

    members: slice
    parts: list[nn.Parameter]
    optimizer: torch.optim.Optimizer


class StackedBatches:
    """The batches of all members, stacked: images (members, n, c, h, w) and labels (members, n)."""

    def __init__(self, batches: Sequence[Batches]):
        self.batches = batches

    def __len__(self) -> int:
        """Steps in one epoch."""
        return len(self.batches[0])

    def epoch(self, number: int, *, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch from the batch `first` on."""
        for members in zip(*(batches.epoch(number, first=first) for batches in self.batches), strict=True):
            images, labels = (torch.stack(tensors) for tensors in zip(*members, strict=True))
            yield images, labels


def stack_networks(networks: Sequence[nn.Module]) -> StackedModel:
    """Stacks the networks' parameters and buffers; from then on the networks' own are parts of the stacked tensors.

    Args:
        networks: (members,) networks of one architecture, on one device.

    Returns:
        A model whose every parameter and buffer has the shape (members, …) of the networks' own.

    Raises:
        KeyError: a network lacks a parameter or buffer of the first one.
        RuntimeError: the shapes of a parameter or buffer differ.
    """
    linear = {f"{name}.weight" for name, module in networks[0].named_modules() if isinstance(module, nn.Linear)}
    trained = {name for name, parameter in networks[0].named_parameters() if parameter.requires_grad}
    named = [dict(network.named_parameters()) for network in networks]
    parameters = _stacked([_only(tensors, trained) for tensors in named], transposed=linear)
    frozen = [_only(tensors, tensors.keys() - trained) for tensors in named]
    buffers = _stacked([own | dict(network.named_buffers()) for own, network in zip(frozen, networks, strict=True)])
    return StackedModel(networks[0], {name: p.requires_grad_() for name, p in parameters.items()}, buffers)


def separate_networks(networks: Sequence[nn.Module]) -> None:
    """Undoes `stack_networks`: every network has its own tensors again, in the memory format of a single network."""
    for network in networks:
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)


def make_optimizers(model: StackedModel, recipes: Sequence[Recipe]) -> list[MembersOptimizer]:
    """One optimizer for each group of neighbors that have equal settings: one for eight seeds of one setting.

    In float16 every member has its own, because a member skips a step without the others.

    Its parameters are parts of the stacked ones, so that it computes for every number what it would compute for the
    member alone.
    """
    optimizers, first = [], 0
    alone = recipes[0].precision == "float16"
    settings = [(r.learning_rate, r.weight_decay, r.momentum, i if alone else 0) for i, r in enumerate(recipes)]
    for _, neighbors in groupby(settings):
        members = slice(first, first + len(list(neighbors)))
        parts = [nn.Parameter(_in_memory_order(p.detach())[members]) for p in model.parameters.values()]
        optimizers.append(MembersOptimizer(members, parts, optimizer_over(parts, recipes[first], stacked=True)))
        first = members.stop
    return optimizers


def make_stacked_step(
    model: StackedModel,
    optimizers: Sequence[MembersOptimizer],
    recipe: Recipe,
    generators: Sequence[torch.Generator],
    *,
    scalers: Sequence[LossScaler] = (),
    weights: Tensor | None = None,
) -> Step:
    """A training step of all members, each on its own images; on CUDA captured, as a single network's.

    It takes images (members, n, c, h, w) and labels (members, n) int64, and returns mean losses (members,) and numbers
    of correct predictions (members,).

    Args:
        model: from `stack_networks`.
        optimizers: from `make_optimizers`.
        recipe: any member's; its precision and label smoothing are used.
        generators: each member's source of dropout masks, on the parameters' device. On the CPU they give the masks
            that the member would draw alone from a global generator in the same state.
        scalers: each optimizer's loss scaler in float16; none in other precisions.
        weights: of the classes in the loss, as for `make_step`.
    """
    parameters = model.parameters
    device = next(iter(parameters.values())).device
    structure = vmapped_structure(model.network, generators, memory_format(recipe, device))

    def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        logits: Tensor = torch.func.functional_call(structure, (parameters, buffers), (images,))
        return logits

    # Randomness other than nn.Dropout's, in a user's own network, differs from member to member too.
    forward = torch.vmap(call, randomness="different")

    updates: Sequence[LossScaler | torch.optim.Optimizer] = scalers or [group.optimizer for group in optimizers]

    def step(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(recipe, device.type):
            logits = forward(dict(parameters), dict(model.buffers), images)
        losses = F.cross_entropy(
            at_least_float32(logits).flatten(0, 1),
            labels.flatten(),
            weights,
            label_smoothing=recipe.label_smoothing,
            reduction="none",
        )
        if weights is None:
            losses = losses.view(labels.shape).mean(1)
        else:
            losses = losses.view(labels.shape).sum(1) / weights[labels].sum(1)
        scaled = torch.stack([s.scale(one) for s, one in zip(scalers, losses, strict=True)]) if scalers else losses
        # The members meet in this sum and nowhere before it, so the gradient of each is that of its own loss.
        gradients: Sequence[Tensor | None] = torch.autograd.grad(
            scaled.sum(), list(parameters.values()), allow_unused=True
        )
        for group, update in zip(optimizers, updates, strict=True):
            for part, gradient, stacked in zip(group.parts, gradients, parameters.values(), strict=True):
                if gradient is not None:
                    part.grad = _in_memory_order(gradient, stacked)[group.members].contiguous()
            update.step()
            group.optimizer.zero_grad()
        return losses.detach(), (logits.detach().argmax(2) == labels).sum(1)

    if scalers:
        return step
    tensors = [*parameters.values(), *model.buffers.values()]
    return capture_step(step, tensors, [group.optimizer for group in optimizers], generators)


def _only(tensors: Mapping[str, Tensor], names: Container[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name in names}


def _in_memory_order(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """The tensor, its matrices transposed if those of `like`, or else its own, are transposed in memory."""
    return tensor if (tensor if like is None else like).is_contiguous() else tensor.mT


def _stacked(members: Sequence[dict[str, Tensor]], *, transposed: Container[str] = ()) -> dict[str, Tensor]:
    """The members' tensors stacked. Those in `transposed` are stored transposed, as the stacked gradients of linear
    layers are, which saves a transposition before every update.
    """
    stacked = {}
    for name in members[0]:
        parts = [tensors[name].detach() for tensors in members]
        stacked[name] = torch.stack([p.mT for p in parts]).mT if name in transposed else torch.stack(parts)
        for tensors, part in zip(members, stacked[name].unbind(), strict=True):
            tensors[name].data = part
    return stacked


def _moved(data: ImageData, device: torch.device) -> ImageData:
    return dataclasses.replace(data, images=data.images.to(device), labels=data.labels.to(device))
