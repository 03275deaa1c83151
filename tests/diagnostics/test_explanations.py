"""Saliency and Grad-CAM are captum's; occlusion finds what alone matters; nothing of the network is changed."""

import warnings

import pytest
import torch
from captum.attr import LayerGradCam, Saliency
from torch import nn

import convarium
from convarium.diagnostics import explain
from convarium.errors import ConvariumError, SpecError
from convarium.models.build import build_model
from convarium.records import ImageSpec

SPEC = ImageSpec(3, 32, 32, 10)
NETWORKS = ["lenet(activation='tanh')", "resnet(depth=8)", "densenet(depth=10)"]


def built(spec):
    torch.manual_seed(0)
    network = build_model(spec, SPEC).eval()
    return network, torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("spec", NETWORKS)
def test_saliency_is_captums(spec):
    network, images = built(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = Saliency(network).attribute(images.clone().requires_grad_(), target=3).amax(1)
    for image, heat in zip(images, expected, strict=True):
        assert torch.allclose(torch.tensor(explain(network, image, target=3).heat), heat, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("spec", NETWORKS)
def test_grad_cam_is_captums_for_any_convolution(spec):
    network, images = built(spec)
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    for name, module in [next(iter(layers.items())), [*layers.items()][-1]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = LayerGradCam(network, module).attribute(images, target=3, relu_attributions=True).detach()[:, 0]
        for image, heat in zip(images, expected, strict=True):
            found = explain(network, image, method="grad_cam", target=3, layer=name)
            assert found.layer == name
            assert torch.allclose(torch.tensor(found.heat), heat, rtol=1e-3, atol=1e-4 * float(heat.max()) + 1e-9)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("lenet", "3"),
        ("nin(width_divisor=8)", "7.6"),
        ("resnet(depth=8)", "blocks.2.residual.3"),  # not blocks.2.shortcut.0, which is defined later
        ("preact_resnet(depth=8)", "blocks.2.2.residual.3"),
        ("residual_variant(depth=8, shortcut='exclusive_gating')", "blocks.2.residual.3"),  # not its gate
        ("densenet(depth=10)", "blocks.4.0.composite.5"),
        ("googlenet", "blocks.9.conv_3x3.3"),  # of four branches, as deep as that of 5 × 5, and wider
    ],
)
def test_grad_cam_takes_the_deepest_convolution(spec, expected):
    network, images = built(spec)
    assert explain(network, images[0], method="grad_cam").layer == expected


def test_the_deepest_convolution_does_not_depend_on_the_order_of_definition_or_of_computing():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.residual = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
            self.shortcut, self.unused = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 1)

        def forward(self, x):
            f = self.residual(x)
            self.unused(f)
            return (f + self.shortcut(x)).mean((2, 3))

    assert explain(Block(), torch.ones(3, 8, 8), method="grad_cam").layer == "residual.2"


def test_occlusion_finds_the_only_pixels_that_matter():
    class Corner(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            seen = self.scale * x[:, :, 2:5, 20:23].sum((1, 2, 3))
            return torch.stack([seen, torch.zeros_like(seen)], dim=1)

    heat = explain(Corner(), torch.ones(3, 32, 32), method="occlusion", target=0, square=4).heat
    assert heat.shape == (32, 32)
    assert heat[3, 21] == heat.max() > 0
    assert heat[12:].max() == 0
    pixel = explain(Corner(), torch.full((3, 32, 32), 0.1), method="occlusion", target=0, square=1).heat
    assert set(zip(*pixel.nonzero(), strict=True)) == {(y, x) for y in (2, 3, 4) for x in (20, 21, 22)}


def test_the_class_is_the_answer_unless_it_is_given_and_each_method_says_what_it_does_not_show():
    network, images = built("resnet(depth=8)")
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for method in ("saliency", "grad_cam", "occlusion"):
        found = convarium.explain(network, images[0], method=method, square=16)
        assert found.limits.startswith("It does not show")
        assert found.heat.min() >= 0
    with torch.no_grad():
        assert found.target == int(network.eval()(images[:1]).argmax())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "shap"}, "unknown method 'shap'"),
        ({"target": 10}, "the network has no such class: expected 0 to 9, received 10"),
        ({"method": "grad_cam", "layer": "stem.9"}, "unknown convolution 'stem.9'"),
        ({"method": "occlusion", "square": 0}, "side of the square"),
    ],
)
def test_a_wrong_question_is_one_sentence(wrong, message):
    network, images = built("resnet(depth=8)")
    with pytest.raises((SpecError, ConvariumError), match=message):
        explain(network, images[0], **wrong)


def test_an_image_needs_its_three_dimensions_and_grad_cam_a_convolution():
    network, images = built("memory_mlp(hidden=4)")
    with pytest.raises(ConvariumError, match=r"the wrong shape: expected \(c, h, w\), normalized, received \(4, 3, 32"):
        explain(network, images)
    with pytest.raises(ConvariumError, match="Grad-CAM takes a convolution, and the network has none"):
        explain(network, images[0], method="grad_cam")
