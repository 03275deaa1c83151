"""GoogLeNet, ResNet, the pre-activation networks and DenseNet. Counts are those of the papers, of the authors' code and
of UvA Deep Learning tutorial 5 and d2l.ai, where not said otherwise.
"""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tutorial5 import PRESETS as PUBLISHED
from tutorial5 import save_checkpoint, tensors

from convarium.errors import SpecError
from convarium.models.build import build_model, load_architecture
from convarium.models.index import resolve
from convarium.models.weights import load_weights
from convarium.models.zoo.densenet import DenseLayer
from convarium.models.zoo.googlenet import Inception
from convarium.models.zoo.layers import IDENTITY, RELU, PaddedIdentity
from convarium.records import ImageSpec

CIFAR10 = ImageSpec(3, 32, 32, 10)
DIGITS = ImageSpec(1, 28, 28, 10)
D2L = ImageSpec(1, 96, 96, 10)
NETWORKS = (
    "googlenet",
    "resnet(depth=8)",
    "resnet(depth=8, shortcut='A')",
    "plain(depth=8)",
    "resnet18",
    "preact_resnet(depth=8)",
    "preact_resnet(depth=8, shortcut='uva', activated_ends=False)",
    "preact_resnet(depth=11, bottleneck=True)",
    "densenet(depth=10)",
    "residual_variant(depth=8, placement='act_only_preactivation', shortcut='exclusive_gating')",
    "residual_variant(depth=8, shortcut='dropout')",
)


def on_meta(model: str, image: ImageSpec) -> nn.Module:
    with torch.device("meta"):
        return load_architecture(model).build(image)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def silence(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("image", [ImageSpec(1, 28, 28, 10), ImageSpec(3, 45, 64, 100), ImageSpec(3, 224, 224, 2)])
def test_networks_take_any_images(model, image):
    batch = torch.zeros(2, image.channels, image.height, image.width, device="meta")
    assert on_meta(model, image)(batch).shape == (2, image.classes)


def test_a_depth_that_would_fill_the_memory_is_refused_at_once():
    with pytest.raises(SpecError, match="option 'depth' of resnet is 200000000: expected at most 2,000 layers"):
        build_model("resnet(depth=200000000)", ImageSpec(3, 32, 32, 10))


@pytest.mark.parametrize(
    ("model", "nearest"),
    [
        ("resnet(depth=21)", "6n \\+ 2; use 20 or 26"),
        ("plain(depth=1)", "6n \\+ 2; use 8"),
        ("preact_resnet(depth=163)", "6n \\+ 2; use 158 or 164"),
        ("preact_resnet(depth=163, bottleneck=True)", "9n \\+ 2; use 155 or 164"),
        ("residual_variant(depth=9)", "6n \\+ 2; use 8 or 14"),
        ("densenet(depth=41)", "6n \\+ 4; use 40 or 46"),
        ("densenet(depth=41, bottleneck=None)", "3n \\+ 4; use 40 or 43"),
    ],
)
def test_a_depth_that_does_not_exist_names_the_nearest(model, nearest):
    with pytest.raises(SpecError, match=nearest):
        on_meta(model, CIFAR10)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("compression=0.0", "compression of densenet: expected 0 < θ ≤ 1"),
        ("compression=1.5", "compression of densenet"),
        ("layers=()", "layers of densenet: expected 1 or more for each block"),
        ("layers=(6, 0)", r"option 'layers' of densenet is \(6, 0\): expected a whole number of 1 or more"),
        (
            "layers=(6, 6), depth=40",
            "densenet has both depth and layers; give one, over a preset's also layers=None",
        ),
    ],
)
def test_densenet_options_out_of_range_are_refused(options, complaint):
    with pytest.raises(SpecError, match=complaint):
        on_meta(f"densenet({options})", CIFAR10)


# Residual networks


@pytest.mark.parametrize("model", ["resnet(depth=14)", "resnet18", "resnet50", "residual_variant(depth=14)"])
def test_a_residual_block_without_weights_is_the_activation(model):
    block = build_model(model, CIFAR10).blocks[1]
    silence(block.residual)
    x = torch.randn(2, block.residual[0].in_channels, 8, 8)
    assert torch.equal(block(x), F.relu(x))


