"""Linear layers in bfloat16 are the sums that PyTorch takes, of equally rounded numbers."""

import platform

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convarium import kernels as native
from convarium.kernels import compiling
from convarium.models.build import build_model
from convarium.models.zoo.mlp import MemoryBlock
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from convarium.training import kernels
from exact import CPU, distance, exchanged, rounded

pytestmark = pytest.mark.usefixtures("compiled")

HALF = Recipe(precision="bfloat16")


def half_bias():
    layer = nn.Linear(8, 4)
    layer.bias = nn.Parameter(layer.bias.detach().bfloat16())
    return layer


def check(n, c, k, *, upright, bias):
    """Against the same in float64."""
    torch.manual_seed(0)
    x, weight = torch.randn(n, c).bfloat16().requires_grad_(), torch.randn(*((c, k) if upright else (k, c)))
    start = torch.randn(k).requires_grad_() if bias else None
    weight.requires_grad_()
    y = native.multiply(x, weight, start, upright=upright)
    g = torch.randn(n, k).bfloat16()
    ours = [y, *torch.autograd.grad(y, [x, weight, *([start] if bias else [])], g)]
    wide, matrix = rounded(x), rounded(weight)
    shift = start.detach().double().requires_grad_() if bias else torch.zeros(())
    z = wide @ (matrix if upright else matrix.T) + shift
    theirs = [z, *torch.autograd.grad(z, [wide, matrix, *([shift] if bias else [])], g.double())]
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    assert [a.dtype for a in ours] == [torch.bfloat16] * 2 + [torch.float32] * (1 + bias)
    assert ours[2].stride() == weight.stride()
    errors = [distance(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert errors[2] < 1e-5  # of the sum
    assert max(errors) < 2**-8  # of rounding what comes of it
    return ours


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 100), c=st.integers(1, 150), k=st.integers(1, 150), upright=st.booleans(), bias=st.booleans())
def test_a_linear_layer_in_bfloat16_is_the_sum_of_its_products(n, c, k, upright, bias):
    check(n, c, k, upright=upright, bias=bias)


@pytest.mark.parametrize("upright", [False, True])
def test_threads_make_no_difference(upright, monkeypatch):
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(check(65, 100, 90, upright=upright, bias=True))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("without", [["amx-bf16"], ["amx-bf16", "avx512bf16"], ["amx-bf16", "avx512f"]], ids=str)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of another processor")
def test_other_processors_compute_the_same(without, monkeypatch, tmp_path, anew):
    monkeypatch.setattr(compiling, "FLAGS", (*compiling.FLAGS, *(f"-mno-{unit}" for unit in without)))
    monkeypatch.setattr(compiling, "user_cache_path", lambda name: tmp_path)
    assert not native.multiplies()
    for upright in (False, True):
        check(40, 50, 70, upright=upright, bias=True)


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_what_is_not_finite_stays_in_its_row(number):
    x, weight = torch.ones(20, 40, dtype=torch.bfloat16), torch.ones(20, 40)
    weight[3, 5] = number
    y = native.multiply(x, weight)
    finite = torch.ones(20, dtype=torch.bool)
    finite[3] = False
    assert torch.equal(y.isfinite(), finite.expand(20, 20))


def test_a_gradient_through_a_slice_or_an_expanded_number_is_laid_out():
    x, weight = torch.randn(8, 40).bfloat16()[:, ::2].requires_grad_(), torch.randn(6, 40)[:, ::2].requires_grad_()
    y = native.multiply(x, weight)
    ours = torch.autograd.grad(y.sum(), [x, weight])
    wide, matrix = rounded(x), rounded(weight)
    theirs = torch.autograd.grad((wide @ matrix.T).sum(), [wide, matrix])
    assert all(distance(a, b) < 2**-8 for a, b in zip(ours, theirs, strict=True))


