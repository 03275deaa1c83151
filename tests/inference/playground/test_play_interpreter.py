"""The page's interpreter in a real browser: every value and every gradient are those of PyTorch."""

import base64
from importlib import resources

import numpy as np
import pytest
import torch
from test_play_program import READ, SHAPE, Own, small, used

from browsers import browser as browser  # the fixture
from browsers import needs_browser
from convarium.diagnostics.deepest_convolution import deepest_convolution
from convarium.inference.playground.encoding import encode, rounded
from convarium.inference.playground.program import read_program
from convarium.inference.playground.reference import run_program
from convarium.inference.trained import TrainedNetwork
from convarium.models.build import build_model
from convarium.records import ImageSpec, Preprocessing

pytestmark = needs_browser
TARGET = 3
SPECS = [
    "lenet(activation='gelu')",
    "memory_mlp(hidden=16)",
    "mnist_resnet",
    "densenet(depth=10)",
    "resnet(depth=8, shortcut='A')",
    "residual_variant(depth=8, shortcut='exclusive_gating')",
    "nin(width_divisor=8)",
]


def script(*names):
    folder = resources.files("convarium.inference.playground") / "page"
    return "<script>" + "".join((folder / name).read_text("utf-8") for name in names) + "</script>"


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.set_content(script("interpreter.js", "gradients.js"))
    yield page
    page.close()


def pytorch(program, images):
    """Values, and gradients of one logit, by autograd."""
    images = images.clone().requires_grad_()
    values = list(run_program(program, images))
    for value in values:
        if value.requires_grad:
            value.retain_grad()
    values[-1][0, TARGET].backward()
    return [value.detach() for value in values], [value.grad for value in values]


def compared(page, network, shape):
    """The largest difference of a value and of a gradient, each as a share of the largest one of its kind."""
    program = rounded(read_program(network, shape, model="the network"))
    images = torch.randn(1, *shape, generator=torch.Generator().manual_seed(2))
    values, gradients = pytorch(program, images)
    assert gradients[0].abs().max() > 0
    return page.evaluate(
        """([encoded, image, values, gradient, target]) => {
          const read = (text) => new Float32Array(Interpreter.bytesOf(text).buffer);
          const network = Interpreter.load(encoded), made = Interpreter.run(network, read(image));
          const found = Gradients.gradients(network, made, target);
          const largest = (list) => list.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
          const share = (received, expected) =>
            largest(expected.map((value, i) => value - received[i])) / largest(expected);
          return [Math.max(...values.map((value, i) => share(made[i], read(value)))), share(found[0], read(gradient))];
        }""",
        [encode(program, float16=True), text(images), [text(value) for value in values], text(gradients[0]), TARGET],
    )


def text(tensor):
    return base64.b64encode(tensor.contiguous().numpy().astype("<f4").tobytes()).decode()


@pytest.mark.parametrize("spec", SPECS)
def test_values_and_gradients_are_those_of_pytorch(page, spec):
    torch.manual_seed(0)
    values, gradient = compared(page, used(build_model(spec, ImageSpec(3, 32, 32, 10))), (3, 32, 32))
    assert values < 1e-5
    assert gradient < 1e-4


def test_operations_of_a_users_network_too(page):
    torch.manual_seed(0)
    values, gradient = compared(page, used(Own()), (3, 32, 32))
    assert values < 1e-5
    assert gradient < 1e-4


@pytest.mark.parametrize("spec", ["plain(depth=8)", "resnet(depth=8)", "densenet(depth=10)"])
def test_what_a_stage_shows_is_what_a_hook_sees(page, spec):
    """Every module's output; a convolution into which a norm is folded has none of its own."""
    torch.manual_seed(0)
    network = used(build_model(spec, ImageSpec(3, 32, 32, 10)))
    program = read_program(network, (3, 32, 32), model="the network")
    seen = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: output}))
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        network(images)
    made = {}
    for value, operation in enumerate(program.operations, start=1):
        path = operation.module.split(".")
        made |= {".".join(path[:n]): value for n in range(1, len(path) + 1)}
    shares = page.evaluate(
        """([encoded, image, wanted]) => {
          const read = (text) => new Float32Array(Interpreter.bytesOf(text).buffer);
          const values = Interpreter.run(Interpreter.load(encoded), read(image));
          const largest = (list) => list.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
          return wanted.map(([value, text]) => {
            const expected = read(text);
            return largest(expected.map((number, i) => number - values[value][i])) / largest(expected);
          });
        }""",
        [encode(program, float16=False), text(images), [(value, text(seen[name])) for name, value in made.items()]],
    )
    assert len(shares) > 15
    assert max(shares) < 1e-5


