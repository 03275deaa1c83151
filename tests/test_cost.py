import math
import os
import subprocess
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convarium import cost
from convarium.building import resolve
from convarium.models import MODELS, PRESETS
from convarium.records import ImageSpec

SMALL = ImageSpec(3, 32, 32, 10)
DIGITS = ImageSpec(1, 28, 28, 10)
VERY_DEEP = ("resnet1202@he2015", "preact_resnet1001@he2016")  # the blocks of their sisters, and ten seconds of them


def native_image(model):
    """The image of a preset; of a plain network the first of CIFAR's and MNIST's that it takes."""
    if model in PRESETS:
        return PRESETS[model].image
    for image in (SMALL, DIGITS):
        try:
            with torch.device("meta"):
                network = resolve(model).build(image).eval()
                network(torch.zeros(2, image.channels, image.height, image.width))
        except (RuntimeError, ValueError):
            continue
        return image
    raise AssertionError(f"{model} takes neither CIFAR's nor MNIST's images")


def on_meta(model, image):
    with torch.device("meta"):
        return resolve(model).build(image)


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


@pytest.mark.parametrize("model", [m for m in (*MODELS, *PRESETS) if m not in VERY_DEEP])
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
    assert cost.count_macs(network, DIGITS) == 25 * 784 * 6
    assert cost.count_flops(network, DIGITS) == 2 * 25 * 784 * 6


def test_matrix_products_outside_layers_count():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("matrix", torch.ones(28, 5), persistent=False)

        def forward(self, x):
            return x @ self.matrix

    assert cost.count_macs(Product(), DIGITS) == 28 * 28 * 5


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
    assert cost.count_macs(network, DIGITS) == 28 * 28 * 10 + 2 * 10 * 10
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}


def test_a_network_that_looks_at_values_is_counted_too():
    class Looks(nn.Linear):
        def forward(self, x):
            x = x.flatten(1)
            return super().forward(-x if x.mean().item() > 1 else x)

    network = Looks(28 * 28, 10)
    assert cost.count_macs(network, DIGITS) == cost.layer_costs(network, DIGITS).flops // 2 == 28 * 28 * 10


def test_parameters_are_trainable_numbers_and_shared_ones_count_once():
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4))
    assert cost.count_parameters(network) == 16 + 16 + 8
    network[1].weight = network[0].weight
    assert cost.count_parameters(network) == 16 + 8
    network[0].weight.requires_grad_(False)
    assert cost.count_parameters(network) == 8


def test_peak_memory_holds_what_was_allocated():
    before = cost.peak_memory_bytes("cpu")
    assert before > 50e6  # an interpreter with PyTorch in it
    block = torch.ones(64 * 2**20, dtype=torch.uint8)
    grown = cost.peak_memory_bytes("cpu")
    assert grown >= before
    assert grown >= block.nbytes
    del block
    assert cost.peak_memory_bytes("cpu") >= grown * 0.99  # a peak, not the present


def test_peak_memory_without_proc_is_of_the_same_size(monkeypatch):
    from_proc = cost.peak_memory_bytes("cpu")
    monkeypatch.setattr(cost, "_proc_field", lambda file, name: None)
    assert cost.peak_memory_bytes("cpu") == pytest.approx(from_proc, rel=0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_peak_memory_of_a_cuda_device_starts_anew():
    block = torch.ones(64 * 2**20, dtype=torch.uint8, device="cuda")
    assert cost.peak_memory_bytes("cuda") >= block.nbytes
    del block
    cost.reset_peak_memory("cuda")
    assert cost.peak_memory_bytes("cuda") < 64 * 2**20
    assert cost.environment("cuda").device.startswith("cuda: ")


def test_the_cost_of_a_run():
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    run = cost.measure_cost(network, DIGITS, images=500, train_seconds=2.0, total_seconds=3.0, device="cpu")
    assert (run.parameters, run.flops) == (7850, 2 * 7840)
    assert (run.train_seconds, run.total_seconds, run.images_per_second) == (2.0, 3.0, 250.0)
    assert run.peak_memory_bytes > 0


def test_the_environment_says_where():
    here = cost.environment("cpu", stack=("a", "b"))
    assert here.convarium == metadata.version("convarium")
    assert here.torch == torch.__version__
    assert here.device == "cpu"
    assert here.threads == torch.get_num_threads()
    assert here.stack == ("a", "b")
    assert here.processor
    started = datetime.fromisoformat(here.started)
    assert timedelta(0) <= datetime.now(UTC) - started < timedelta(minutes=1)


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, env=environment)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository in which a file stands for this package's source."""
    source = tmp_path / "cost.py"
    source.write_text("one\n")
    git(tmp_path, "init", "-q")
    monkeypatch.setattr(cost, "__file__", str(source))
    cost.commit.cache_clear()
    yield tmp_path
    cost.commit.cache_clear()


def test_the_commit_is_that_of_the_checkout(checkout):
    assert cost.commit() is None  # a file inside a repository, but not of it: an installed package
    git(checkout, "add", "cost.py")
    git(checkout, "commit", "-qm", "one")
    cost.commit.cache_clear()
    clean = cost.commit()
    assert clean is not None
    assert len(clean) == 40
    Path(checkout, "cost.py").write_text("two\n")
    cost.commit.cache_clear()
    assert cost.commit() == f"{clean}-dirty"


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert cost.commit() is None