def test_a_bias_may_lie_apart():
    x, weight, bias = torch.randn(8, 20).bfloat16(), torch.randn(6, 20), torch.randn(6, 2)[:, 0]
    exact = x.double() @ rounded(weight).T + bias.double()
    assert distance(native.multiply(x, weight, bias), exact.detach()) < 2**-8


def test_frozen_weights_and_images_have_no_gradient():
    x, weight, bias = (
        torch.randn(8, 20).bfloat16().requires_grad_(),
        torch.randn(6, 20),
        torch.randn(6).requires_grad_(),
    )
    native.multiply(x, weight, bias).sum().backward()
    assert x.grad.shape == x.shape
    assert weight.grad is None
    assert torch.equal(bias.grad, torch.full((6,), 8.0))
    native.multiply(x.detach(), weight.requires_grad_()).sum().backward()
    assert weight.grad.shape == weight.shape


def test_weights_may_not_change_before_the_way_back():
    x, weight = torch.randn(8, 20).bfloat16().requires_grad_(), torch.randn(6, 20).requires_grad_()
    y = native.multiply(x, weight)
    with torch.no_grad():
        weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_linear_layers_and_memory_blocks_are_exchanged_where_there_are_units(monkeypatch):
    network = nn.Sequential(nn.Linear(8, 8), MemoryBlock(8, 8), nn.Bilinear(8, 8, 8), nn.Linear(8, 8).double())
    for there, found in ((True, ["0", "1", "3"]), (False, [])):
        monkeypatch.setattr(native, "multiplies", lambda there=there: there)
        assert exchanged(network, HALF) == found
        assert exchanged(network) == []


@pytest.mark.parametrize("model", ["memory_mlp", "residual_mlp", "lenet", "memory_mlp(memory=False, hidden=30)"])
@pytest.mark.parametrize("merged", [False, True])
def test_a_network_is_as_near_to_its_gradients_in_float64_as_with_pytorchs_kernels(model, merged, monkeypatch):
    monkeypatch.setattr(native, "multiplies", lambda: True)
    joined, real = [], native.multiply
    monkeypatch.setattr(native, "multiply", lambda *a, **k: joined.append(1) or real(*a, **k))
    x, labels = torch.rand(32, 1, 28, 28), torch.arange(32) % 10

    def gradients(dtype, *, own):
        network = build_model(model, ImageSpec(1, 28, 28, 10), seed=0).to(dtype).train()
        for block in network.modules():
            if merged and isinstance(block, MemoryBlock) and block.memory is not None:
                block.merge()
        recipe = Recipe(precision="bfloat16" if own else "float32")
        half = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32)
        with kernels.own_kernels(network, recipe, CPU), half:
            logits = network(x.to(dtype))
        loss = nn.functional.cross_entropy(logits.to(dtype), labels)
        found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
        return torch.cat([g.flatten() for g in found if g is not None])

    exact = gradients(torch.float64, own=False)
    theirs = distance(gradients(torch.float32, own=False), exact)
    assert not joined
    assert distance(gradients(torch.float32, own=True), exact) < 1.1 * theirs
    assert joined


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Linear(8, 4), torch.randn(5, 8)),  # without autocast
        (half_bias(), torch.randn(5, 8).bfloat16()),
        (nn.Linear(8, 4).eval(), torch.randn(5, 8).bfloat16()),
        (nn.Linear(8, 4), torch.randn(2, 5, 8).bfloat16()),
        (nn.Linear(8, 4), torch.randn(0, 8).bfloat16()),
        (MemoryBlock(8, 4), torch.randn(2, 5, 8)),
    ],
)
def test_what_the_kernel_does_not_do_is_left_to_pytorch(layer, x, monkeypatch):
    monkeypatch.setattr(native, "multiplies", lambda: True)
    monkeypatch.setattr(native, "multiply", None)
    with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype == torch.bfloat16):
        expected = layer(x)
        with kernels.own_kernels(layer, HALF, CPU):
            assert torch.equal(layer(x), expected)
