"""Convolutions by Winograd's filtering are the sums that PyTorch takes."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convarium import kernels as native
from convarium.kernels import convolution
from exact import distance, images

pytestmark = pytest.mark.usefixtures("compiled")


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 5),
    c=st.sampled_from([6, 16, 32, 48]),
    k=st.sampled_from([13, 16, 80]),
    height=st.integers(5, 15),
    width=st.integers(5, 15),
    # side, stride, padding
    window=st.one_of(st.tuples(st.sampled_from([3, 5]), st.just(1), st.integers(0, 2)), st.just((3, 2, 1))),
    bias=st.booleans(),
)
def test_a_convolution_is_the_sum_of_its_products(n, c, k, height, width, window, bias):
    torch.manual_seed(0)
    layer = nn.Conv2d(c, k, *window, bias=bias)
    x, parameters = images(n, c, height, width), list(layer.parameters())
    y = native.convolve(x, layer.weight, layer.bias, *window[1:])
    g = torch.randn_like(y)
    ours = [y, *torch.autograd.grad(y, [x, *parameters], g)]
    wide = x.detach().double().requires_grad_()
    z = layer.double()(wide)
    theirs = [z, *torch.autograd.grad(z, [wide, *layer.parameters()], g.double())]
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    assert max(distance(a, b) for a, b in zip(ours, theirs, strict=True)) < 1e-5


@pytest.mark.parametrize("n", [2, 40])  # fewer tiles than are taken at once, and more
@pytest.mark.parametrize(
    ("c", "k", "side", "stride"), [(80, 96, 3, 1), (256, 272, 3, 1), (32, 256, 5, 1), (80, 96, 3, 2)]
)
def test_a_large_layer_is_divided_otherwise_and_likewise_right(n, c, k, side, stride):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(c, k, side, stride, padding=side // 2, bias=False), images(n, c, 9 * stride, 9)
    y = native.convolve(x, layer.weight, None, stride, side // 2)
    g = torch.randn_like(y)
    [ours] = torch.autograd.grad(y, [layer.weight], g)
    layer.double()
    wide = layer(x.detach().double())
    [theirs] = torch.autograd.grad(wide, [layer.weight], g.double())
    assert max(distance(y, wide), distance(ours, theirs)) < 1e-5


@pytest.mark.parametrize(("c", "k", "filled"), [(6, 16, 6 / 8), (1, 6, 6 / 64), (3, 16, 3 / 8), (12, 24, 12 / 16)])
def test_channels_that_leave_too_much_of_the_vectors_empty_are_pytorchs(c, k, filled, monkeypatch):
    monkeypatch.setattr(convolution, "library", lambda: SimpleNamespace(lanes=lambda: 8))
    assert native.convolves(nn.Conv2d(c, k, 5)) is (filled >= 0.7)


@pytest.mark.parametrize(
    ("layer", "known"),
    [
        (nn.Conv2d(16, 32, 3, 2, 1), True),
        (nn.Conv2d(16, 32, 3, 2, 0), False),
        (nn.Conv2d(16, 32, 5, 2, 2), False),
        (nn.Conv2d(16, 32, 3, (2, 1), 1), False),
        (nn.Conv2d(16, 32, 1, 2), False),
        (nn.Conv2d(256, 512, 3, 2, 1), False),
        (nn.Conv2d(256, 512, 3, 1, 1), True),
        (nn.Conv2d(16, 32, 3, padding="same"), False),
        (nn.Conv2d(16, 32, 3, padding=(1, 2)), False),
        (nn.Conv2d(16, 32, 3, padding=3), False),
        (nn.Conv2d(16, 32, 3, padding=-1), False),
    ],
    ids=str,
)
def test_which_convolutions_are_known(layer, known):
    assert native.convolves(layer) is known


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 4), (17, 3)], ids=str)
def test_the_smallest_images_and_the_edges_of_tiles_with_a_stride(size):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(16, 32, 3, 2, 1), images(3, 16, *size)
    y = native.convolve(x, layer.weight, layer.bias, 2, 1)
    g = torch.randn_like(y)
    ours = [y, *torch.autograd.grad(y, [x, layer.weight], g)]
    wide = x.detach().double().requires_grad_()
    z = layer.double()(wide)
    theirs = [z, *torch.autograd.grad(z, [wide, layer.weight], g.double())]
    assert max(distance(a, b) for a, b in zip(ours, theirs, strict=True)) < 1e-5


@pytest.mark.parametrize(
    ("c", "k", "side", "stride"), [(16, 32, 3, 1), (16, 32, 5, 1), (16, 32, 3, 2), (80, 96, 3, 1), (80, 96, 3, 2)]
)
def test_sums_of_a_convolution_do_not_depend_on_the_threads(c, k, side, stride, monkeypatch):
    """Ours, that is: PyTorch's products, with which weights are transformed, go on with the threads that they have."""
    torch.manual_seed(0)
    layer, x = nn.Conv2d(c, k, side, stride, side // 2, bias=False), images(40, c, 13, 11)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        y = native.convolve(x, layer.weight, None, stride, side // 2)
        found.append([y, *torch.autograd.grad(y.square().sum(), [x, layer.weight])])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_gradient_lies_as_its_weights_do():
    layer = nn.Conv2d(16, 16, 3).to(memory_format=torch.channels_last)
    y = native.convolve(images(2, 16, 8, 8), layer.weight, layer.bias, 1, 0)
    [gradient] = torch.autograd.grad(y.sum(), [layer.weight])
    assert gradient.stride() == layer.weight.stride()
