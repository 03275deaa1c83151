"""From a spec to a network: options, presets, users' own factories, image sizes, and every error on the way."""

import hashlib
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from convarium.errors import ImageSizeError, SpecError
from convarium.models.build import build_model, check_image, load_architecture
from convarium.models.factories import check_source_unchanged, factory_digest
from convarium.models.index import resolve
from convarium.models.zoo import MODELS, PRESETS
from convarium.records import ImageSpec
from own_modules import write
from small_networks import smallest_size

GUIDE = (Path(__file__).parents[2] / "docs" / "add-an-architecture.md").read_text(encoding="utf-8")
DIGITS = ImageSpec(1, 8, 8, 10)
LINEAR = """
    from torch import nn

    def linear(spec, activation):
        return nn.Sequential(nn.Flatten(), nn.Linear(spec.channels * spec.height * spec.width, spec.classes))
"""


# Names, options, presets


@pytest.mark.parametrize("name", [*MODELS, *PRESETS])
def test_the_canonical_spec_means_the_same_network_and_is_its_own(name):
    resolved = resolve(name)
    again = resolve(resolved.canonical)
    assert (again.name, again.options, again.canonical) == (resolved.name, resolved.options, resolved.canonical)
    assert all(f"{option}=" in resolved.canonical for option in resolved.options)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("lenet", "lenet(pool='max')"),
        ("alexnet(dropout=0)", "alexnet(dropout=0.0)"),
        ("vgg(depth=16, norm=False)", "vgg(norm=False, depth=16)"),
        ("lenet@d2l", "lenet(activation='sigmoid', pool='avg', init='xavier_uniform')"),
        ("vgg11@d2l(dropout=0.0, width_divisor=4)", "vgg11@d2l-small(dropout=0)"),
    ],
)
def test_two_texts_for_one_network_have_one_canonical_spec(one, other):
    assert resolve(one).canonical == resolve(other).canonical


def test_a_preset_resolves_to_its_plain_network_and_yields_to_options_beside_it():
    resolved = resolve("vgg11@d2l(activation='gelu')")
    assert (resolved.name, resolved.preset) == ("vgg", PRESETS["vgg11@d2l"])
    assert (resolved.options["activation"], resolved.options["hidden"]) == ("gelu", 4096)
    assert resolve("vgg").preset is None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lenett", "unknown model 'lenett'; did you mean 'lenet' or "),
        ("mlp", "unknown model 'mlp'; did you mean 'memory_mlp' or 'residual_mlp'? (convarium list models)"),
        ("vgg11", "unknown model 'vgg11'; did you mean 'vgg' or 'vgg11@d2l' or 'vgg11@d2l-small'?"),
        ("zzz", "unknown model 'zzz'; choose one of alexnet"),
        ("lenet@d2", "unknown preset 'lenet@d2'; did you mean 'lenet@d2l'"),
        ("vgg11@d2", "unknown preset 'vgg11@d2'; did you mean 'vgg11@d2l' or "),
        ("my_module:factory@d2l", "unknown preset 'my_module:factory@d2l'"),
        ("lenet('avg')", "\"lenet('avg')\" has an option without a name; write lenet(option=value)"),
        ("lenet(pooling='avg')", "unknown option of lenet 'pooling'; did you mean 'pool'?"),
        ("lenet(pool='mean')", "option 'pool' of lenet is 'mean': expected 'max' or 'avg'"),
        ("lenet(activation='rellu')", "unknown activation 'rellu'; did you mean 'relu' or 'prelu' or 'elu'?"),
        ("lenet(activation=1)", "activation of lenet is 1: expected a name"),
        ("vgg(depth=12)", "option 'depth' of vgg is 12: expected 11 or 13 or 16 or 19"),
        ("vgg(depth=16.0)", "option 'depth' of vgg is 16.0: expected 11 or 13 or 16 or 19"),
        ("vgg(norm=1)", "option 'norm' of vgg is 1: expected bool"),
        ("vgg(hidden='4096')", "option 'hidden' of vgg is '4096': expected int | None"),
        ("vgg(hidden=True)", "option 'hidden' of vgg is True: expected int | None"),
        ("alexnet(dropout='half')", "option 'dropout' of alexnet is 'half': expected float"),
        ("alexnet(hidden=0)", "option 'hidden' of alexnet is 0: expected a whole number of 1 or more"),
        ("densenet(layers=[3, 0])", "option 'layers' of densenet is (3, 0): expected a whole number of 1 or more"),
        ("resnet(depth=600000002)", "option 'depth' of resnet is 600000002: expected at most 2,000 layers"),
        ("residual_cnn(blocks=2001)", "option 'blocks' of residual_cnn is 2001: expected at most 2,000 layers"),
        ("densenet(layers=[1999, 2])", "option 'layers' of densenet is (1999, 2): expected at most 2,000 layers"),
        ("memory_mlp(hidden=-3)", "option 'hidden' of memory_mlp is -3: expected a whole number of 1 or more"),
        ("densenet(layers=(6, 'six'))", "option 'layers' of densenet is (6, 'six'): expected tuple[int, ...] | None"),
    ],
)
def test_a_wrong_spec_is_refused_with_a_way_out(model, message):
    with pytest.raises(SpecError) as error:
        resolve(model)
    assert str(error.value).startswith(message)


