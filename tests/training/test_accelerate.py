"""An accelerated network is the plain one: the same tensors, the same numbers, faster modules."""

import copy
import statistics
import weakref
from functools import partial
from types import MethodType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from convarium import kernels
from convarium.kernels import direct, loading, winograd
from convarium.models.build import build_model
from convarium.models.zoo import layers
from convarium.recipes.recipe import Recipe
from convarium.training import fit
from convarium.training.accelerate import accelerate
from convarium.training.loop import make_step, train
from convarium.training.numerics import set_memory_format
from convarium.training.state import TrainingRun
from convarium.training.trainer import prepare_run, training_batches
from exact import CPU, RECIPE, accelerated_modules, distance, images
from small_networks import NETWORKS, few

pytestmark = pytest.mark.usefixtures("compiled")


# In networks this deep some ReLU of every batch has its input on the other side of zero with other kernels, and that
# changes a gradient by about 1 % in place of 0.001 %; so they have a smooth activation here.
SMOOTH = {name: f"{name}(stem='7x7', activation='silu')" for name in ("resnet18", "resnet34", "resnet50")}


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_as_near_to_its_gradients_in_float64_as_with_pytorchs_kernels(name):
    splits = few(32, resize=32)

    def gradients(seed, dtype, *, fast):
        recipe = Recipe(model=SMOOTH.get(name, NETWORKS[name]), batch_size=16, seed=seed)
        network = build_model(recipe.model, splits.train.spec, seed=seed).to(dtype).train()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        set_memory_format(network, recipe, CPU)
        x, labels = next(training_batches(TrainingRun(recipe, splits, network, CPU)).epoch(0))
        network = accelerate(network, recipe, CPU) if fast else network
        loss = F.cross_entropy(network(x.to(dtype)), labels)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters())) if g is not None])

    def ratio(seed):
        exact = gradients(seed, torch.float64, fast=False)
        ours, theirs = (distance(gradients(seed, torch.float32, fast=fast), exact) for fast in (True, False))
        return ours / theirs

    # In other networks that is so for a seed here and there: hence the median. At most 2.1 was measured.
    assert statistics.median(ratio(seed) for seed in range(1 if name in SMOOTH else 3)) < 4


@pytest.mark.parametrize("model", ["lenet", "mnist_resnet", "resnet(depth=20)"])
def test_a_network_in_bfloat16_is_as_near_to_its_gradients_in_float64_as_with_pytorchs_kernels(model, monkeypatch):
    monkeypatch.setattr(loading.library(), "direct_pays", lambda: True, raising=False)
    recipe, splits = Recipe(model=model, batch_size=32, precision="bfloat16"), few(32, resize=32)

    def gradients(dtype, *, fast):
        network = build_model(recipe.model, splits.train.spec, seed=0).to(dtype).train()
        set_memory_format(network, recipe, CPU)
        x, labels = next(training_batches(TrainingRun(recipe, splits, network, CPU)).epoch(0))
        half = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32)
        network = accelerate(network, recipe, CPU) if fast else network
        with half:
            loss = F.cross_entropy(network(x.to(dtype)).to(dtype), labels)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters())) if g is not None])

    exact = gradients(torch.float64, fast=False)
    ours, theirs = (distance(gradients(torch.float32, fast=fast), exact) for fast in (True, False))
    assert ours < 1.5 * theirs


def test_only_what_the_kernels_support_is_accelerated(monkeypatch):
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3),  # one channel
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2),
        nn.BatchNorm2d(16),
        nn.Tanh(),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular"),
        nn.BatchNorm2d(16, momentum=None),  # a cumulative average
        nn.ReLU(),
    )
    assert accelerated_modules(network) == ["", "1", "2", "5"]  # the first is the Sequential, for its norm and ReLU
    for pays, names in ((True, ["", "1", "2", "4", "5"]), (False, ["", "2", "5"])):
        library = SimpleNamespace(lanes=lambda: 16, direct_pays=lambda pays=pays: pays)
        monkeypatch.setattr(direct, "library", lambda library=library: library)
        assert accelerated_modules(network, Recipe(precision="bfloat16")) == names


