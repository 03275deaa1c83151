"""Gradients of the kernels can be differentiated again, also where the first gradient is a constant."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convarium import kernels
from exact import distance, images

pytestmark = pytest.mark.usefixtures("compiled")


def second_gradients(function, x, parameters):
    """The gradients of the squared norm of the input's gradient, by the input and by the parameters."""
    y = function(x)
    [gradient] = torch.autograd.grad(
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).float().sum(), x, create_graph=True
    )
    return torch.autograd.grad(gradient.float().square().sum(), [x, *parameters], allow_unused=True)


def gradient_norm(function, x, parameters):
    """A loss of the gradient by the input, with a gradient of the output that needs none itself."""
    [gradient] = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    return torch.autograd.grad(gradient.float().square().sum(), parameters)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("both", [second_gradients, gradient_norm])
def test_a_convolution_can_be_differentiated_twice(dtype, both):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(16, 16, 3, padding=1), images(2, 16, 6, 6, dtype=dtype)
    [*ours] = both(lambda x: kernels.conv2d(x, layer.weight, layer.bias, padding=1), x, [layer.weight])
    [*theirs] = both(lambda x: F.conv2d(x, layer.weight.to(dtype), None, padding=1), x, [layer.weight])
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        assert a is None or distance(a, b.double()) < (1e-4 if dtype == torch.float32 else 0.03)


@pytest.mark.parametrize("relu", [False, True])
def test_a_norm_can_be_differentiated_twice(relu):
    torch.manual_seed(0)
    layer, x = nn.BatchNorm2d(16), images(2, 16, 6, 6)

    def plain(x):
        y = F.batch_norm(x, None, None, layer.weight, layer.bias, training=True)
        return y.relu() if relu else y

    ours = second_gradients(lambda x: kernels.batch_norm(x, layer, relu=relu), x, [layer.weight])
    for a, b in zip(ours, second_gradients(plain, x, [layer.weight]), strict=True):
        assert distance(a, b.double()) < 1e-3


def test_a_convolution_gives_first_gradients_with_a_graph_as_without():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(16, 16, 3, padding=1), images(2, 16, 6, 6)
    parameters = [x, layer.weight, layer.bias]
    y = kernels.conv2d(x, *parameters[1:], padding=1)
    plain = torch.autograd.grad(y.square().sum(), parameters, retain_graph=True)
    graph = torch.autograd.grad(y.square().sum(), parameters, create_graph=True)
    assert max(distance(a, b.double()) for a, b in zip(graph, plain, strict=True)) < 1e-5