def test_a_value_that_pytorch_refuses_is_a_wrong_option():
    with pytest.raises(
        SpecError, match=r"^cannot build alexnet\(.*dropout=1.5.*: dropout probability has to be between"
    ):
        build_model("alexnet(dropout=1.5)", ImageSpec(1, 28, 28, 10))


def test_a_network_that_no_memory_holds_is_a_wrong_option():
    for hidden in (10**14, 2**63 - 1):  # 3·10¹⁷ bytes, beyond any address space, and more than 64 bits count
        with pytest.raises(
            SpecError, match=r"^memory_mlp\(.*\) does not fit in memory; make it narrower, or the images"
        ):
            build_model(f"memory_mlp(hidden={hidden})", ImageSpec(1, 28, 28, 10))


# Weights


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_model("lenet", ImageSpec(1, 28, 28, 10), seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second = build_model("lenet", ImageSpec(1, 28, 28, 10), seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.training


# Image sizes


@pytest.mark.parametrize(
    ("model", "image", "message"),
    [
        ("lenet", ImageSpec(1, 5, 40, 10), "lenet cannot take 1×5×40 images: layer 3 (Conv2d) is given 6×2×20, "
         "less than its kernel spans; the smallest size that works is 12×12: use --resize 12"),
        ("alexnet", ImageSpec(3, 14, 14, 10), "alexnet cannot take 3×14×14 images: layer 17 (MaxPool2d) is given "
         "256×2×2, less than its kernel spans; the smallest size that works is 15×15: use --resize 15"),
        ("nin@d2l", ImageSpec(1, 66, 300, 10), "nin cannot take 1×66×300 images: layer 5 (MaxPool2d) is given "
         "384×2×17, less than its kernel spans; the smallest size that works is 67×67: use --resize 67"),
        ("densenet", ImageSpec(3, 3, 3, 10), "densenet cannot take 3×3×3 images: layer"),
        ("vgg", ImageSpec(3, 0, 8, 10), "vgg cannot take 3×0×8 images: layer 0.0 (Conv2d) is given 3×0×8"),
    ],
)  # fmt: skip
def test_images_that_are_too_small_are_refused_with_the_layer_and_the_size_that_works(model, image, message):
    with pytest.raises(ImageSizeError) as error:
        build_model(model, image)
    assert str(error.value).startswith(message)


def test_the_search_for_the_smallest_size_agrees_with_trying_all():
    def fits(size: int) -> bool:
        try:
            check_image("residual_cnn", ImageSpec(1, size, size, 10))
        except ImageSizeError:
            return False
        return True

    assert smallest_size("residual_cnn") == next(size for size in range(1, 257) if fits(size)) == 16


# Users' own factories


def test_a_module_in_the_working_folder_is_found(folder):
    write(folder / "my_networks.py", LINEAR)
    network = build_model("my_networks:linear", DIGITS)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert load_architecture("my_networks:linear").resolved.canonical == "my_networks:linear(activation='relu')"


def test_the_working_folder_does_not_stay_on_the_import_path(folder):
    write(folder / "helpers.py", "width = 5")
    write(folder / "my_networks.py", """
        from torch import nn

        def net(spec):
            from helpers import width
            return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, spec.classes))
    """)  # fmt: skip
    before = list(sys.path)
    assert build_model("my_networks:net", DIGITS)[1].out_features == 5
    with pytest.raises(SpecError):
        build_model("no_such_module:net", DIGITS)
    assert sys.path == before


def test_a_dotted_package_is_found(folder):
    write(folder / "lab" / "__init__.py", "")
    write(folder / "lab" / "blocks" / "tiny.py", LINEAR)
    assert load_architecture("lab.blocks.tiny:linear").build(DIGITS)[1].in_features == 64


def test_options_of_a_users_factory_are_those_of_its_signature(folder):
    write(folder / "my_networks.py", """
        from typing import Literal
        from torch import nn

        def net(spec, activation, width: int = 7, *, kind: Literal["a", "b"] = "a", scale: float = 1, anything=None):
            assert activation.name == "tanh" and kind == "b" and scale == 2.0 and anything == (0, "x")
            return nn.Sequential(nn.Flatten(), nn.Linear(64, width), activation(), nn.Linear(width, spec.classes))

        def needs(spec, width): ...
    """)  # fmt: skip
    network = build_model("my_networks:net(width=3, activation='tanh', kind='b', scale=2, anything=[0, 'x'])", DIGITS)
    assert network[1].out_features == 3
    with pytest.raises(SpecError, match=r"^option 'kind' of my_networks:net is 'c': expected 'a' or 'b'$"):
        load_architecture("my_networks:net(kind='c')")
    with pytest.raises(SpecError, match=r"^unknown option of my_networks:net 'wide'; did you mean 'width' "):
        load_architecture("my_networks:net(wide=3)")
    with pytest.raises(SpecError, match=re.escape("my_networks:needs needs option 'width'; write my_networks:needs(")):
        load_architecture("my_networks:needs")


def test_an_open_ended_factory_takes_any_option(folder):
    write(folder / "my_networks.py", """
        from torch import nn

        def net(spec, **options):
            return nn.Sequential(nn.Flatten(), nn.Linear(64, spec.classes, **options))
    """)  # fmt: skip
    architecture = load_architecture("my_networks:net(bias=False)")
    assert architecture.resolved.canonical == "my_networks:net(bias=False)"
    assert architecture.build(DIGITS)[1].bias is None


def test_a_class_and_a_partial_are_factories_too(folder):
    write(folder / "my_networks.py", """
        from functools import partial
        from torch import nn

        class Net(nn.Module):
            def __init__(self, spec, activation, *, width: int = 4):
                super().__init__()
                self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, spec.classes))

            def forward(self, x):
                return self.body(x)

        wide = partial(Net, width=40)
    """)  # fmt: skip
    assert build_model("my_networks:Net(width=5)", DIGITS).body[1].out_features == 5
    assert build_model("my_networks:wide", DIGITS).body[1].out_features == 40
    digest = hashlib.sha256((folder / "my_networks.py").read_bytes()).hexdigest()
    assert factory_digest("my_networks:Net") == factory_digest("my_networks:wide") == digest


def test_annotations_for_the_type_checker_alone_are_let_be(folder):
    write(folder / "my_networks.py", """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from torch import nn
        if TYPE_CHECKING:
            from convarium.records import ImageSpec

        def net(spec: ImageSpec, width: int = 3) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(64, spec.classes))
    """)  # fmt: skip
    assert load_architecture("my_networks:net(width=4)").resolved.canonical == "my_networks:net(width=4)"


def test_the_digest_follows_the_source_and_built_in_networks_have_none(folder):
    write(folder / "my_networks.py", LINEAR)
    expected = hashlib.sha256((folder / "my_networks.py").read_bytes()).hexdigest()
    assert factory_digest("my_networks:linear") == expected
    check_source_unchanged("my_networks:linear")
    write(folder / "my_networks.py", LINEAR + "    # changed\n")
    assert factory_digest("my_networks:linear") == expected  # of the code that is imported
    with pytest.raises(SpecError, match=r"my_networks\.py has changed since it was imported .*; restart Python"):
        check_source_unchanged("my_networks:linear")
    del sys.modules["my_networks"]
    check_source_unchanged("my_networks:linear")
    assert factory_digest("my_networks:linear") != expected
    assert factory_digest("lenet") is factory_digest("vgg11@d2l") is None


@pytest.mark.parametrize(
    ("source", "model", "message"),
    [
        (None, "absent:net", "cannot import 'absent' for model absent:net; run from the folder that holds it, or"),
        (None, "absent.part:net", "cannot import 'absent' for model absent.part:net; run from the folder that"),
        ("import absent", "mine:net", "cannot import 'absent' for model mine:net; mine needs it: install it"),
        ("raise SystemExit(3)", "mine:net", "mine:net fails at mine.py:1: SystemExit: 3"),
        ("from torch import no_such_name", "mine:net", "mine:net fails at mine.py:1: ImportError: cannot import name"),
        ("x = 1\ny = 1 / 0", "mine:net", "mine:net fails at mine.py:2: ZeroDivisionError: division by zero"),
        ("def net(:\n    pass", "mine:net", "mine:net fails at mine.py:1: SyntaxError: "),
        ("def linear(spec): ...", "mine:lineal", "unknown function of mine 'lineal'; did you mean 'linear'?"),
        ("x = 1", "mine:net", "mine has no 'net': expected factory(spec, activation, option=…) -> nn.Module"),
        ("net = 3", "mine:net", "mine:net is not a function: expected factory(spec, activation, option=…)"),
        ("from torch import nn\nnet = nn.Flatten()", "mine:net", "mine:net is not a function: expected factory("),
        ("def net(): ...", "mine:net", "mine:net takes no arguments: expected factory(spec, activation, option=…)"),
        ("net = type", "mine:net", "mine:net does not show its parameters: expected factory("),
        ("def net(spec, activation=3): ...", "mine:net", "activation of mine:net is 3: expected a name"),
        ("def net(spec, activation='rellu'): ...", "mine:net", "unknown activation 'rellu'; did you mean 'relu'"),
    ],
)  # fmt: skip
def test_a_users_module_that_is_no_factory_is_refused_in_one_line(folder, source, model, message):
    if source is not None:
        write(folder / "mine.py", source)
    with pytest.raises(SpecError) as error:
        load_architecture(model)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("return 'net'", SpecError, "mine:net returned str: expected an nn.Module"),
        ("return undefined", SpecError, "mine:net fails at mine.py:5: NameError: name 'undefined' is not defined"),
        ("return nn.Linear('a', 2)", SpecError, "mine:net fails at mine.py:5: TypeError: "),
        ("raise ValueError('no width of 3')", SpecError, "cannot build mine:net: no width of 3"),
        ("return nn.Flatten()", SpecError, "mine:net has nothing to train: expected a network with trainable"),
        ("return nn.LazyLinear(10)", SpecError, "mine:net has lazy layers; give them their sizes"),
        ("raise SystemExit(3)", SpecError, "mine:net fails at mine.py:5: SystemExit: 3"),
        ("return net(spec)", SpecError, "mine:net fails at mine.py:5: RecursionError: "),
        ("return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))", SpecError, "mine:net returns (n, 7): expected (n, 10"),
        ("return nn.Conv2d(1, 1, 1)", SpecError, "mine:net returns (n, 1, 8, 8): expected (n, 10)"),
        ("return Returns(lambda x: (x, x))", SpecError, "mine:net returns tuple: expected one tensor of logits"),
        ("return Returns(lambda x: x.no_such)", SpecError, "mine:net fails at mine.py:5: AttributeError: "),
        ("return Returns(lambda x: x.view(3, 5))", ImageSizeError,
         "mine:net cannot take 1×8×8 images: layer 0 (Returns) is given 1×8×8: "),
        ("return nn.Sequential(nn.Conv2d(3, 10, 1))", ImageSizeError,
         "mine:net cannot take 1×8×8 images: layer 0 (Conv2d) is given 1×8×8, made for 3 channels; "
         "no square size works"),
        ("return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))", ImageSizeError,
         "mine:net cannot take 1×8×8 images: layer 1 (Linear) is given 64, made for 784; the smallest size that "
         "works is 28×28: use --resize 28"),
    ],
)  # fmt: skip
def test_a_users_factory_that_fails_is_told_where_and_how(folder, body, kind, message):
    write(
        folder / "mine.py",
        f"""\
from torch import nn
class Returns(nn.Module):
    def __init__(self, f): super().__init__(); self.forward, self.weight = f, nn.Linear(1, 1).weight
def net(spec):
    {body}
""",
    )
    with pytest.raises(kind) as error:
        build_model("mine:net", DIGITS)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_network_for_one_size_alone_is_found_that_size(folder):
    write(folder / "mine.py", """
        from torch import nn

        def net(spec):
            return nn.Sequential(nn.Flatten(), nn.Linear(spec.channels * 784, spec.classes))
    """)  # fmt: skip
    with pytest.raises(ImageSizeError, match=r"the smallest size that works is 28×28: use --resize 28$"):
        build_model("mine:net", ImageSpec(3, 32, 32, 10))


