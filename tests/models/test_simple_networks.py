"""The MLPs, the small residual networks, LeNet, AlexNet, VGG and NiN against their sources, line by line."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.errors import SpecError
from convarium.models.build import build_model, load_architecture
from convarium.models.describe import describe
from convarium.models.zoo.layers import IDENTITY, RELU, TANH, AvgPool2d, conv_norm, initialize, output_shape
from convarium.models.zoo.mlp import MemoryBlock
from convarium.models.zoo.residual_cnn import ResidualBlock
from convarium.records import ImageSpec
from small_networks import smallest_size

MNIST, CIFAR10, D2L_224 = ImageSpec(1, 28, 28, 10), ImageSpec(3, 32, 32, 10), ImageSpec(1, 224, 224, 10)


def some(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def same_function(network: nn.Module, reference: nn.Module, names: dict[str, str], x: Tensor) -> None:
    """Asserts equal scores once the reference's weights are in the network; `names`: reference's layer → network's."""
    weights = {}
    for key, tensor in reference.state_dict().items():
        layer, _, kind = key.rpartition(".")
        weights[f"{names.get(layer, layer)}.{kind}"] = tensor
    network.load_state_dict(weights)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(x), reference.eval()(x))


# The memory blog


class BlogMemory(nn.Module):
    """MemoryBlock of the memory blog, without its initialization."""

    def __init__(self):
        super().__init__()
        self.fc, self.mem = nn.Parameter(torch.randn(784, 784) / 28), nn.Parameter(torch.randn(784, 784) / 28)
        self.out, self.sig = nn.Linear(784, 10), nn.Sigmoid()

    def forward(self, x):
        x = x.flatten(1) @ (self.fc + self.mem)
        x = self.out(self.sig(x))
        return x + x


def test_memory_mlp_is_the_blogs():
    blog, network = BlogMemory(), build_model("memory_mlp@memory-blog", MNIST)
    with torch.no_grad():
        for ours, theirs in zip(network.parameters(), blog.parameters(), strict=True):
            ours.copy_(theirs)
    x = some(5, 1, 28, 28)
    torch.testing.assert_close(network(x), blog(x))


def test_weight_and_memory_are_xavier_uniform_and_get_the_same_gradient():
    torch.manual_seed(0)
    block = MemoryBlock(300, 200)
    bound = math.sqrt(6 / (300 + 200))
    for matrix in (block.weight, block.memory):
        assert matrix.abs().max() <= bound
        assert matrix.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert not torch.equal(block.weight, block.memory)
    block(some(4, 300)).square().sum().backward()
    assert torch.equal(block.weight.grad, block.memory.grad)


def test_a_merged_block_is_the_same_function_of_one_matrix_and_splits_again():
    block, x = MemoryBlock(30, 20).double(), torch.rand(4, 30, dtype=torch.float64)
    y, weight, memory = block(x), block.weight.clone(), block.memory.clone()
    block.merge()
    torch.testing.assert_close(block(x), y)
    gradients = torch.autograd.grad(block(x).sum(), [block.weight, block.memory], allow_unused=True)
    assert gradients[0] is not None
    assert gradients[1] is None
    block.split()
    torch.testing.assert_close(block(x), y)
    torch.testing.assert_close(block.weight, weight)
    torch.testing.assert_close(block.memory, memory)


def test_memory_adds_nothing_to_the_function_and_doubling_doubles():
    network = build_model("memory_mlp(hidden=50)", MNIST)
    single = build_model("memory_mlp(hidden=50, memory=False, doubled=False)", MNIST)
    with torch.no_grad():
        single[1].weight.copy_(network[1].weight + network[1].memory)
        single[3].load_state_dict(network[3].state_dict())
    x = some(5, 1, 28, 28)
    torch.testing.assert_close(network(x), 2 * single(x))


class BlogResidual(nn.Module):
    """ResidualBlock of the memory blog."""

    def __init__(self):
        super().__init__()
        self.fc, self.fc1, self.out, self.sig = (
            nn.Linear(784, 784),
            nn.Linear(784, 784),
            nn.Linear(784, 10),
            nn.Sigmoid(),
        )

    def forward(self, x):
        x = self.fc(x.flatten(1))
        x = self.fc1(x) + x
        return self.out(self.sig(x))


def test_residual_mlp_is_the_blogs():
    names = {"fc": "1", "fc1": "2.linear", "out": "4"}
    same_function(build_model("residual_mlp@memory-blog", MNIST), BlogResidual(), names, some(5, 1, 28, 28))


def test_residual_mlp_without_its_shortcut_has_the_same_parameters():
    assert parameters(build_model("residual_mlp(residual=False)", MNIST)) == 1_238_730


# The residual blog


class BlogBlock(nn.Module):
    """ResidualBlock of the residual blog."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x):
        y = F.relu(self.conv1(x))
        y = self.conv2(y)
        return F.relu(x + y)


class BlogNet(nn.Module):
    """Net of the residual blog."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, kernel_size=5), nn.Conv2d(16, 32, kernel_size=5)
        self.mp = nn.MaxPool2d(2)
        self.rblock1, self.rblock2 = BlogBlock(16), BlogBlock(32)
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        in_size = x.size(0)
        x = self.mp(F.relu(self.conv1(x)))
        x = self.rblock1(x)
        x = self.mp(F.relu(self.conv2(x)))
        x = self.rblock2(x)
        x = x.view(in_size, -1)
        return self.fc(x)