@pytest.mark.parametrize(
    "model",
    [
        "preact_resnet(depth=14)",
        "preact_resnet(depth=20, bottleneck=True)",
        "preact_resnet@uva",
        "residual_variant(depth=14, placement='act_before_addition')",
        "residual_variant(depth=14, placement='act_only_preactivation')",
        "residual_variant(depth=14, placement='full_preactivation')",
    ],
)
def test_a_preactivation_block_without_weights_is_the_identity(model):
    block = build_model(model, CIFAR10).blocks[1]
    silence(block.residual)
    channels = next(m for m in block.residual if isinstance(m, nn.Conv2d)).in_channels
    x = torch.randn(2, channels, 8, 8)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("model", [m for m in NETWORKS if m != "googlenet"])
def test_no_block_changes_its_own_input(model):
    network = build_model(model, CIFAR10).train()
    x = network.stem(torch.randn(2, 3, 32, 32))
    for block in network.blocks:
        before = x.clone()
        y = block(x)
        assert torch.equal(x, before)
        x = y


@pytest.mark.parametrize("depth", [8, 20])
def test_plain_has_exactly_the_residual_weights(depth):
    plain = build_model(f"plain(depth={depth})", CIFAR10, seed=3).state_dict()
    option_a = build_model(f"resnet(depth={depth}, shortcut='A')", CIFAR10, seed=3).state_dict()
    assert plain.keys() == option_a.keys()
    assert all(torch.equal(plain[name], option_a[name]) for name in plain)
    option_b = build_model(f"resnet(depth={depth})", CIFAR10).state_dict()
    assert {k: v.shape for k, v in option_b.items() if ".shortcut." not in k} == {k: v.shape for k, v in plain.items()}


def test_a_plain_block_without_weights_forgets_its_input():
    block = build_model("plain(depth=14)", CIFAR10).blocks[1]
    silence(block.residual)
    assert not block(torch.randn(2, 16, 8, 8)).any()


@pytest.mark.parametrize("size", [8, 7])
def test_option_a_is_every_second_pixel_and_channels_of_zeros(size):
    x = torch.randn(2, 16, size, size)
    y = PaddedIdentity(16, 32, stride=2)(x)
    assert torch.equal(y[:, :16], x[:, :, ::2, ::2])
    assert y.shape == (2, 32, 4, 4)
    assert not y[:, 16:].any()


def test_stages_halve_the_image_and_double_the_channels():
    x = build_model("resnet(depth=8)", CIFAR10).stem(torch.zeros(1, 3, 32, 32))
    shapes = []
    for block in build_model("resnet(depth=8)", CIFAR10).blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_a_preactivation_projection_reads_what_the_residual_branch_reads():
    """He et al. 2016, appendix: the norm and act of a block that changes the shape are common to both its branches."""
    norm, act, block = build_model("preact_resnet(depth=8)", CIFAR10).eval().blocks[1]
    x = torch.randn(2, 16, 8, 8)
    z = F.relu(norm(x))
    expected = F.conv2d(z, block.shortcut.weight, stride=2) + block.residual(z)
    assert torch.equal(block(act(norm(x))), expected)


def test_the_ends_of_a_preactivation_network():
    """He et al. 2016, appendix; the tutorial has neither."""
    right, uva = build_model("preact_resnet", CIFAR10), build_model("preact_resnet@uva", CIFAR10)
    assert kinds(right.stem) == "cna"
    assert kinds(right.blocks[0].residual) == "cnac"
    assert kinds(right.head)[:2] == "na"
    assert kinds(uva.stem) == "c"
    assert kinds(uva.blocks[0].residual) == "nacnac"
    assert kinds(uva.head) == "..."


# The units of He et al. 2016


def kinds(modules: nn.Module) -> str:
    letters = {nn.Conv2d: "c", nn.BatchNorm2d: "n", nn.ReLU: "a"}
    return "".join(letters.get(type(m), ".") for m in modules.children())


@pytest.mark.parametrize(
    ("placement", "residual", "after", "first", "end"),
    [  # figure 4 a to e, and the appendix
        ("original", "cnacn", "a", "cnacn", ""),
        ("norm_after_addition", "cnac", "na", "cnac", ""),
        ("act_before_addition", "cnacna", "", "cnacna", ""),
        ("act_only_preactivation", "acnacn", "", "cnacn", "a"),
        ("full_preactivation", "nacnac", "", "cnac", "na"),
    ],
)
def test_placements_stand_in_the_papers_order(placement, residual, after, first, end):
    network = build_model(f"residual_variant(depth=14, placement={placement!r})", CIFAR10)
    assert kinds(network.stem) == "cna"
    assert kinds(network.blocks[0].residual) == first
    for unit in network.blocks[1:]:
        assert (kinds(unit.residual), kinds(unit.after)) == (residual, after)
    assert kinds(network.head) == end + "..."


