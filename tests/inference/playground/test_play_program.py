"""A network read as operations computes what the network computes, or says which operation is not known."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convarium.inference.playground.encoding import encode, rounded
from convarium.inference.playground.program import NotPlayableError, fold_norms, read_program
from convarium.inference.playground.reference import run_logits, run_program
from convarium.models.build import build_model
from convarium.models.zoo.layers import ACTIVATIONS
from convarium.records import ImageSpec
from small_networks import NETWORKS

SHAPE = 3, 32, 32


def used(network):
    """Batch norms with statistics and weights of their own, in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(std=0.2, generator=generator)
    return network.eval()


def built(spec, shape=SHAPE):
    torch.manual_seed(0)
    return used(build_model(spec, ImageSpec(*shape, 10)))


def read(network, shape=SHAPE):
    return read_program(network, shape, model="the network")


@functools.cache
def small(name):
    """A small network of the zoo, and what is read of it."""
    network = built(NETWORKS[name])
    return network, read(network)


def agrees(network, shape=SHAPE, program=None):
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = network(images)
        program = program or read(network, shape)
        *_, received = run_program(program, images)
        assert torch.equal(run_logits(program, images), received)
    return (received - expected).abs().max() <= 1e-5 * expected.abs().max()


READ = [name for name in NETWORKS if name not in ("resnet34", "resnet50")]
"""Those two take seconds, and have the blocks of others."""


@pytest.mark.parametrize("name", READ)
def test_every_network_of_the_zoo_is_playable(name):
    network, program = small(name)
    assert agrees(network, program=program)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_playable(name):
    assert agrees(built(f"lenet(activation='{name}')"))


@pytest.mark.parametrize("shortcut", ["half_both", "exclusive_gating", "shortcut_gating"])
def test_gates_and_halves_are_playable(shortcut):
    assert agrees(built(f"residual_variant(depth=8, shortcut='{shortcut}')"))


class Own(nn.Module):
    """Operations that the zoo does not use."""

    def __init__(self):
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, padding="same", dilation=2, groups=2)
        self.pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.mean = nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)
        self.first = nn.Conv2d(3, 4, (3, 5), stride=(2, 1))
        self.norm = nn.BatchNorm1d(6)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 0.5))
        self.linear = nn.Linear(8, 6)

    def forward(self, x):
        x = F.relu_(self.first(F.pad(x, (2, 2, 1, 1))))
        x = self.mean(self.pool(F.hardtanh(self.grouped(x) * self.scale - 0.1)))
        return F.softmax(2 - self.norm(self.linear(x.mean((2, 3)).view(x.shape[0], -1))) / 3, dim=1)


def test_other_operations_of_a_users_network_are_playable():
    torch.manual_seed(0)
    assert agrees(used(Own()))


class Around(nn.Module):
    """A convolution, something between, and a linear layer."""

    def __init__(self, between, weight=(1,), features=4 * 8 * 8):
        super().__init__()
        self.conv, self.between, self.linear = nn.Conv2d(3, 4, 3, padding=1), between, nn.Linear(features, 5)
        self.weight = nn.Parameter(torch.randn(weight))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.linear(self.between(self.conv(x), self.weight).flatten(1))


SMALL = 3, 8, 8


def test_what_is_the_same_for_every_image_is_computed_by_pytorch():
    gates = torch.randn(4, 1, 1), torch.randn(1, 4, 1, 1), torch.randn(8)

    def between(x, w):
        x = (gates[2].exp() + 1) * x.float() * torch.sigmoid(gates[0] * w) + torch.arange(8) * torch.tensor([[1.0]])
        return gates[1] - x.to(torch.float32)

    network = Around(between).eval()
    assert agrees(network, SMALL)
    assert all(operation.shortcut is None for operation in read(network, SMALL).operations)


def test_a_weight_that_is_computed_is_playable():
    def between(x, w):
        x = F.conv2d(x, (w - w.mean((1, 2), keepdim=True)) / w.std())
        return torch.addmm(torch.ones(1), x.mean((2, 3)), w[0, :, :, 0])

    assert agrees(Around(between, weight=(4, 4, 3, 3), features=3).eval(), SMALL)


