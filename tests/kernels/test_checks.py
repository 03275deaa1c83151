"""The kernels refuse every tensor that C would misread."""

import pytest
import torch
from torch import nn

from convarium import kernels
from exact import images

pytestmark = pytest.mark.usefixtures("compiled")

WEIGHT = torch.randn(16, 16, 3, 3)
NORM = nn.BatchNorm2d(16)
REFUSED_IMAGES = {
    "float64": (images(2, 16, 8, 8, dtype=torch.float64), TypeError, "x must be torch.float32 or torch.bfloat16, not"),
    "float16": (images(2, 16, 8, 8, dtype=torch.float16), TypeError, "x must be torch.float32 or torch.bfloat16, not"),
    "integers": (torch.ones(2, 16, 8, 8, dtype=torch.uint8), TypeError, "not torch.uint8"),
    "channels first": (torch.randn(2, 16, 8, 8), ValueError, "x must be channels-last; use x.contiguous"),
    "a slice": (images(2, 16, 8, 16)[..., ::2], ValueError, "x must be channels-last"),
    "a batch expanded": (images(1, 16, 8, 8).expand(2, -1, -1, -1), ValueError, "x must be channels-last"),
    "other channels": (images(2, 32, 8, 8), ValueError, r"shape \(n, 16, h, w\) and not be empty; it has \(2, 32, 8"),
    "no batch": (torch.randn(16, 8, 8), ValueError, r"shape \(n, 16, h, w\)"),
    "empty": (images(0, 16, 8, 8), ValueError, "not be empty"),
    "another device": (
        torch.empty(2, 16, 8, 8, device="meta"),
        ValueError,
        "a dense tensor on the CPU, not .* on meta",
    ),
    "sparse": (torch.randn(2, 16, 8, 8).to_sparse(), ValueError, "a dense tensor on the CPU, not torch.sparse_coo"),
}


@pytest.mark.parametrize(("x", "error", "message"), REFUSED_IMAGES.values(), ids=REFUSED_IMAGES)
def test_images_that_the_kernels_cannot_read_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        kernels.conv2d(x, WEIGHT)
    before = {name: tensor.clone() for name, tensor in NORM.state_dict().items()}
    with pytest.raises(error, match=message):
        kernels.batch_norm(x, NORM)
    assert all(torch.equal(tensor, before[name]) for name, tensor in NORM.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("weight", "bias", "options", "error", "message"),
    [
        (WEIGHT.double(), None, {}, TypeError, "weight must be torch.float32, not torch.float64"),
        (WEIGHT.bfloat16(), None, {}, TypeError, "weight must be torch.float32, not torch.bfloat16"),
        (WEIGHT.to("meta"), None, {}, ValueError, "weight must be a dense tensor on the CPU"),
        (WEIGHT[0], None, {}, ValueError, r"weight must have shape \(k, c, side, side\) and not be empty; it has"),
        (WEIGHT[:, :, :2], None, {}, ValueError, r"weight must have shape \(k, c, side, side\)"),
        (WEIGHT[:0], None, {}, ValueError, "not be empty"),
        (WEIGHT[:, :8], None, {}, ValueError, r"x must have shape \(n, 8, h, w\)"),
        (WEIGHT, torch.randn(16).double(), {}, TypeError, "bias must be torch.float32, not torch.float64"),
        (WEIGHT, torch.randn(8), {}, ValueError, r"bias must be contiguous and have shape \(16,\); it has \(8,\)"),
        (WEIGHT, torch.randn(32)[::2], {}, ValueError, "bias must be contiguous"),
        (WEIGHT, None, {"padding": 3}, ValueError, "does not compute 3×3 kernels with stride 1 and padding 3"),
        (WEIGHT, None, {"padding": -1}, ValueError, "padding -1"),
        (WEIGHT, None, {"stride": 0}, ValueError, "stride 0"),
        (WEIGHT, None, {"stride": 12}, ValueError, "stride 12"),
        (torch.randn(16, 16, 13, 13), None, {}, ValueError, "13×13 kernels"),
        (torch.randn(16, 16, 11, 11), None, {}, ValueError, r"11×11 kernels .* images of shape \(2, 16, 8, 8\)"),
    ],
)
def test_other_arguments_of_a_convolution_are_refused(weight, bias, options, error, message, dtype):
    with pytest.raises(error, match=message):
        kernels.conv2d(images(2, 16, 8, 8, dtype=dtype), weight, bias, **options)


def test_windows_that_winograds_filtering_does_not_compute_are_refused_in_float32():
    for weight, stride in ((WEIGHT, 2), (torch.randn(16, 16, 5, 5), 1), (torch.randn(16, 16, 1, 1), 1)):
        with pytest.raises(ValueError, match=r"does not compute .* on torch.float32 images"):
            kernels.conv2d(images(2, 16, 8, 8), weight, stride=stride)


@pytest.mark.parametrize(
    ("layer", "shape", "error", "message"),
    [
        (nn.BatchNorm2d(16).double(), (2, 16, 8, 8), TypeError, "weight must be torch.float32"),
        (nn.BatchNorm2d(16).to("meta"), (2, 16, 8, 8), ValueError, "does not support BatchNorm2d"),
        (nn.BatchNorm2d(16, affine=False), (2, 16, 8, 8), ValueError, "batch_norm does not support BatchNorm2d"),
        (nn.BatchNorm2d(16, track_running_stats=False), (2, 16, 8, 8), ValueError, "does not support"),
        (nn.BatchNorm2d(16, momentum=None), (2, 16, 8, 8), ValueError, "does not support"),
        (nn.BatchNorm2d(3), (2, 3, 8, 8), ValueError, "does not support"),
        (NORM, (3, 16, 5, 5), ValueError, r"n·h·w to be a multiple of 4; x has shape \(3, 16, 5, 5\)"),
        (NORM, (1, 16, 1, 1), ValueError, "multiple of 4"),
    ],
    ids=str,
)
def test_norms_that_the_kernel_does_not_compute_are_refused(layer, shape, error, message):
    with pytest.raises(error, match=message):
        kernels.batch_norm(images(*shape), layer)


@pytest.mark.parametrize("name", ["weight", "running_var"])
def test_a_norm_with_a_tensor_of_another_shape_or_stride_is_refused(name):
    for wrong in (torch.ones(8), torch.ones(32)[::2]):
        layer = nn.BatchNorm2d(16)
        setattr(layer, name, nn.Parameter(wrong) if name == "weight" else wrong)
        with pytest.raises(ValueError, match=rf"{name} must be contiguous and have shape \(16,\)"):
            kernels.batch_norm(images(2, 16, 8, 8), layer)


def test_without_compiled_kernels_a_call_is_refused(monkeypatch):
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    with pytest.raises(RuntimeError, match="the kernels are not compiled here"):
        kernels.conv2d(images(2, 16, 8, 8), WEIGHT)
    with pytest.raises(ValueError, match="does not support"):
        kernels.batch_norm(images(2, 16, 8, 8), NORM)