def unit(shortcut: str, **options: float) -> nn.Module:
    given = "".join(f", {name}={value}" for name, value in options.items())
    model = f"residual_variant(depth=14, activation='identity', shortcut={shortcut!r}{given})"
    return build_model(model, CIFAR10).eval().blocks[1]


def test_shortcuts_add_as_in_table_1():
    x = torch.randn(2, 16, 8, 8)
    g = torch.tensor(-6.0).sigmoid()
    gated = {name: unit(name) for name in ("exclusive_gating", "shortcut_gating")}
    for gate in (u.add.gate for u in gated.values()):
        nn.init.zeros_(gate.weight)
    expected = {
        unit("identity"): lambda f: x + f,
        unit("half"): lambda f: 0.5 * x + f,
        unit("half_both"): lambda f: 0.5 * x + 0.5 * f,
        gated["exclusive_gating"]: lambda f: (1 - g) * x + g * f,
        gated["shortcut_gating"]: lambda f: (1 - g) * x + f,
        unit("dropout"): lambda f: x + f,
        (convolved := unit("conv")): lambda f: convolved.add.h(x) + f,
    }
    for module, value in expected.items():
        torch.testing.assert_close(module(x), value(module.residual(x)))
    assert kinds(convolved.add.h) == "cn"


def test_a_gate_is_a_sigmoid_of_a_1x1_convolution_that_starts_at_the_bias_given():
    module = unit("shortcut_gating", gate_bias=-3.0)
    gate = module.add.gate
    assert gate.kernel_size == (1, 1)
    assert torch.equal(gate.bias, torch.full((16,), -3.0))
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(module(x), (1 - torch.sigmoid(gate(x))) * x + module.residual(x))


def test_the_dropout_shortcut_drops_half_of_x_in_training():
    module = unit("dropout").train()
    silence(module.residual)
    ratio = module(torch.ones(4, 16, 32, 32))
    assert set(ratio.unique().tolist()) == {0.0, 2.0}
    assert 0.45 < ratio.mean() / 2 < 0.55


@pytest.mark.parametrize(
    ("variant", "network"),
    [
        ("placement='original'", "resnet(depth=14, shortcut='A')"),
        ("placement='full_preactivation'", "preact_resnet(depth=14, shortcut='A')"),
    ],
)
def test_two_variants_are_the_papers_two_networks(variant, network):
    a, b = build_model(f"residual_variant(depth=14, {variant})", CIFAR10), build_model(network, CIFAR10)
    a.load_state_dict(dict(zip(a.state_dict(), b.state_dict().values(), strict=True)))
    x = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(a(x), b(x))


# Inception blocks