def test_a_factory_that_tries_its_own_layers_is_given_other_sizes(folder):
    write(folder / "mine.py", """
        import torch
        from torch import nn

        def net(spec):
            features = nn.Sequential(nn.Conv2d(spec.channels, 4, 11), nn.Flatten())
            flat = features(torch.zeros(1, spec.channels, spec.height, spec.width)).shape[1]
            return nn.Sequential(features, nn.Linear(flat, spec.classes))
    """)  # fmt: skip
    assert build_model("mine:net", ImageSpec(1, 12, 13, 10))[1].in_features == 4 * 2 * 3
    with pytest.raises(ImageSizeError, match=r"^mine:net fails at mine.py:7: RuntimeError: .*: use --resize 11$"):
        build_model("mine:net", DIGITS)


def test_a_network_that_looks_at_values_is_run_with_values(folder):
    write(folder / "mine.py", """
        from torch import nn

        class Net(nn.Module):
            def __init__(self, spec):
                super().__init__()
                self.linear = nn.Linear(spec.height * spec.width, spec.classes)

            def forward(self, x):
                return self.linear(x.flatten(1)) * (1 if x.sum().item() > 0 else 2)
    """)  # fmt: skip
    assert isinstance(build_model("mine:Net", DIGITS), nn.Module)


