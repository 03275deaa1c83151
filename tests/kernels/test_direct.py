"""Convolutions in bfloat16 are the sums that PyTorch takes, of equally rounded numbers."""

import platform
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from convarium import kernels
from convarium.kernels import compiling, direct, loading
from exact import distance, images, rounded

pytestmark = pytest.mark.usefixtures("compiled")


@settings(max_examples=50, deadline=None)
@given(
    n=st.sampled_from([1, 2, 5, 20, 32, 33, 70, 330]),
    c=st.sampled_from([1, 3, 6, 16, 48]),
    k=st.sampled_from([5, 8, 16, 24, 48]),
    height=st.integers(1, 33),
    width=st.integers(1, 33),
    side=st.sampled_from([1, 2, 3, 5, 11]),
    stride=st.integers(1, 4),
    padding=st.integers(0, 10),
    bias=st.booleans(),
)
def test_a_convolution_in_bfloat16_is_the_sum_of_its_products(n, c, k, height, width, side, stride, padding, bias):
    torch.manual_seed(0)
    padding = min(padding, side - 1)
    height, width = (max(size, side - 2 * padding) for size in (height, width))
    layer, x = nn.Conv2d(c, k, side, stride, padding, bias=bias), images(n, c, height, width, dtype=torch.bfloat16)
    parameters = list(layer.parameters())
    y = kernels.conv2d(x, layer.weight, layer.bias, stride=stride, padding=padding)
    g = torch.randn_like(y)
    ours = [y, *torch.autograd.grad(y, [x, *parameters], g)]
    wide, weight = rounded(x), rounded(layer.weight)
    start = layer.bias.detach().double().requires_grad_() if bias else None
    z = F.conv2d(wide, weight, start, stride, padding)
    theirs = [z, *torch.autograd.grad(z, [wide, weight, start][: 2 + bias], g.double())]
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    assert [a.dtype for a in ours] == [torch.bfloat16] * 2 + [torch.float32] * (1 + bias)
    errors = [distance(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert errors[2] < 1e-5  # the error of a float32 sum
    assert max(errors) < 2**-8  # the error of rounding a sum to bfloat16


@pytest.mark.parametrize("without", [[], ["avx512bf16"], ["avx512f"]], ids=str)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of another processor")
def test_other_processors_compute_the_same_in_bfloat16(without, monkeypatch, tmp_path, anew):
    monkeypatch.setattr(compiling, "FLAGS", (*compiling.FLAGS, *(f"-mno-{unit}" for unit in without)))
    monkeypatch.setattr(loading, "library_folders", lambda: [tmp_path])
    torch.manual_seed(0)
    for n, c, k, side, stride in ((5, 16, 24, 3, 1), (4, 6, 16, 5, 2), (3, 33, 40, 1, 1)):
        layer, x = nn.Conv2d(c, k, side, stride, side // 2), images(n, c, 13, 9, dtype=torch.bfloat16)
        y = kernels.conv2d(x, layer.weight, layer.bias, stride=stride, padding=side // 2)
        wide, weight = rounded(x), rounded(layer.weight)
        z = F.conv2d(wide, weight, layer.bias.detach().double(), stride, side // 2)
        g = torch.randn_like(y)
        ours, theirs = torch.autograd.grad(y, [x, layer.weight], g), torch.autograd.grad(z, [wide, weight], g.double())
        assert max(distance(y, z), distance(ours[0], theirs[0])) < 2**-8
        assert distance(ours[1], theirs[1]) < 1e-5


def test_a_very_wide_image_is_convolved_to_its_end():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(16, 16, 1, bias=False), images(1, 16, 1, 200_000, dtype=torch.bfloat16)
    y = kernels.conv2d(x, layer.weight)
    assert distance(y, F.conv2d(rounded(x), rounded(layer.weight)).detach()) < 2**-8


@pytest.mark.parametrize("bits", [0x7FFFFFFF, -1, 0x7F800001, 0x7FC00000])
def test_nan_weights_stay_nan_when_they_are_rounded(bits):
    weight, x = torch.ones(16, 16, 1, 1), images(2, 16, 3, 3, dtype=torch.bfloat16)
    weight.view(torch.int32)[3, 0] = bits
    y = kernels.conv2d(x, weight)
    assert y[:, 3].isnan().all()
    assert y.isnan().sum() == y[:, 3].numel()


@pytest.mark.parametrize(
    ("layer", "supported"),
    [
        (nn.Conv2d(16, 32, 3, 2, 0), True),
        (nn.Conv2d(3, 32, 11, 4, 1), True),
        (nn.Conv2d(16, 32, 1, 2), True),
        (nn.Conv2d(64, 128, 3), True),
        (nn.Conv2d(128, 128, 3), False),
        (nn.Conv2d(1, 32, 3), False),
        (nn.Conv2d(16, 32, 13), False),
        (nn.Conv2d(16, 32, 3, (2, 1)), False),
        (nn.Conv2d(16, 32, (3, 1)), False),
        (nn.Conv2d(16, 32, 3, padding="same"), False),
        (nn.Conv2d(16, 32, 3, padding=(1, 2)), False),
        (nn.Conv2d(16, 32, 3, padding=3), False),
        (nn.Conv2d(16, 32, 3, padding=-1), False),
        (nn.Conv2d(16, 32, 3, dilation=2), False),
        (nn.Conv2d(16, 32, 3, groups=2), False),
        (nn.Conv2d(16, 32, 3, padding=1, padding_mode="reflect"), False),
        (nn.Conv2d(16, 32, 3).double(), False),
    ],
    ids=str,
)
def test_which_convolutions_are_supported_in_bfloat16(layer, supported, monkeypatch):
    monkeypatch.setattr(direct, "library", lambda: SimpleNamespace(lanes=lambda: 16, direct_pays=lambda: True))
    assert kernels.supports_conv2d(layer, torch.bfloat16) is supported


def test_where_pytorch_has_units_for_matrices_it_convolves_in_bfloat16(monkeypatch):
    monkeypatch.setattr(direct, "library", lambda: SimpleNamespace(lanes=lambda: 16, direct_pays=lambda: False))
    assert not kernels.supports_conv2d(nn.Conv2d(16, 32, 3), torch.bfloat16)


@pytest.mark.parametrize(("c", "k", "side", "stride"), [(16, 32, 3, 1), (6, 16, 5, 1), (16, 48, 3, 2), (32, 16, 1, 2)])
def test_sums_in_bfloat16_do_not_depend_on_the_threads(c, k, side, stride, monkeypatch):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(c, k, side, stride, side // 2), images(41, c, 13, 11, dtype=torch.bfloat16)
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        y = kernels.conv2d(x, layer.weight, layer.bias, stride=stride, padding=side // 2)
        results.append([y, *torch.autograd.grad(y.square().sum(), [x, layer.weight])])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("last", [False, True])
def test_a_gradient_in_bfloat16_has_the_layout_of_its_weights(last):
    layer = nn.Conv2d(16, 16, 3).to(memory_format=torch.channels_last if last else torch.contiguous_format)
    x = images(32, 16, 8, 8, dtype=torch.bfloat16)
    y = kernels.conv2d(x, layer.weight, layer.bias)
    [gradient] = torch.autograd.grad(y.sum(), [layer.weight])
    assert gradient.stride() == layer.weight.stride()
    wide = rounded(layer.weight)
    [exact] = torch.autograd.grad(F.conv2d(rounded(x), wide).sum(), [wide])
    assert distance(gradient, exact) < 1e-5