def test_the_branches_of_an_inception_block_see_1_3_5_and_3_pixels():
    widths = [4, 5, 6, 7]
    block = Inception(3, 4, (8, 5), (8, 6), 7, lambda i, o, k: [nn.Conv2d(i, o, k, padding=k // 2), IDENTITY()])
    x = torch.randn(32, 3, 9, 9, requires_grad=True)
    branches = block(x).split(widths, dim=1)
    for branch, size in zip(branches, [1, 3, 5, 3], strict=True):
        (seen,) = torch.autograd.grad(branch[:, :, 4, 4].sum(), x, retain_graph=True)
        rows = (seen.abs().sum((0, 1)) > 0).nonzero()
        assert (rows.min(0).values.tolist(), rows.max(0).values.tolist()) == ([4 - size // 2] * 2, [4 + size // 2] * 2)


def test_the_last_branch_of_an_inception_block_is_a_1x1_convolution_of_a_3x3_maximum():
    block = Inception(3, 4, (8, 5), (8, 6), 7, lambda i, o, k: [nn.Conv2d(i, o, k, padding=k // 2), RELU()])
    x = torch.randn(2, 3, 8, 8)
    conv = block.max_pool[1]
    pooled = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=float("-inf")), 3, stride=1)
    torch.testing.assert_close(block(x)[:, -7:], F.relu(F.conv2d(pooled, conv.weight, conv.bias)))


# Dense layers


@pytest.mark.parametrize("bottleneck", [4, None])
def test_a_dense_layer_puts_its_growth_behind_its_input_and_in_uvas_network_before_it(bottleneck):
    x = torch.randn(2, 24, 8, 8)
    paper = DenseLayer(24, 12, bottleneck, RELU, "input_first", False).eval()
    uva = copy.deepcopy(paper)
    uva.new_first = True
    new = paper.composite(x)
    assert new.shape == (2, 12, 8, 8)
    assert torch.equal(paper(x), torch.cat([x, new], dim=1))
    assert torch.equal(uva(x), torch.cat([new, x], dim=1))
    assert build_model("densenet@uva", CIFAR10).blocks[0][0].new_first
    assert not build_model("densenet(depth=16)", CIFAR10).blocks[0][0].new_first


@pytest.mark.parametrize("stem", ["3x3", "7x7"])
@pytest.mark.parametrize(("conv_bias", "first", "others"), [("none", 0, 0), ("stem", 1, 0), ("all", 1, 1)])
def test_conv_bias_of_densenet_is_of_no_convolution_the_first_or_all(stem, conv_bias, first, others):
    network = on_meta(f"densenet(depth=10, stem={stem!r}, conv_bias={conv_bias!r})", CIFAR10)
    biased = [m.bias is not None for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert biased == [first, *[others] * (len(biased) - 1)]


def test_a_depth_beside_a_presets_layers_takes_their_place():
    assert parameters(on_meta("densenet@uva(depth=22, layers=None)", CIFAR10)) == parameters(
        on_meta("densenet(layers=(3, 3, 3), growth=16, bottleneck=2, conv_bias='stem')", CIFAR10)
    )


def test_a_transition_halves_channels_and_image():
    network = build_model("densenet(depth=16)", CIFAR10)
    assert kinds(network.blocks[1]) == "nac."
    assert network.blocks[1](torch.randn(2, 48, 8, 8)).shape == (2, 24, 4, 4)


# Published weights: the tutorial's networks, written out with torch.nn.functional on the tensors of a checkpoint


def norm(t: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.batch_norm(
        x, t[f"{name}.running_mean"], t[f"{name}.running_var"], t[f"{name}.weight"], t[f"{name}.bias"], eps=1e-5
    )


def conv(t: dict[str, Tensor], name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = t[f"{name}.weight"]
    return F.conv2d(x, weight, t.get(f"{name}.bias"), stride=stride, padding=weight.shape[-1] // 2)


def linear(t: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x.mean((2, 3)), t[f"{name}.weight"], t[f"{name}.bias"])


def googlenet(t: dict[str, Tensor], x: Tensor) -> Tensor:
    def unit(prefix: str, i: int, x: Tensor) -> Tensor:
        return F.relu(norm(t, f"{prefix}.{i + 1}", conv(t, f"{prefix}.{i}", x)))

    x = unit("input_net", 0, x)
    for i in range(10):
        b = f"inception_blocks.{i}"
        if i in (2, 7):
            x = F.max_pool2d(x, 3, stride=2, padding=1)
            continue
        one = unit(f"{b}.conv_1x1", 0, x)
        three = unit(f"{b}.conv_3x3", 3, unit(f"{b}.conv_3x3", 0, x))
        five = unit(f"{b}.conv_5x5", 3, unit(f"{b}.conv_5x5", 0, x))
        pool = unit(f"{b}.max_pool", 1, F.max_pool2d(x, 3, stride=1, padding=1))
        x = torch.cat([one, three, five, pool], dim=1)
    return linear(t, "output_net.2", x)


def resnet(t: dict[str, Tensor], x: Tensor) -> Tensor:
    x = F.relu(norm(t, "input_net.1", conv(t, "input_net.0", x)))
    for i in range(9):
        b, stride = f"blocks.{i}", 2 if i in (3, 6) else 1
        z = F.relu(norm(t, f"{b}.net.1", conv(t, f"{b}.net.0", x, stride)))
        z = norm(t, f"{b}.net.4", conv(t, f"{b}.net.3", z))
        x = F.relu(z + (conv(t, f"{b}.downsample", x, stride) if stride == 2 else x))
    return linear(t, "output_net.2", x)


def preact_resnet(t: dict[str, Tensor], x: Tensor) -> Tensor:
    x = conv(t, "input_net.0", x)
    for i in range(9):
        b, stride = f"blocks.{i}", 2 if i in (3, 6) else 1
        z = conv(t, f"{b}.net.2", F.relu(norm(t, f"{b}.net.0", x)), stride)
        z = conv(t, f"{b}.net.5", F.relu(norm(t, f"{b}.net.3", z)))
        x = z + (conv(t, f"{b}.downsample.2", F.relu(norm(t, f"{b}.downsample.0", x)), 2) if stride == 2 else x)
    return linear(t, "output_net.2", x)


def densenet(t: dict[str, Tensor], x: Tensor) -> Tensor:
    x = conv(t, "input_net.0", x)
    for i in range(7):
        b = f"blocks.{i}"
        if i % 2:
            x = conv(t, f"{b}.transition.2", F.relu(norm(t, f"{b}.transition.0", x)))
            x = F.avg_pool2d(x, 2)
            continue
        for j in range(6):
            layer = f"{b}.block.{j}.net"
            z = conv(t, f"{layer}.2", F.relu(norm(t, f"{layer}.0", x)))
            z = conv(t, f"{layer}.5", F.relu(norm(t, f"{layer}.3", z)))
            x = torch.cat([z, x], dim=1)
    return linear(t, "output_net.4", F.relu(norm(t, "output_net.0", x)))


@pytest.mark.parametrize(
    ("name", "evaluate"),
    [("GoogleNet", googlenet), ("ResNet", resnet), ("ResNetPreAct", preact_resnet), ("DenseNet", densenet)],
)
def test_published_weights_give_the_published_function(tmp_path, monkeypatch, name, evaluate):
    values = tensors(name)
    save_checkpoint(tmp_path / "published.ckpt", values, monkeypatch)
    network = load_weights(tmp_path / "published.ckpt", PUBLISHED[name], CIFAR10).eval()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, expected = network(x), evaluate(values, x)
    assert logits.std() > 0.01
    torch.testing.assert_close(logits / expected.abs().max(), expected / expected.abs().max(), rtol=0, atol=1e-5)


# What training and export do with a network


@pytest.mark.parametrize("model", NETWORKS)
def test_networks_are_stacked_and_autocast(model):
    networks = [build_model(model, DIGITS, seed=seed).eval() for seed in range(2)]
    x = torch.randn(2, 2, 1, 28, 28)

    def call(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(networks[0], (weights, buffers), (x,))

    with torch.no_grad():
        separate = torch.stack([network(part) for network, part in zip(networks, x, strict=True)])
        stacked = torch.func.vmap(call)(*torch.func.stack_module_state(networks), x)
        torch.testing.assert_close(stacked, separate, rtol=1e-3, atol=1e-3)
        with torch.autocast("cpu", torch.bfloat16):
            assert networks[0](x[0]).isfinite().all()


@pytest.mark.parametrize("model", [m for m in NETWORKS if m not in ("googlenet", "resnet18")])  # slow to export
def test_networks_are_exported(model):
    network = build_model(model, DIGITS).eval()
    x = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(torch.export.export(network, (x,)).module()(x), network(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("preset", "plain"),
    [
        ("densenet40@huang2017", "densenet(depth=40, bottleneck=None, compression=1, init='kaiming_normal_fan_out')"),
        ("preact_resnet164@he2016", "preact_resnet(depth=164, bottleneck=True)"),
        ("residual_variant(depth=8, classifier_bias='zero')", "residual_variant(depth=8)"),
    ],
)
def test_the_bias_of_the_classifier_starts_at_zero_where_the_authors_code_has_it_so(preset, plain):
    """`v.bias:zero()` for every nn.Linear, in fb.resnet.torch and in the code of both papers, which is made of it."""
    networks = []
    for model in (preset, plain):
        torch.manual_seed(0)
        networks.append(load_architecture(model).build(CIFAR10).state_dict())
    zero, drawn = networks
    (name,) = (name for name, value in drawn.items() if name.startswith("head") and value.shape == (10,))
    assert not zero.pop(name).any()
    assert drawn.pop(name).abs().max() > 0
    assert all(torch.equal(zero[other], drawn[other]) for other in drawn)
    assert "classifier_bias" not in resolve(plain).key_spec
    assert "classifier_bias='zero'" in resolve(preset).key_spec