def test_residual_cnn_is_the_blogs():
    names = {"conv1": "0", "conv2": "4", "fc": "9"}
    names |= {f"rblock{i}.conv{j}": f"{3 + 4 * (i - 1)}.body.{2 * (j - 1)}" for i in (1, 2) for j in (1, 2)}
    same_function(build_model("residual_cnn@residual-blog", MNIST), BlogNet(), names, some(5, 1, 28, 28))


def test_a_residual_block_with_zero_weights_is_the_identity_behind_its_activation():
    block = ResidualBlock(4, RELU)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = some(2, 4, 5, 5)
    assert torch.equal(block(x), x.relu())


# The course report


def test_mnist_resnet_without_shortcuts_lacks_only_the_1x1_convolutions_and_their_norms():
    with_, without = (parameters(build_model(f"mnist_resnet(residual={r})", MNIST)) for r in (True, False))
    shortcuts = sum(parameters(conv_norm(a, b, kernel=1)) for a, b in ((1, 16), (16, 32), (32, 64)))
    assert with_ - without == shortcuts == 2_800


def test_mnist_resnet_has_the_maps_that_the_report_notes():
    network = build_model("mnist_resnet", MNIST)
    maps = [output_shape(network[: i + 1], MNIST) for i in range(3)]
    assert maps == [(16, 28, 28), (32, 14, 14), (64, 7, 7)]


def test_in_mnist_resnet_only_the_linear_layer_has_a_bias():
    modules = build_model("mnist_resnet", MNIST).modules()
    assert all((m.bias is None) == isinstance(m, nn.Conv2d) for m in modules if isinstance(m, (nn.Conv2d, nn.Linear)))


# d2l.ai


def d2l_lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip


def d2l_alexnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(96, 256, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(256, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Flatten(),
        nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(p=0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(p=0.5),
        nn.Linear(4096, 10),
    )  # fmt: skip


def d2l_vgg_block(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2))


def d2l_vgg11_small() -> nn.Sequential:
    conv_arch = [(convs, width // 4) for convs, width in ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))]
    widths = [1, *(width for _, width in conv_arch)]
    return nn.Sequential(
        *(d2l_vgg_block(convs, widths[i], width) for i, (convs, width) in enumerate(conv_arch)),
        nn.Flatten(),
        nn.Linear(128 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 10),
    )  # fmt: skip


def d2l_nin_block(in_channels: int, out_channels: int, kernel_size: int, strides: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, strides, padding), nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, kernel_size=1), nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, kernel_size=1), nn.ReLU(),
    )  # fmt: skip


def d2l_nin() -> nn.Sequential:
    return nn.Sequential(
        d2l_nin_block(1, 96, 11, 4, 0), nn.MaxPool2d(3, stride=2),
        d2l_nin_block(96, 256, 5, 1, 2), nn.MaxPool2d(3, stride=2),
        d2l_nin_block(256, 384, 3, 1, 1), nn.MaxPool2d(3, stride=2), nn.Dropout(0.5),
        d2l_nin_block(384, 10, 3, 1, 1), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "listing", "image"),
    [
        ("lenet@d2l", d2l_lenet, MNIST),
        ("alexnet@d2l", d2l_alexnet, D2L_224),
        ("vgg11@d2l-small", d2l_vgg11_small, D2L_224),
        ("nin@d2l", d2l_nin, D2L_224),
    ],
)
def test_a_d2l_network_is_the_chapters_listing_with_the_chapters_weights(preset, listing, image):
    network = build_model(preset, image)
    for module in network.modules():  # train_ch6: xavier_uniform_ on the weights of linear layers and convolutions
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            receptive = module.weight[0, 0].numel()
            bound = math.sqrt(6 / (sum(module.weight.shape[:2]) * receptive))
            assert 0.9 * bound < module.weight.abs().max() <= bound
    same_function(network, listing(), {}, some(2, 1, image.height, image.width))


# The plain names


def test_vgg_takes_28_pixels_by_rounding_up():
    image = ImageSpec(1, 28, 28, 10)
    network = build_model("vgg(width_divisor=8)", image)
    assert [output_shape(network[: i + 1], image)[1:] for i in range(5)] == [(14, 14), (7, 7), (4, 4), (2, 2), (1, 1)]


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_the_depth_of_vgg_counts_the_three_linear_layers_of_the_papers_head(depth):
    with torch.device("meta"):
        network = load_architecture(f"vgg(depth={depth}, hidden=4096)").build(CIFAR10)
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in network.modules()) == depth


