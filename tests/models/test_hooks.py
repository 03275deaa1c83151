"""Hooks on a network of `build_model` see what passed, and gradients by others' tools work on every one unchanged."""

import warnings

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from convarium.models.build import build_model
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from convarium.training.accelerate import accelerate
from small_networks import NETWORKS

IMAGE = ImageSpec(3, 32, 32, 10)
LARGE = {"resnet34", "resnet50"}  # of the same modules as resnet18 and the others
SPECS = [spec for name, spec in NETWORKS.items() if name not in LARGE]


def built(spec):
    torch.manual_seed(0)
    network = build_model(spec, IMAGE).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return network, images


@pytest.mark.parametrize("spec", SPECS)
def test_hooks_see_every_output_and_gradient_and_nothing_of_it_is_overwritten(spec):
    network, images = built(spec)
    kept, called = [], []
    leaves = [module for module in network.modules() if not any(module.children())]
    layers = [module for module in leaves if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for module in leaves:
        module.register_forward_hook(lambda _, __, output: kept.append((output, output.detach().clone())))
    for layer in layers:
        layer.register_full_backward_hook(lambda module, *_: called.append(module))
    network(images.requires_grad_()).sum().backward()
    assert kept
    assert all(torch.equal(output, copy) for output, copy in kept)
    assert set(map(id, called)) == set(map(id, layers))


@pytest.mark.parametrize("name", ["lenet", "nin", "densenet", "plain", "resnet", "preact_resnet", "residual_variant"])
def test_captums_grad_cam_is_that_of_the_formula(name):
    """The positive part of the channels' sum, each weighted by the mean of its gradient (Selvaraju et al. 2017)."""
    network, images = built(NETWORKS[name])
    layer = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        received = LayerGradCam(network, layer).attribute(images, target=3, relu_attributions=True)
    kept = []
    with torch.enable_grad():
        handle = layer.register_forward_hook(lambda _, __, output: kept.append(output))
        logits = network(images)
        handle.remove()
        (gradient,) = torch.autograd.grad(logits[:, 3].sum(), kept[0])
    expected = (gradient.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1, keepdim=True).relu()
    assert torch.allclose(received, expected, atol=1e-5 * float(expected.abs().max()))


def test_the_training_step_alone_works_in_place():
    network, _ = built("resnet(depth=8)")
    fast = accelerate(network, Recipe(model="resnet(depth=8)"), torch.device("cpu"))
    relus = [[m.inplace for m in each.modules() if isinstance(m, nn.ReLU)] for each in (network, fast)]
    assert relus[0]
    assert not any(relus[0])
    assert all(relus[1])


def test_a_relu_that_reads_a_blocks_own_input_is_never_in_place():
    network, images = built("residual_variant(depth=8, placement='act_only_preactivation')")
    fast = accelerate(network, Recipe(model="lenet"), torch.device("cpu"))
    torch.testing.assert_close(fast(images), network(images))
