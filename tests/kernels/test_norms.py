"""A norm with its ReLU is PyTorch's."""

import pytest
import torch
from torch import nn

from convarium import kernels
from exact import distance, images

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(6, 16, 10, 10), (4, 12, 7, 5), (64, 128, 4, 4), (2, 4, 2, 2)])
def test_a_norm_with_its_relu_is_pytorchs_in_float64(dtype, near, relu, shape):
    torch.manual_seed(0)
    layer, plain = (nn.BatchNorm2d(shape[1]) for _ in range(2))
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    plain.load_state_dict(layer.state_dict())
    x = images(*shape, dtype=dtype, mean=5.0)
    y = kernels.batch_norm(x, layer, relu=relu)
    g = torch.randn_like(y)
    wide = x.detach().double().requires_grad_()
    z = plain.double()(wide)
    z = z.relu() if relu else z
    ours = [y, *torch.autograd.grad(y, [x, *layer.parameters()], g)]
    theirs = [z, *torch.autograd.grad(z, [wide, *plain.parameters()], g.double())]
    assert max(distance(a, b) for a, b in zip(ours, theirs, strict=True)) < near
    for ours, theirs in zip(layer.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-5, atol=1e-6)


def test_a_norm_of_more_channels_than_a_stack_has_room_for_is_pytorchs():
    assert kernels.supports_batch_norm(nn.BatchNorm2d(2**13))
    assert not kernels.supports_batch_norm(nn.BatchNorm2d(2**14))


def test_a_variance_far_from_zero_is_not_lost():
    # About 1,000, with a deviation of 0.1, the mean square less the squared mean has no digit left in float32.
    torch.manual_seed(0)
    layer, x = nn.BatchNorm2d(8), images(8, 8, 16, 16).detach() * 0.1 + 1000
    y = kernels.batch_norm(x, layer, relu=False)
    assert distance(y, nn.BatchNorm2d(8).double()(x.double())) < 1e-3


def test_a_variance_does_not_hang_on_the_first_pixel():
    torch.manual_seed(0)
    layer, x = nn.BatchNorm2d(8), images(16, 8, 32, 32).detach() * 0.1 + 1000
    x[0, :, 0, 0] = 0
    y = kernels.batch_norm(x, layer, relu=False)
    assert distance(y, nn.BatchNorm2d(8).double()(x.double())) < 1e-2


def test_what_is_not_a_number_stays_so_behind_a_relu():
    x = images(2, 8, 4, 4).detach()
    x[0, 3, 1, 1] = float("nan")
    assert kernels.batch_norm(x, nn.BatchNorm2d(8), relu=True)[:, 3].isnan().all()


def test_a_norm_has_the_same_bits_with_any_number_of_threads():
    torch.manual_seed(0)
    x, layer = images(8, 16, 9, 9), nn.BatchNorm2d(16)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            y = kernels.batch_norm(x, layer, relu=True)
            found.append([y.detach(), *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))