# docs/add-an-architecture.md


def test_the_network_of_the_guide_works_as_it_stands_there(folder):
    [source] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    (folder / "my_networks.py").write_text(source, encoding="utf-8")
    specs = set(re.findall(r"my_networks:\w+(?:\([^)]*\))?", GUIDE))
    assert len(specs) == 2
    for image in (ImageSpec(1, 28, 28, 10), ImageSpec(3, 4, 7, 3)):
        for spec in specs:
            network = build_model(spec, image).eval()
            assert network(torch.zeros(2, image.channels, image.height, image.width)).shape == (2, image.classes)
    assert smallest_size("my_networks:squeezenet") == 4


def test_the_guide_sends_nobody_to_what_is_not_there():
    root = Path(__file__).parents[2]
    for path in re.findall(r"`((?:src|tests)/[\w/.]+\.py)`", GUIDE):
        assert (root / path).is_file() or path.endswith("squeezenet.py")
    models = (root / "src/convarium/models/zoo/__init__.py").read_text(encoding="utf-8")
    for line in ('"lenet": lenet,', "**_lenet.PRESETS"):
        assert line.replace("lenet", "squeezenet") in GUIDE
        assert line in models


def test_a_factory_that_cannot_be_hashed_is_a_factory_too(folder):
    write(folder / "my_networks.py", """
        from dataclasses import dataclass
        from torch import nn

        @dataclass
        class Maker:
            width: int

            def __call__(self, spec, activation, *, bias: bool = True):
                return nn.Sequential(nn.Flatten(), nn.Linear(64, self.width, bias), nn.Linear(self.width, spec.classes))

        net = Maker(5)
    """)  # fmt: skip
    assert build_model("my_networks:net(bias=False)", DIGITS)[1].bias is None
