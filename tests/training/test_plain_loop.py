"""The fast step is the plain one: the same losses as a loop of PyTorch's own calls, written out, in float64."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F

from convarium.models.build import build_model
from convarium.recipes.recipe import Recipe
from convarium.seeding import derive_seed
from convarium.training import fit
from convarium.training.numerics import is_channels_last
from convarium.training.state import TrainingRun
from convarium.training.trainer import training_batches
from small_networks import NETWORKS, few, in_float64

CPU = torch.device("cpu")
SMALL = Recipe(epochs=2, batch_size=4, optimizer="sgd", learning_rate=1e-3, momentum=0.9, validation=20, resize=16)


@pytest.fixture(scope="module")
def splits():
    return few(20, resize=16)


@pytest.fixture(autouse=True)
def double():
    with in_float64():
        yield


class SharedDropout(nn.Module):
    """Dropout with the masks of `fit`: drawn into channels-last tensors, as those of `fit` are, since on some
    processors the order of the numbers is that of memory.
    """

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        order = torch.channels_last if x.ndim == 4 else torch.contiguous_format
        mask = torch.empty_like(x, memory_format=order).bernoulli_(1 - self.p)
        return x * mask.contiguous() / (1 - self.p)


def plain_losses(recipe, splits):
    """The recipe's losses by a loop without anything that is there for speed: default memory layout, `backward`, and
    an optimizer that goes through the parameters one by one.
    """
    network = build_model(recipe.model, splits.train.spec, seed=derive_seed(recipe.seed, "init"))
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Dropout):
            network.set_submodule(name, SharedDropout(module.p))
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    settings = {"momentum": recipe.momentum, "nesterov": recipe.nesterov} if recipe.optimizer == "sgd" else {}
    settings |= {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    optimizer = kind(network.parameters(), fused=False, foreach=False, **settings)
    batches = training_batches(TrainingRun(recipe, splits, network, CPU))
    assert not is_channels_last(network)
    assert not batches.channels_last
    train = splits.train.labels.numpy()
    present = np.unique(train)
    weights = None
    if recipe.class_weights == "balanced":
        weights = torch.zeros(10)
        weights[present] = torch.from_numpy(compute_class_weight("balanced", classes=present, y=train))
    losses = []
    for epoch in range(recipe.epochs):
        torch.manual_seed(derive_seed(recipe.seed, "dropout", epoch))
        for images, labels in batches.epoch(epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(images), labels, weights, label_smoothing=recipe.label_smoothing)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def agree(recipe, splits):
    """Within 1e-7 relative over 10 steps."""
    fast, plain = fit(recipe, splits, device="cpu").step_loss, plain_losses(recipe, splits)
    assert fast.dtype == np.float64
    assert len(set(plain)) >= 10
    np.testing.assert_allclose(fast, plain, rtol=1e-7)


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS)
def test_every_network_loses_in_ten_steps_what_a_plain_loop_loses(model, splits):
    # At the end of these there is one pixel, and norms over four numbers magnify a rounding a thousandfold a step.
    rate = 1e-5 if "7x7" in model else 1e-3
    agree(dataclasses.replace(SMALL, model=model, learning_rate=rate), splits)


SETTINGS = {
    "class weights": {"class_weights": "balanced"},
    "class weights, smoothing, a smaller last batch": {
        "class_weights": "balanced",
        "label_smoothing": 0.2,
        "batch_size": 6,
        "epochs": 3,
    },
    "nesterov, decay": {"nesterov": True, "weight_decay": 0.01},
    "adam, decay": {"optimizer": "adam", "momentum": 0.0, "weight_decay": 0.01},
    "adamw, decay": {"optimizer": "adamw", "momentum": 0.0, "weight_decay": 0.5},
    "smoothing, augmentation, a smaller last batch": {
        "label_smoothing": 0.1,
        "augment": "pad_crop(2)",
        "batch_size": 6,
        "epochs": 3,
    },
}


@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("model", ["memory_mlp(hidden=16)", "mnist_resnet", "alexnet(hidden=16, width_divisor=8)"])
def test_every_optimizer_and_setting_is_the_plain_one(model, changes, splits):
    agree(dataclasses.replace(SMALL, model=model, **changes), splits)