def test_a_norm_is_fused_with_its_relu_through_nested_sequentials(monkeypatch):
    network = nn.Sequential(layers.conv_norm(16, 16), layers.RELU(), nn.Sequential(nn.BatchNorm2d(16)), nn.ReLU())
    assert accelerated_modules(network) == ["", "0.0", "0.1", "2.0"]
    fused, real = [], kernels.batch_norm
    monkeypatch.setattr(kernels, "batch_norm", lambda *a, relu: fused.append(relu) or real(*a, relu=relu))
    accelerate(network, RECIPE, CPU)(images(2, 16, 4, 4))
    assert fused == [True, True]


class Taking(nn.Module):
    """A network that does not call its Sequential, or not all of it."""

    def __init__(self, way):
        super().__init__()
        relu = nn.ReLU()
        self.f = nn.Sequential(nn.BatchNorm2d(16), relu, nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), relu)
        self.way = way

    def forward(self, x):
        norm, relu = self.f[0], self.f[1]
        if self.way == "the norm alone":
            return norm(x) + relu(norm(x))
        if self.way == "one by one":
            return sum(taken := [x := module(x) for module in self.f], taken[0])
        if self.way == "from the ReLU on":
            return self.f[1:](x) + relu(x)
        return self.f(x)


def both(network, x):
    """What a network returns in training mode, accelerated and plain."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ours = accelerate(network, RECIPE, CPU)(x)
    network.load_state_dict(before)
    return ours, network(x)


@pytest.mark.parametrize("way", ["the norm alone", "one by one", "from the ReLU on", "whole"])
def test_a_norm_takes_over_its_relu_only_where_the_sequential_calls_both(way):
    torch.manual_seed(0)
    ours, theirs = both(Taking(way), images(2, 16, 8, 8))
    assert distance(ours, theirs.double()) < 1e-5


@pytest.mark.parametrize("hooked", ["0", "1", "2", "2.0", "2.1"])
@pytest.mark.parametrize("kind", ["forward", "forward_pre"])
def test_hooks_see_and_change_what_they_would(hooked, kind):
    torch.manual_seed(0)
    seen = []
    network = nn.Sequential(nn.BatchNorm2d(16), nn.ReLU(), nn.Sequential(nn.BatchNorm2d(16), nn.ReLU()))
    module = network.get_submodule(hooked)
    if kind == "forward":
        module.register_forward_hook(lambda module, inputs, y: seen.append(y) or y - 0.5)
    else:
        module.register_forward_pre_hook(lambda module, inputs: seen.append(*inputs) or (inputs[0] - 0.5,))
    ours, theirs = both(network, images(2, 16, 8, 8))
    assert max(distance(ours, theirs.double()), distance(seen[0], seen[1].double())) < 1e-5
    assert len(seen) == 2


def test_a_customized_module_is_shared_with_all_that_it_contains():
    network = nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Sequential(nn.BatchNorm2d(16)))
    for module, forward in zip(network, (lambda x: 2 * x, lambda x: x - 1, lambda x: -x), strict=False):
        module.forward = forward
    network[3].forward = MethodType(lambda module, x: module[0].weight[0] * x, network[3])
    accelerated = accelerate(network, RECIPE, CPU)
    assert all(ours is theirs for ours, theirs in zip(accelerated, network, strict=True))
    assert accelerated(torch.ones(1)) == network(torch.ones(1)) == -1
    parametrized = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(16, 16, 3)))
    assert accelerate(parametrized, RECIPE, CPU)[0] is parametrized[0]
    scripted = nn.Sequential(torch.jit.script(nn.Linear(4, 4)))
    assert accelerate(scripted, RECIPE, CPU)[0] is scripted[0]


def test_a_network_may_open_autocast_itself():
    layer, x = nn.Conv2d(16, 16, 3), images(2, 16, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = both(layer, x)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert torch.equal(ours, theirs)


def test_without_autocast_a_convolution_for_bfloat16_is_pytorchs():
    layer, x = nn.Conv2d(16, 16, 3), images(2, 16, 8, 8)
    assert torch.equal(accelerate(layer, Recipe(precision="bfloat16"), CPU)(x), layer(x))


def test_with_pytorchs_kernels_no_module_is_another(monkeypatch):
    network = nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten())
    assert accelerated_modules(network) == ["", "0", "1", "3"]
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    assert accelerated_modules(network) == accelerated_modules(network, Recipe(precision="bfloat16")) == []


def test_a_flattened_gradient_comes_back_in_the_layout_of_the_images():
    x, results = images(4, 16, 3, 3), []
    for network in (accelerate(nn.Flatten(), RECIPE, CPU), nn.Flatten()):
        strides, product = [], x * 1
        y = network(product) * torch.arange(144)
        product.register_hook(lambda gradient, strides=strides: strides.append(gradient.stride()))
        [gradient] = torch.autograd.grad(y.sum(), x)
        results.append((*strides, gradient))
    (ours, a), (theirs, b) = results
    assert ours == x.stride() != theirs
    assert torch.equal(a, b)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(16), nn.Conv2d(16, 16, 3)], ids=["norm", "convolution"])
def test_images_of_other_channels_are_refused_as_ever(layer):
    with pytest.raises(RuntimeError, match=r"should contain 32|to have 16 channels"):
        accelerate(layer, RECIPE, CPU)(images(2, 32, 8, 8))


def test_pytorchs_defaults_change_nothing():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
    x = images(4, 16, 8, 8)
    torch.set_default_dtype(torch.float64)
    winograd._kernel_transform.cache_clear()
    try:
        ours, theirs = both(network, x)
    finally:
        torch.set_default_dtype(torch.float32)
        winograd._kernel_transform.cache_clear()
    assert distance(ours, theirs.double()) < 1e-5


@pytest.mark.parametrize(
    ("change", "x"),
    [
        (lambda network: network.eval(), images(4, 16, 8, 8)),
        (lambda network: network.double(), images(4, 16, 8, 8).detach().double()),
        (lambda network: network, torch.randn(4, 16, 8, 8)),  # laid out as (n, c, h, w)
        (lambda network: network, images(3, 16, 5, 5)),  # 75 pixels a channel are not whole fours
    ],
)
def test_everything_else_has_pytorchs_bits(change, x):
    torch.manual_seed(0)
    network = change(nn.Sequential(nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16)))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected = network(x)
    network.load_state_dict(before)
    assert torch.equal(accelerate(network, RECIPE, CPU)(x), expected)


def tensors(network):
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_zoo_shares_its_tensors_with_its_accelerated_copy(name):
    splits = few(32, resize=32)
    recipe = Recipe(model=NETWORKS[name], epochs=1, batch_size=16, momentum=0.9, resize=32, validation=20)
    trainer = prepare_run(recipe, splits, CPU)
    plain, accelerated = trainer.runs[0].network, trainer.network
    modules = list(plain.modules())
    assert all(a is not b for a, b in zip(modules, accelerated.modules(), strict=True))
    train(trainer, make_step(accelerated, trainer.optimizers[0], recipe, trainer.generators))
    assert list(plain.modules()) == modules
    assert not any(type(module).__module__ == accelerate.__module__ for module in plain.modules())
    ours, theirs = tensors(accelerated), tensors(plain)
    assert ours.keys() == theirs.keys()
    assert all(tensor.data_ptr() == theirs[key].data_ptr() for key, tensor in ours.items())
    assert all(ours[key] is theirs[key] for key, _ in plain.named_parameters())
    counts = [tensor for key, tensor in theirs.items() if key.endswith("num_batches_tracked")]
    assert all(count == len(trainer.batches) for count in counts)


def test_each_has_its_own_mode():
    plain = nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.5))
    accelerated = accelerate(plain, RECIPE, CPU, torch.Generator())
    plain.eval()
    assert all(module.training for module in accelerated.modules())
    accelerated.eval()
    plain.train()
    assert not any(module.training for module in accelerated.modules())
    x = images(2, 16, 8, 8)
    assert torch.equal(accelerated(x), copy.deepcopy(plain).eval()(x))


def test_a_module_that_several_share_is_copied_once():
    norm = nn.BatchNorm2d(16)
    block = nn.Sequential(norm, nn.ReLU())
    accelerated = accelerate(nn.Sequential(block, norm, block), RECIPE, CPU)
    assert accelerated[0] is accelerated[2]
    assert accelerated[1] is accelerated[0][0]
    accelerated(images(2, 16, 4, 4))
    assert norm.num_batches_tracked == 3


def test_a_deep_copy_of_either_is_independent_and_computes_the_same():
    torch.manual_seed(0)
    plain = nn.Sequential(layers.conv_norm(16, 16), layers.RELU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(1024, 2))
    accelerated = accelerate(plain, RECIPE, CPU, torch.Generator().manual_seed(1))
    other_plain, other = copy.deepcopy(plain), copy.deepcopy(accelerated)
    x = images(2, 16, 8, 8)
    assert torch.equal(accelerated(x), other(x))
    assert not {t.data_ptr() for t in tensors(other).values()} & {t.data_ptr() for t in tensors(plain).values()}
    assert torch.equal(plain.eval()(x), other.eval()(x))
    assert not torch.equal(plain(x), other_plain.eval()(x))  # whose running statistics have not moved
    both_copies = copy.deepcopy((plain, accelerated))
    assert both_copies[0][0][0].weight is both_copies[1][0][0].weight


def test_dropout_draws_the_masks_of_a_global_generator_in_the_same_state():
    plain, x = nn.Sequential(nn.Dropout(0.3), nn.Dropout(0.0)), torch.ones(100)
    accelerated = accelerate(plain, RECIPE, CPU, torch.Generator().manual_seed(5))
    assert type(plain[0]) is nn.Dropout
    assert type(accelerated[1]) is nn.Dropout
    ours = accelerated(x)
    torch.manual_seed(5)
    assert torch.equal(ours, plain(x))
    assert torch.equal(accelerated.eval()(x), x)


class Hiding(nn.Module):
    """A network that reaches its convolution by another way than its submodules."""

    def __init__(self, hide):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3)
        self.way = hide(self.conv)

    def forward(self, x):
        return self.conv(x)


class Holder:
    def __init__(self, module):
        self.module = module


@pytest.mark.parametrize(
    "hide",
    [
        lambda conv: [conv],
        lambda conv: {"first": (conv,)},
        lambda conv: conv.forward,
        lambda conv: lambda x: conv(x),
        lambda conv: partial(F.conv2d, weight=conv),
        lambda conv: Holder(conv),
        weakref.ref,
    ],
    ids=["list", "dict of tuples", "bound method", "closure", "partial", "attribute of an object", "weak reference"],
)
def test_a_network_that_holds_a_module_elsewhere_is_left_alone(hide):
    network = nn.Sequential(Hiding(hide), nn.Dropout(0.5))
    assert accelerate(network, RECIPE, CPU, torch.Generator()) is network


class Counting(nn.Module):
    """A layer that sets its scale by the first batch, as ActNorm does, and counts the batches."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.ready, self.n = False, 0

    def count(self):
        if not self.ready:
            self.ready = True
            self.scale.data.fill_(2.0)
        self.n += 1


