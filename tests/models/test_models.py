"""What holds for every network: an architecture is covered by being listed in MODELS, a preset by its row in COUNTS."""

import math
from functools import cache
from itertools import pairwise

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from convarium.errors import ImageSizeError
from convarium.models.build import build_model, check_image, load_architecture
from convarium.models.factories import declared_options
from convarium.models.index import PARAMETERS
from convarium.models.zoo import MODELS, PRESETS
from convarium.models.zoo.layers import ACTIVATIONS, output_shape
from convarium.records import ImageSpec
from convarium.spec import parse
from small_networks import smallest_size

MNIST, CIFAR10 = ImageSpec(1, 28, 28, 10), ImageSpec(3, 32, 32, 10)
D2L_96, D2L_224 = ImageSpec(1, 96, 96, 10), ImageSpec(1, 224, 224, 10)

MEMORY_BLOG = "新的网络结构超越残差网络 (2024), its two classes at hidden_dim 784"
RESIDUAL_BLOG = "【Pytorch】残差神经网络, class Net"
MNIST_REPORT = "the course report's three blocks, with the body inferred in models/mnist_resnet.py"
D2L = "d2l.ai, summed over the layers that the chapter prints"
UVA = "UvA Deep Learning tutorial 5, summed over the tensors of its published checkpoint"
HE2015 = "He et al. 2015, table 6: 0.27, 0.46, 0.66, 0.85, 1.7 and 19.4 million; exact from section 4.2"
HE2016 = "He et al. 2016: 1.7 and 10.2 million; exact from its description"
HUANG2017 = "Huang et al. 2017, table 2: 1.0, 7.0, 27.2, 0.8, 15.3 and 25.6 million; exact from section 3"
PYTORCH_CIFAR = "github.com/kuangliu/pytorch-cifar, its class on 3×32×32"
BIASES = "the row above it without the idle biases, one a channel of every convolution"

COUNTS = [
    ("memory_mlp@memory-blog", MNIST, 1_237_162, MEMORY_BLOG),
    ("residual_mlp@memory-blog", MNIST, 1_238_730, MEMORY_BLOG),
    ("residual_cnn@residual-blog", MNIST, 41_514, RESIDUAL_BLOG),
    ("mnist_resnet@mnist-report", MNIST, 106_186, MNIST_REPORT),
    ("lenet@d2l", MNIST, 61_706, D2L),
    ("lenet", CIFAR10, 62_006, "the same with 3 channels in 32 pixels: 2·6·5·5 weights more, no padding"),
    ("alexnet@d2l", D2L_224, 46_764_746, D2L),
    ("vgg11@d2l", D2L_224, 128_806_154, D2L),
    ("vgg11@d2l-small", D2L_224, 43_093_322, D2L),
    ("nin@d2l", D2L_224, 1_992_166, D2L),
    ("vgg16@pytorch-cifar", CIFAR10, 14_728_266, PYTORCH_CIFAR),
    ("vgg(depth=16)", CIFAR10, 14_728_266 - 4_224, BIASES),
    ("vgg19@pytorch-cifar", CIFAR10, 20_040_522, PYTORCH_CIFAR),
    ("vgg(depth=19)", CIFAR10, 20_040_522 - 5_504, BIASES),
    ("googlenet@uva", CIFAR10, 260_650, UVA),
    ("googlenet", CIFAR10, 259_338, "the tutorial's JAX twin, which has no biases in front of norms"),
    ("googlenet@d2l", D2L_96, 5_977_530, D2L),
    ("resnet@uva", CIFAR10, 272_378, UVA),
    ("resnet20@he2015", CIFAR10, 269_722, HE2015),
    ("resnet32@he2015", CIFAR10, 464_154, HE2015),
    ("resnet44@he2015", CIFAR10, 658_586, HE2015),
    ("resnet56@he2015", CIFAR10, 853_018, HE2015),
    ("resnet110@he2015", CIFAR10, 1_727_962, HE2015),
    ("resnet1202@he2015", CIFAR10, 19_421_274, HE2015),
    ("plain20@he2015", CIFAR10, 269_722, HE2015),
    ("plain32@he2015", CIFAR10, 464_154, HE2015),
    ("plain44@he2015", CIFAR10, 658_586, HE2015),
    ("plain56@he2015", CIFAR10, 853_018, HE2015),
    ("plain110@he2015", CIFAR10, 1_727_962, HE2015),
    ("resnet(depth=20, shortcut='B')", CIFAR10, 269_722 + 2_752, "option A and two 1×1 convolutions with their norms"),
    ("resnet(depth=110, shortcut='B')", CIFAR10, 1_727_962 + 2_752, "the same at every depth"),
    ("resnet18", CIFAR10, 11_173_962, PYTORCH_CIFAR),
    ("resnet34", CIFAR10, 21_282_122, PYTORCH_CIFAR),
    ("resnet50", CIFAR10, 23_520_842, PYTORCH_CIFAR),
    ("resnet18@d2l", D2L_96, 11_178_378, D2L),
    ("preact_resnet@uva", CIFAR10, 272_250, UVA),
    ("preact_resnet110@he2016", CIFAR10, 1_727_962, "as many as ResNet-110: norms stand elsewhere, none is added"),
    ("preact_resnet164@he2016", CIFAR10, 1_703_258, HE2016),
    ("preact_resnet1001@he2016", CIFAR10, 10_327_706, HE2016),
    ("densenet@uva", CIFAR10, 239_146, UVA),
    ("densenet", CIFAR10, 769_162, "DenseNet-BC-100 of Huang et al. 2017"),
    ("densenet@d2l", D2L_96, 758_226, D2L),
    ("densenet40@huang2017", CIFAR10, 1_019_722, HUANG2017),
    ("densenet100@huang2017", CIFAR10, 6_979_642, HUANG2017),
    ("densenet100_k24@huang2017", CIFAR10, 27_249_082, HUANG2017),
    ("densenet_bc100@huang2017", CIFAR10, 769_162, HUANG2017),
    ("densenet_bc250@huang2017", CIFAR10, 15_324_406, HUANG2017),
    ("densenet_bc190@huang2017", CIFAR10, 25_624_430, HUANG2017),
]

