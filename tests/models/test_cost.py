import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convarium.models import cost
from convarium.models.build import load_architecture
from convarium.models.zoo import MODELS, PRESETS
from convarium.records import ImageSpec
from convarium.spec import parse

SMALL = ImageSpec(3, 32, 32, 10)
DIGITS = ImageSpec(1, 28, 28, 10)


def shallowest():
    """The presets without those that only repeat the blocks of another one more often or wider."""
    kinds = {}
    for label, preset in PRESETS.items():
        network = parse(preset.model)
        kind = {option: value for option, value in network.options.items() if option not in ("depth", "growth")}
        kinds.setdefault((network.name, str(kind), preset.image), label)
    return kinds.values()


def native_image(model):
    """The image of a preset; of a plain network the first of CIFAR's and MNIST's that it takes."""
    if model in PRESETS:
        return PRESETS[model].image
    for image in (SMALL, DIGITS):
        try:
            with torch.device("meta"):
                network = load_architecture(model).build(image).eval()
                network(torch.zeros(2, image.channels, image.height, image.width))
        except (RuntimeError, ValueError):
            continue
        return image
    raise AssertionError(f"{model} takes neither CIFAR's nor MNIST's images")


def on_meta(model, image):
    with torch.device("meta"):
        return load_architecture(model).build(image)


def flops_by_hand(network, image):
    """2 × multiply-adds of convolutions and linear layers, from their shapes alone."""
    total = 0

    def add(module, inputs, output):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            kernel = module.in_channels // module.groups * math.prod(module.kernel_size)
            total += 2 * kernel * output[0].numel()
        elif isinstance(module, nn.Linear):
            total += 2 * module.in_features * output[0].numel()

    handles = [m.register_forward_hook(add) for m in network.modules()]
    with torch.device("meta"), torch.no_grad():
        network.eval()(torch.zeros(1, image.channels, image.height, image.width))
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize("model", [*MODELS, *shallowest()])
def test_flops_are_those_of_the_layers_and_of_torchs_counter(model):
    image = native_image(model)
    network = on_meta(model, image).eval()
    flops = cost.count_flops(network, image)
    with FlopCounterMode(display=False) as counter:
        by_hand = flops_by_hand(network, image)
    if model.startswith("memory_mlp"):  # x·(W + M) is no linear layer: one product with a square matrix
        by_hand += 2 * (image.channels * image.height * image.width) ** 2
    assert flops == by_hand == counter.get_total_flops()
    layers = cost.layer_costs(network, image)
    assert (layers.flops, layers.parameters) == (flops, cost.count_parameters(network))


def test_a_convolution_by_hand():
    # 5×5 kernel on 1 channel at 28×28 positions, 6 outputs: 25 · 784 · 6 multiply-adds (the bias is not counted).
    network = nn.Conv2d(1, 6, 5, padding=2)
    assert cost.count_flops(network, DIGITS) == 2 * 25 * 784 * 6


def test_matrix_products_outside_layers_count():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("matrix", torch.ones(28, 5), persistent=False)

        def forward(self, x):
            return x @ self.matrix

    assert cost.count_flops(Product(), DIGITS) == 2 * 28 * 28 * 5


def test_counting_changes_nothing():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(2 * 26 * 26, 10)
    )
    network[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    cost.count_flops(network, DIGITS)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [m.training for m in network] == [True, False, True, True, True]
    with pytest.raises(RuntimeError):
        cost.count_flops(network, SMALL)
    assert network.training


def test_a_layer_that_stands_in_two_places_keeps_its_weights_and_counts_twice():
    twice = nn.Linear(10, 10)
    network = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10), twice, nn.ReLU(), twice)
    assert cost.count_flops(network, DIGITS) == 2 * (28 * 28 * 10 + 2 * 10 * 10)
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}


def test_a_network_that_looks_at_values_is_counted_too():
    class Looks(nn.Linear):
        def forward(self, x):
            x = x.flatten(1)
            return super().forward(-x if x.mean().item() > 1 else x)

    network = Looks(28 * 28, 10)
    assert cost.count_flops(network, DIGITS) == cost.layer_costs(network, DIGITS).flops == 2 * 28 * 28 * 10


def test_parameters_are_trainable_numbers_and_shared_ones_count_once():
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4))
    assert cost.count_parameters(network) == 16 + 16 + 8
    network[1].weight = network[0].weight
    assert cost.count_parameters(network) == 16 + 8
    network[0].weight.requires_grad_(False)
    assert cost.count_parameters(network) == 8


def test_the_cost_of_a_run():
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    flops = cost.count_flops(network, DIGITS)
    run = cost.measure_cost(network, flops=flops, images=500, train_seconds=2.0, total_seconds=3.0, peak_memory_bytes=1)
    assert (run.parameters, run.flops) == (7850, 2 * 7840)
    assert (run.train_seconds, run.total_seconds, run.images_per_second) == (2.0, 3.0, 250.0)
    assert run.peak_memory_bytes > 0