@pytest.mark.parametrize("parametrization", ["weight_norm", "spectral_norm"])
def test_a_weight_with_a_norm_of_its_own_is_playable(parametrization):
    network = Around(lambda x, _: x)
    getattr(nn.utils.parametrizations, parametrization)(network.conv)
    assert agrees(network.eval(), SMALL)


REFUSED = {
    "half": lambda x: x.half().float(),
    "random": lambda x: x + torch.rand(8, 8),
    "dropout in evaluation": F.dropout,
    "a mean in float64": lambda x: x.mean((2, 3), dtype=torch.float64),
    "infinite padding": lambda x: F.pad(x, (1, 1), value=-torch.inf),
    "infinite bound": lambda x: F.hardtanh(x, 0.1, torch.inf),
    "a slice of four axes": lambda x: x.view(-1, 2, 2, 8, 8)[:, :, 1:],
    "reflected edges": nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_operation_that_would_be_approximated_is_named(name):
    features = REFUSED[name](torch.zeros(1, 4, 8, 8)).numel()
    network = Around(lambda x, _: REFUSED[name](x).float(), features=features).eval()
    with pytest.raises(NotPlayableError, match=r"the network is not playable: it has the operation aten\.\w+\.\w+"):
        read(network, SMALL)


def test_an_unknown_operation_is_named_with_its_module():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(3600, 10)).eval()
    with pytest.raises(NotPlayableError, match=r"the network is not playable: it has the operation aten\.\S+ in 1;"):
        read(network)


def test_a_network_that_decides_by_its_input_is_refused():
    class Deciding(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :2] if x.sum() > 0 else x.flatten(1)[:, 1:3]

    with pytest.raises(NotPlayableError, match=r"the network is not playable: torch\.export says"):
        read(Deciding())


def test_a_network_whose_end_is_an_image_is_refused():
    with pytest.raises(NotPlayableError, match="its last operation does not give logits"):
        read(nn.Conv2d(3, 4, 3).eval())


def test_norms_are_folded_where_nothing_else_reads_the_convolution():
    names = [operation.name for operation in read(built(NETWORKS["resnet"])).operations]
    assert "norm" not in names
    dense = read(built("densenet(depth=10)"))
    norms = [operation for operation in dense.operations if operation.name == "norm"]
    folded = [operation for operation in dense.operations if operation.name == "conv2d" and "bias" in operation.tensors]
    assert norms  # those that read a concatenation
    assert folded  # those between two convolutions of a bottleneck
    assert len(fold_norms(dense).operations) == len(dense.operations)


def test_the_shortcut_of_each_block_is_known():
    program = read(built("resnet(depth=8, shortcut='A')"))
    sums = [operation for operation in program.operations if operation.name == "add"]
    assert [operation.module for operation in sums] == ["blocks.0", "blocks.1", "blocks.2"]
    for operation in sums:
        shortcut = program.operations[operation.inputs[operation.shortcut] - 1]
        assert shortcut.name != "conv2d"
    doubled = read(built("memory_mlp(hidden=16)"))
    assert doubled.operations[-1].name == "add"
    assert doubled.operations[-1].shortcut is None


def test_weights_alone_are_rounded_and_encoded_as_such():
    program = rounded(read(built("lenet")))
    encoded = encode(program, float16=True)
    types = {
        (name, encoded["tensors"][number]["type"])
        for operation in encoded["operations"]
        for name, number in operation["tensors"].items()
    }
    assert types == {("weight", "float16"), ("bias", "float32")}
    assert {tensor["type"] for tensor in encode(program, float16=False)["tensors"]} == {"float32"}


def test_a_weight_that_float16_cannot_hold_stays_float32():
    network = built("lenet")
    with torch.no_grad():
        network[0].weight.mul_(1e6)
        network[3].weight.mul_(1e-6)
    program = read(network)
    kept = [operation for operation in program.operations if operation.name == "conv2d"]
    same = [operation for operation in rounded(program).operations if operation.name == "conv2d"]
    for before, after in zip(kept, same, strict=True):
        assert torch.equal(before.tensors["weight"], after.tensors["weight"])
