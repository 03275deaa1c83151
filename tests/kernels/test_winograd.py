"""Convolutions by Winograd's filtering are the sums that PyTorch takes."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convarium import kernels
from convarium.kernels import winograd
from exact import distance, images

pytestmark = pytest.mark.usefixtures("compiled")


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 5),
    c=st.sampled_from([6, 16, 32, 48]),
    k=st.sampled_from([13, 16, 80]),
    height=st.integers(3, 15),
    width=st.integers(3, 15),
    padding=st.integers(0, 2),
    bias=st.booleans(),
)
def test_a_convolution_is_the_sum_of_its_products(n, c, k, height, width, padding, bias):
    torch.manual_seed(0)
    layer = nn.Conv2d(c, k, 3, padding=padding, bias=bias)
    x, parameters = images(n, c, height, width), list(layer.parameters())
    y = kernels.conv2d(x, layer.weight, layer.bias, padding=padding)
    g = torch.randn_like(y)
    ours = [y, *torch.autograd.grad(y, [x, *parameters], g)]
    wide = x.detach().double().requires_grad_()
    z = layer.double()(wide)
    theirs = [z, *torch.autograd.grad(z, [wide, *layer.parameters()], g.double())]
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    assert max(distance(a, b) for a, b in zip(ours, theirs, strict=True)) < 1e-5


@pytest.mark.parametrize("n", [2, 40])  # fewer tiles than are processed at once, and more
@pytest.mark.parametrize(("c", "k"), [(80, 96), (256, 272)])
def test_a_large_layer_is_divided_differently_and_still_right(n, c, k):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(c, k, 3, padding=1, bias=False), images(n, c, 9, 9)
    y = kernels.conv2d(x, layer.weight, padding=1)
    g = torch.randn_like(y)
    [ours] = torch.autograd.grad(y, [layer.weight], g)
    layer.double()
    wide = layer(x.detach().double())
    [theirs] = torch.autograd.grad(wide, [layer.weight], g.double())
    assert max(distance(y, wide), distance(ours, theirs)) < 1e-5


@pytest.mark.parametrize(("c", "k", "filled"), [(6, 16, 6 / 8), (1, 6, 6 / 64), (3, 16, 3 / 8), (12, 24, 12 / 16)])
def test_layers_whose_channels_leave_too_much_of_the_vectors_empty_are_not_supported(c, k, filled, monkeypatch):
    monkeypatch.setattr(winograd, "library", lambda: SimpleNamespace(lanes=lambda: 8))
    assert kernels.supports_conv2d(nn.Conv2d(c, k, 3)) is (filled >= 0.7)


@pytest.mark.parametrize(
    ("layer", "supported"),
    [
        (nn.Conv2d(16, 32, 3, 1, 1), True),
        (nn.Conv2d(256, 512, 3, 1, 1), True),
        (nn.Conv2d(16, 32, 3, 2, 1), False),
        (nn.Conv2d(16, 32, 5, padding=2), False),
        (nn.Conv2d(16, 32, 1), False),
        (nn.Conv2d(16, 32, 3, (2, 1), 1), False),
        (nn.Conv2d(16, 32, 3, padding="same"), False),
        (nn.Conv2d(16, 32, 3, padding=(1, 2)), False),
        (nn.Conv2d(16, 32, 3, padding=3), False),
        (nn.Conv2d(16, 32, 3, padding=-1), False),
        (nn.Conv2d(16, 32, 3).double(), False),
    ],
    ids=str,
)
def test_which_convolutions_are_supported(layer, supported):
    assert kernels.supports_conv2d(layer) is supported


@pytest.mark.parametrize(("c", "k"), [(16, 32), (80, 96)])
def test_sums_of_a_convolution_do_not_depend_on_the_threads(c, k, monkeypatch):
    """The kernel's sums: PyTorch's products, by which weights are transformed, keep the threads that they have."""
    torch.manual_seed(0)
    layer, x = nn.Conv2d(c, k, 3, padding=1, bias=False), images(40, c, 13, 11)
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        y = kernels.conv2d(x, layer.weight, padding=1)
        results.append([y, *torch.autograd.grad(y.square().sum(), [x, layer.weight])])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_gradient_has_the_layout_of_its_weights():
    layer = nn.Conv2d(16, 16, 3).to(memory_format=torch.channels_last)
    y = kernels.conv2d(images(2, 16, 8, 8), layer.weight, layer.bias)
    [gradient] = torch.autograd.grad(y.sum(), [layer.weight])
    assert gradient.stride() == layer.weight.stride()