class CountingItself(Counting):
    def forward(self, x):
        if not self.ready:
            self.ready = True
            self.scale.data.fill_(2.0)
        self.n += 1
        return self.scale * x


class CountingByMethod(Counting):
    def forward(self, x):
        self.count()
        return self.scale * x


class CountingByFunction(Counting):
    def forward(self, x):
        return counted(self, x)


class CountingByParent(CountingItself):
    def forward(self, x):
        return super().forward(x)


class CountingByCall(Counting):
    def __call__(self, x):
        self.count()
        return super().__call__(x)

    def forward(self, x):
        return self.scale * x


def counted(layer, x):
    layer.n += 1
    layer.ready = layer.ready or bool(layer.scale.data.fill_(2.0))
    return layer.scale * x


class CountingOuter(nn.Module):
    """It counts in a layer that it contains."""

    def __init__(self):
        super().__init__()
        self.inner = CountingByCall()

    def forward(self, x):
        self.inner.count()
        return self.inner.scale * x


@pytest.mark.parametrize(
    "layer", [CountingItself, CountingByMethod, CountingByFunction, CountingByParent, CountingByCall, CountingOuter]
)
def test_a_layer_that_counts_in_python_is_one_layer_in_training_and_in_scoring(layer):
    network = nn.Sequential(nn.Conv2d(16, 16, 3), layer())
    accelerated, x = accelerate(network, RECIPE, CPU), images(2, 16, 8, 8)
    for _ in range(3):
        accelerated(x)
    counting = getattr(network[1], "inner", network[1])
    assert (counting.n, counting.ready) == (3, True)
    counting.scale.data.fill_(5.0)  # as training would
    network(x)
    assert counting.scale == 5
    assert accelerated_modules(network) == ["0"]


