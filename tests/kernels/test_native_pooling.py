"""The pooled mean of a sigmoid and the pooled maximum of a ReLU, in one, are PyTorch's."""

import platform

import pytest
import torch
from torch.nn import functional as F

from convarium import kernels as native
from convarium.kernels import compiling
from exact import distance, images

pytestmark = pytest.mark.usefixtures("compiled")


def both(x):
    """Means and gradients, ours and in float64."""
    y = native.average_sigmoid(x)
    g = torch.randn_like(y)
    wide = x.detach().double().requires_grad_()
    z = F.avg_pool2d(wide.sigmoid(), 2)
    return (y, *torch.autograd.grad(y, x, g)), (z, *torch.autograd.grad(z, wide, g.double()))


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 5e-7), (torch.bfloat16, 2**-8)])
@pytest.mark.parametrize(
    "shape",
    [(256, 6, 28, 28), (3, 16, 10, 10), (2, 3, 8, 12), (1, 1, 2, 32), (2, 17, 2, 6), (1, 50, 4, 2), (1, 16384, 2, 2)],
    ids=str,
)
def test_a_pooled_sigmoid_is_pytorchs_in_float64(dtype, near, shape):
    torch.manual_seed(0)
    x = images(*shape, dtype=dtype, mean=1.0)
    ours, theirs = both(x)
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    assert max(distance(a, b) for a, b in zip(ours, theirs, strict=True)) < near


@pytest.mark.parametrize("without", ["-mno-avx512bf16", "-mno-avx512f"])
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of another processor")
def test_other_processors_pool_the_same(without, monkeypatch, tmp_path, anew):
    monkeypatch.setattr(compiling, "FLAGS", (*compiling.FLAGS, without))
    monkeypatch.setattr(compiling, "user_cache_path", lambda name: tmp_path)
    for dtype, near in ((torch.float32, 5e-7), (torch.bfloat16, 2**-8)):
        ours, theirs = both(images(4, 6, 8, 8, dtype=dtype))
        assert max(distance(a, b) for a, b in zip(ours, theirs, strict=True)) < near


def test_a_sigmoid_is_right_over_its_whole_range():
    x = torch.linspace(-86, 120, 64 * 64 * 4).view(1, 4, 64, 64).contiguous(memory_format=torch.channels_last)
    pooled = F.avg_pool2d(x.double().sigmoid(), 2)
    torch.testing.assert_close(native.average_sigmoid(x).double(), pooled, rtol=5e-7, atol=0)
    far = torch.tensor([-torch.inf, -1e30, -90, 90, 1e30, torch.inf]).repeat_interleave(2)
    y = native.average_sigmoid(far.expand(2, 32, 2, 12).contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(y[0, 0, 0], torch.tensor([0.0, 0, 0, 1, 1, 1]), rtol=0, atol=1e-37)


def test_what_is_not_a_number_stays_so_where_it_is():
    x = images(2, 6, 4, 16).detach()
    x[0, 3, 1, 5] = torch.nan
    y = native.average_sigmoid(x)
    assert y.isnan().nonzero().tolist() == [[0, 3, 0, 2]]


@pytest.mark.parametrize(
    ("shape", "can"),
    [((2, 6, 28, 28), True), ((2, 6, 27, 28), False), ((2, 6, 28, 27), False), ((2, 3, 2, 4), False)],
    ids=str,
)
def test_what_is_averaged(shape, can):
    assert native.averages(images(*shape)) is can
    assert not native.averages(images(1, 2**14, 2, 4))  # more than a stack has room for


def test_the_bits_do_not_depend_on_the_threads(monkeypatch):
    torch.manual_seed(0)
    x, wide, found = images(5, 6, 14, 14), images(5, 16, 14, 14), []
    for threads in (1, 2, 3, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        torch.manual_seed(0)
        y = native.average_sigmoid(x)
        found.append([y, *torch.autograd.grad(y.square().sum(), x), *largest(wide)[0]])
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def largest(x):
    """Maxima and gradients, ours and PyTorch's."""
    y = native.maximize_relu(x)
    g = torch.randn(y.shape).to(x.dtype).contiguous(memory_format=torch.channels_last)
    other = x.detach().clone().requires_grad_()
    z = F.max_pool2d(other.relu(), 2)
    return (y, *torch.autograd.grad(y, x, g)), (z, *torch.autograd.grad(z, other, g))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(64, 16, 24, 24), (3, 33, 4, 6), (1, 16, 2, 2), (2, 100, 8, 2)], ids=str)
def test_a_pooled_relu_has_pytorchs_bits(dtype, shape):
    torch.manual_seed(0)
    for x in (images(*shape, dtype=dtype), images(*shape, dtype=dtype).detach().round().requires_grad_()):  # with ties
        ours, theirs = largest(x)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("without", ["-mno-avx512bf16", "-mno-avx512f"])
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of another processor")
def test_other_processors_find_the_same_maxima(without, monkeypatch, tmp_path, anew):
    monkeypatch.setattr(compiling, "FLAGS", (*compiling.FLAGS, without))
    monkeypatch.setattr(compiling, "user_cache_path", lambda name: tmp_path)
    for dtype in (torch.float32, torch.bfloat16):
        ours, theirs = largest(images(4, 20, 8, 8, dtype=dtype))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_maximum_of_what_is_not_a_number_or_infinite_is_pytorchs():
    torch.manual_seed(0)
    x = images(4, 16, 8, 8).detach()
    for number in (torch.nan, torch.inf, -torch.inf):
        x[torch.rand_like(x) < 0.2] = number
    ours, theirs = largest(x.requires_grad_())
    assert ours[0].isnan().any()
    assert all(torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("shape", "can"),
    [((2, 16, 4, 4), True), ((2, 16, 5, 4), False), ((2, 16, 4, 5), False), ((2, 6, 28, 28), False)],
    ids=str,
)
def test_of_what_the_maximum_is_taken(shape, can):
    assert native.maximizes(images(*shape)) is can