QUICK = {
    "alexnet": "alexnet(width_divisor=8, hidden=64)",
    "vgg": "vgg(width_divisor=8)",
    "nin": "nin(width_divisor=8)",
    "densenet": "densenet(depth=22)",
}
"""Narrower or shallower specs of the networks whose default takes long to try with every activation."""


def every_network(test):
    of_each = pytest.mark.parametrize("model", [QUICK.get(name, name) for name in MODELS])
    return pytest.mark.usefixtures("few_blocks")(of_each(test))


every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def with_option(model: str, option: str) -> str:
    return f"{model[:-1]}, {option})" if model.endswith(")") else f"{model}({option})"


@cache
def smallest_image(model: str, *, at_least: int = 1) -> ImageSpec:
    size = max(at_least, smallest_size(model))
    return ImageSpec(1, size, size, 10)


def some_images(n: int, image: ImageSpec) -> torch.Tensor:
    return torch.randn(n, image.channels, image.height, image.width, generator=torch.Generator().manual_seed(0))


def digits(n: int, image: ImageSpec) -> tuple[torch.Tensor, torch.Tensor]:
    """Real handwritten digits of 8×8 pixels, enlarged by repetition."""
    data = load_digits()
    images = torch.tensor(data.images[:n], dtype=torch.float32)[:, None] / 8 - 1
    return F.interpolate(images, (image.height, image.width)), torch.tensor(data.target[:n])


@pytest.mark.parametrize(("model", "image", "parameters", "source"), COUNTS, ids=[row[0] for row in COUNTS])
def test_a_network_has_the_parameters_of_its_source(model, image, parameters, source):
    with torch.device("meta"):
        network = load_architecture(model).build(image)
    assert sum(p.numel() for p in network.parameters()) == parameters, source
    assert "@" not in model or PARAMETERS[model] == parameters
    assert output_shape(network, image) == (image.classes,)


def test_every_preset_is_counted_at_the_images_of_its_source():
    counted = {model: image for model, image, _, _ in COUNTS if "@" in model}
    assert counted == {name: preset.image for name, preset in PRESETS.items()}
    assert all(preset.source for preset in PRESETS.values())


@every_network
@every_activation
def test_every_network_takes_every_activation(model, activation):
    spec, image = with_option(model, f"activation={activation!r}"), smallest_image(model)
    network = build_model(spec, image, seed=1).eval()
    torch.manual_seed(1)
    again = load_architecture(spec).build(image).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())

    batch = some_images(3, image)
    with torch.no_grad():
        scores = network(batch)
        assert scores.shape == (3, image.classes)
        assert scores.isfinite().all()
        assert torch.equal(network(batch), scores), "evaluation must draw nothing"