class Building(nn.Module):
    """A network as many are written: it sets attributes while it is built and a buffer in each step."""

    def __init__(self):
        super().__init__()
        self.channels = 16
        self.layers = self.make_layer(16)
        self.register_buffer("steps", torch.zeros(()))

    def make_layer(self, channels):
        self.channels = channels
        return nn.Sequential(nn.Conv2d(16, channels, 3), nn.BatchNorm2d(channels), nn.ReLU())

    def forward(self, x):
        self.steps = self.steps + 1
        return self.layers(x) if self.channels else x


def test_a_network_that_sets_attributes_only_while_it_is_built_is_accelerated():
    network = Building()
    accelerate(network, RECIPE, CPU)(images(2, 16, 8, 8))
    assert network.steps == 1
    assert accelerated_modules(network) == ["layers", "layers.0", "layers.1"]


def test_other_attributes_do_not_count_as_modules():
    for way in (nn.ReLU, F.relu, torch.relu, partial(F.gelu, approximate="tanh"), lambda x: F.relu(x), [torch.ones(1)]):
        assert accelerate(Hiding(lambda _, way=way: way), RECIPE, CPU).way is way


def test_a_module_that_is_hooked_is_left_alone_and_its_hook_gets_that_module():
    network, seen = nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()), []
    network[1].register_forward_hook(lambda module, inputs, y: seen.append(module))
    accelerated = accelerate(network, RECIPE, CPU)
    accelerated(images(2, 16, 8, 8))
    assert accelerated[1] is network[1] is seen[0]
    assert accelerated_modules(network) == ["0"]