def test_the_head_of_alexnet_does_not_outgrow_the_papers():
    def head_inputs(size: int, stem: str) -> int:
        image = ImageSpec(1, size, size, 10)
        with torch.device("meta"):
            network = load_architecture(f"alexnet(stem='{stem}')").build(image)
        return next(m.in_features for m in network.modules() if isinstance(m, nn.Linear))

    assert [head_inputs(size, "3x3") for size in (28, 32, 64, 224)] == [256 * side**2 for side in (2, 3, 6, 6)]
    assert head_inputs(224, "11x11") == 6400


def test_the_native_alexnet_needs_a_quarter_of_the_work_of_enlarged_images():
    enlarged, native = describe("alexnet@d2l", D2L_224), describe("alexnet", MNIST)
    assert 4 < enlarged.root.flops / native.root.flops < 5


@pytest.mark.parametrize("name", ["alexnet", "vgg", "nin"])
def test_a_convolution_has_a_bias_where_no_norm_follows(name):
    for norm in (True, False):
        with torch.device("meta"):
            modules = list(load_architecture(f"{name}(norm={norm})").build(CIFAR10).modules())
        convs = [m for m in modules if isinstance(m, nn.Conv2d)]
        norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
        assert sum(c.bias is None for c in convs) == len(norms) == (norm and len(convs) - (name == "nin"))


def test_logits_of_nin_are_negative_too_unless_the_source_is_asked_for():
    x = some(8, 3, 32, 32)
    assert build_model("nin(width_divisor=8)", CIFAR10)(x).min() < 0
    assert build_model("nin(width_divisor=8, final_relu=True)", CIFAR10)(x).min() >= 0


@pytest.mark.parametrize(
    ("model", "smallest"), [("alexnet(stem='11x11')", 65), ("nin(stem='11x11')", 67), ("alexnet", 15), ("nin", 15),
                            ("residual_cnn", 16), ("lenet", 12), ("vgg", 1), ("mnist_resnet", 1), ("memory_mlp", 1)]
)  # fmt: skip
def test_the_smallest_image_is_the_one_that_the_docstring_names(model, smallest):
    assert smallest_size(model) == smallest


@pytest.mark.parametrize(("name", "narrowest"), [("alexnet", 96), ("vgg", 64), ("nin", 96)])
def test_widths_are_divided_until_one_channel_is_left(name, narrowest):
    build_model(f"{name}(width_divisor={narrowest})", CIFAR10)
    with pytest.raises(SpecError, match=f"^option 'width_divisor' of {name}: expected 1 to {narrowest}, received"):
        build_model(f"{name}(width_divisor={narrowest + 1})", CIFAR10)


# Initial weights


def layers_for_init() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(64, 128, 3), nn.Flatten(), nn.Linear(400, 300), nn.Linear(300, 500))


@pytest.mark.parametrize(("init", "conv_fan", "linear_fan"), [("fan_in", 64 * 9, 400), ("fan_out", 128 * 9, 300)])
def test_kaiming_scales_by_the_fan_and_spares_the_last_linear_layer(init, conv_fan, linear_fan):
    torch.manual_seed(0)
    network = layers_for_init()
    last = network[3].weight.clone()
    initialize(network, f"kaiming_normal_{init}", TANH)
    assert network[0].weight.std().item() == pytest.approx(TANH.gain / math.sqrt(conv_fan), rel=0.02)
    assert network[2].weight.std().item() == pytest.approx(TANH.gain / math.sqrt(linear_fan), rel=0.02)
    assert torch.equal(network[3].weight, last)


def test_torch_init_changes_nothing():
    network = layers_for_init()
    before = [p.clone() for p in network.parameters()]
    initialize(network, "torch", RELU)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), before, strict=True))


def test_the_gain_carries_the_signal_through_a_deep_network_without_norms():
    """He et al. 2015, arXiv 1502.01852, section 2.2: with a gain of 1 each ReLU layer halves the second moment."""
    torch.manual_seed(0)
    network = nn.Sequential(*(m for _ in range(30) for m in (nn.Linear(512, 512, bias=False), nn.ReLU())))
    moments = {}
    for gain_of in (RELU, IDENTITY):
        initialize(nn.Sequential(network, nn.Linear(512, 10)), "kaiming_normal_fan_in", gain_of)
        moments[gain_of.name] = network(some(64, 512)).square().mean().item()
    assert 1 / 3 < moments["relu"] < 3
    assert moments["identity"] < 2**-28


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(8, 6), (7, 6), (5, 5)])
def test_average_pooling_is_pytorchs(size, layout):
    images = some(3, 6, *size).double().contiguous(memory_format=layout).requires_grad_()
    pooled, expected = AvgPool2d(2)(images), nn.AvgPool2d(2)(images)
    torch.testing.assert_close(pooled, expected)
    weights = torch.randn_like(expected)
    (ours,), (theirs,) = (torch.autograd.grad(y, images, weights) for y in (pooled, expected))
    torch.testing.assert_close(ours, theirs)


def test_average_pooling_sums_in_float32_under_bfloat16():
    images = some(4, 6, 8, 8).bfloat16()
    torch.testing.assert_close(AvgPool2d(2)(images), nn.AvgPool2d(2)(images.float()).bfloat16(), rtol=2**-7, atol=2**-8)
    assert AvgPool2d(2)(images).dtype == torch.bfloat16