def test_a_block_without_its_shortcut_gives_f_of_x_alone(page):
    torch.manual_seed(0)
    network = used(build_model("resnet(depth=8, shortcut='A')", ImageSpec(1, 28, 28, 10)))
    program = read_program(network, (1, 28, 28), model="the network")
    images = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        x = network.blocks[0](network.stem(images))
        block = network.blocks[1]
        expected = network.head(network.blocks[2](block.activation(block.residual(x))))
    second = [i for i, operation in enumerate(program.operations) if operation.shortcut is not None][1]
    received = page.evaluate(
        """([encoded, image, sum]) => Array.from(
          Interpreter.run(Interpreter.load(encoded), Float32Array.from(image), new Set([sum])).at(-1))""",
        [encode(program, float16=False), images.flatten().tolist(), second],
    )
    assert torch.tensor(received) == pytest.approx(expected[0], abs=1e-5 * float(expected.abs().max()))


@pytest.fixture(scope="module")
def preprocess(browser):
    page = browser.new_page()
    page.set_content(script("preprocess.js"))
    yield page
    page.close()


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize(("channels", "size"), [(1, (61, 40)), (3, (40, 61)), (3, (20, 20))])
def test_a_picture_is_brought_to_its_size_as_the_data_set_was(preprocess, fit, channels, size):
    """Pillow computes with whole numbers, which moves a level by one at most."""
    process = Preprocessing(tuple("ab"), channels, 28, 24, fit, (200, 100, 50), None, None, (0.5,), (0.25,))
    colors = np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)
    expected = TrainedNetwork(torch.nn.Linear(1, 1), process).pixels(colors)
    received = preprocess.evaluate(
        """([rgba, shape, form]) => Array.from(
          Preprocess.fitted(Preprocess.channelsOf(rgba, form.channels), [form.channels, ...shape], form))""",
        [np.dstack([colors, np.full(size, 255)]).flatten().tolist(), list(size),
         {"channels": channels, "height": 28, "width": 24, "fit": fit, "ground": [200, 100, 50]}],
    )  # fmt: skip
    assert np.abs(np.array(received) - expected.numpy().flatten().astype(int)).max() <= 1


def test_pixels_are_resized_and_normalized_as_in_training(preprocess):
    process = Preprocessing(tuple("ab"), 3, 28, 28, "stretch", (255,) * 3, None, 40, (0.1, 0.2, 0.4), (0.3, 0.2, 0.25))
    pixels = torch.randint(256, (1, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = TrainedNetwork(torch.nn.Linear(1, 1), process).normalize(pixels)[0]
    received = preprocess.evaluate(
        "([pixels, form]) => Array.from(Preprocess.normalized(pixels, form))",
        [pixels.flatten().tolist(), {"channels": 3, "height": 28, "width": 28, "resize": 40,
                                     "mean": list(process.mean), "std": list(process.std)}],
    )  # fmt: skip
    assert np.array(received) == pytest.approx(expected.flatten().numpy(), abs=1e-5)


@pytest.mark.parametrize("name", READ)
def test_grad_cam_begins_with_the_same_convolution_as_in_python(page, name):
    """A convolution with its norm folded in has the name of the norm, which comes next."""
    network, program = small(name)
    operations = encode(program, float16=True)["operations"]
    value = page.evaluate("(operations) => Gradients.deepestConvolution({ operations })", operations)
    expected = deepest_convolution(network, torch.zeros(1, *SHAPE))
    if expected is None:
        assert value is None
        return
    names = [name for name, _ in network.named_modules()]
    place = names.index(expected)
    assert operations[value - 1]["module"] in names[place : place + 2]