@pytest.mark.parametrize("kind", ["forward", "forward_pre"])
def test_hooks_of_all_modules_see_every_module(kind):
    network, seen = nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()), []
    register = getattr(torch.nn.modules.module, f"register_module_{kind}_hook")
    handle = register(lambda module, *_: seen.append(module))
    try:
        accelerate(network, RECIPE, CPU)(images(2, 16, 8, 8))
    finally:
        handle.remove()
    assert set(seen) == {*network.modules()}


def test_pytorchs_kernels_can_be_chosen_after_a_network_is_accelerated(monkeypatch):
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()), images(2, 16, 8, 8)
    accelerated = accelerate(network, RECIPE, CPU)
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    assert torch.equal(accelerated(x), network(x))


def test_on_another_device_the_network_is_its_own_accelerated_one():
    network = nn.Sequential(nn.Dropout(0.5))
    assert accelerate(network, RECIPE, torch.device("cuda")) is network


def test_without_kernels_an_accelerated_run_has_the_bits_of_a_plain_one(monkeypatch):
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    splits = few(64, resize=32)
    recipe = Recipe(model="vgg(depth=11, width_divisor=8, dropout=0.5)", epochs=2, batch_size=16, resize=32)
    expected = fit(recipe, splits, device="cpu")
    monkeypatch.setattr("convarium.training.trainer.accelerate", lambda network, *_: network)
    plain = fit(recipe, splits, device="cpu")
    assert all(torch.equal(plain.weights[name], tensor) for name, tensor in expected.weights.items())


class Slotted(nn.Module):
    __slots__ = ("scale",)

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.scale = 2.0

    def forward(self, x):
        return self.layer(x) * self.scale


def test_a_module_with_slots_is_shared_as_it_is():
    network = nn.Sequential(nn.Linear(4, 4), Slotted())
    copy = accelerate(network, Recipe(), torch.device("cpu"))
    x = torch.rand(2, 4)
    assert copy[1] is network[1]
    assert torch.equal(copy(x), network(x))