@every_network
def test_another_seed_gives_other_weights_and_the_global_generator_is_left_alone(model):
    image = smallest_image(model)
    state = torch.get_rng_state()
    one, two = (list(build_model(model, image, seed=seed).parameters()) for seed in (1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(torch.equal(a, b) for a, b in zip(one, two, strict=True) if a.dim() > 1)


@pytest.mark.parametrize("model", MODELS)
def test_every_network_has_an_activation_and_no_module_twice(model):
    assert "activation" in declared_options(MODELS[model])
    with torch.device("meta"):
        network = load_architecture(f"{model}(activation='prelu')").build(ImageSpec(3, 32, 32, 10))
    modules = [m for _, m in network.named_modules(remove_duplicate=False)]
    assert len(modules) == len(set(map(id, modules))), "a PReLU in two places would share its slope"
    assert any(isinstance(m, nn.PReLU) for m in modules)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "image",
    [
        ImageSpec(1, 28, 28, 2),
        ImageSpec(3, 32, 32, 100),
        ImageSpec(3, 40, 28, 10),
        ImageSpec(1, 64, 96, 47),
        ImageSpec(3, 224, 224, 1000),
    ],
    ids=lambda image: f"{image.channels}x{image.height}x{image.width}-{image.classes}",
)
def test_every_network_takes_images_from_28_to_224_pixels(model, image):
    check_image(model, image)


SMALLEST = {"residual_cnn": 16, "lenet": 12, "alexnet": 15, "nin": 15, "densenet": 4}
"""The networks that cannot take a single pixel, with the height and width that their docstrings state."""


@every_network
def test_the_smallest_size_is_the_stated_one(model):
    assert smallest_size(model) == SMALLEST.get(parse(model).name, 1)


@pytest.mark.parametrize(("name", "size"), SMALLEST.items())
def test_below_the_smallest_size_the_error_names_it(name, size):
    with pytest.raises(ImageSizeError, match=f"layer .* use --resize {size}$"):
        build_model(QUICK.get(name, name), ImageSpec(1, size - 1, size - 1, 10))


@every_network
def test_working_in_place_changes_nothing(model):
    image = smallest_image(model, at_least=8)
    network = build_model(with_option(model, "activation='relu'"), image).eval()
    batch = some_images(2, image)
    with torch.no_grad():
        scores = network(batch.clone())
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        assert torch.equal(network(batch), scores)


@every_network
def test_a_gradient_reaches_every_parameter(model):
    image = smallest_image(model, at_least=8)
    network = build_model(model, image)
    images, labels = digits(32, image)
    F.cross_entropy(network(images), labels).backward()

    convs = [a for a, b in pairwise(network.modules()) if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d)]
    idle = {id(conv.bias) for conv in convs if conv.bias is not None}
    dead = [n for n, p in network.named_parameters() if id(p) not in idle and (p.grad is None or not p.grad.any())]
    assert not dead


@every_network
def test_every_network_learns_64_digits_by_heart(model):
    image = smallest_image(model, at_least=8)
    network = build_model(model, image)
    images, labels = digits(64, image)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    torch.manual_seed(0)  # of the dropout
    for _ in range(300):
        scores = network(images)
        if (scores.argmax(1) == labels).all():
            return
        optimizer.zero_grad()
        F.cross_entropy(scores, labels).backward()
        optimizer.step()
    pytest.fail("300 steps do not fit 64 images")


@every_network
def test_every_network_trains_in_bfloat16(model):
    image = smallest_image(model, at_least=8)
    network = build_model(model, image)
    images, labels = digits(16, image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(images)
    assert scores.dtype == torch.bfloat16
    F.cross_entropy(scores.float(), labels).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@every_network
def test_every_network_exports(model):
    image = smallest_image(model, at_least=8)
    network = build_model(model, image).eval()
    batch = some_images(2, image)
    program = torch.export.export(network, (batch,), strict=False)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(batch), network(batch))


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"tanh", "sigmoid"}))
def test_a_gain_keeps_the_second_moment(name):
    """Of f(z), z standard normal, by quadrature on both sides of the kink."""
    module = ACTIVATIONS[name]().double()

    def square(z: float) -> float:
        with torch.no_grad():
            return module(torch.tensor([z], dtype=torch.float64)).item() ** 2 * norm.pdf(z)

    second_moment = quad(square, -12, 0)[0] + quad(square, 0, 12)[0]
    assert ACTIVATIONS[name].gain == pytest.approx(1 / math.sqrt(second_moment), abs=5e-5)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_the_gains_of_tanh_and_sigmoid_are_those_in_common_use(name):
    assert ACTIVATIONS[name].gain == nn.init.calculate_gain(name)


def test_shapes_are_found_where_nothing_is_computed():
    with torch.device("meta"):
        network = load_architecture("vgg11@d2l").build(D2L_224)
    assert all(p.is_meta for p in network.parameters())
    assert output_shape(network, D2L_224) == (10,)
