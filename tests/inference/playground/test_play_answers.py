"""What a page answers, in a real browser, is what PyTorch computes; why, is what captum computes."""

import base64
import warnings

import pytest
import torch
from captum.attr import LayerGradCam, Saliency

from browsers import browser as browser  # the fixture
from browsers import needs_browser
from convarium import Workspace
from convarium.data import load_data
from convarium.inference.loading import load_trained
from convarium.inference.playground.encoding import rounded
from convarium.inference.playground.program import read_program
from convarium.inference.playground.reference import run_logits

pytestmark = needs_browser
ANSWERED, EXPLAINED = 50, 20

_INPUTS = """(member, data) => {
  const pixels = Interpreter.bytesOf(data), form = Play.forms[Play.formOf(member)], size = 28 * 28;
  return Array.from({ length: pixels.length / size },
    (_, i) => Preprocess.normalized(pixels.subarray(i * size, (i + 1) * size), form));
}"""
LOGITS = f"""async ([number, data]) => {{
  const member = Play.networks.flatMap((network) => network.members)[number];
  return (await Engine.many(member, ({_INPUTS})(member, data))).map((logits) => Array.from(logits));
}}"""
REASONS = f"""async ([number, data]) => {{
  const member = Play.networks.flatMap((network) => network.members)[number];
  const network = Engine.network(member), found = [];
  const last = Gradients.deepestConvolution(network);
  for (const input of ({_INPUTS})(member, data)) {{
    const answer = Interpreter.run(network, input).at(-1), target = answer.indexOf(Math.max(...answer));
    const {{ values, gradients }} = await Engine.gradients(member, input, target, []);
    found.push({{
      target,
      saliency: Array.from(Gradients.saliency(network, gradients)),
      grad_cam: Array.from(Gradients.gradCam(network, values, gradients, last)),
    }});
  }}
  return {{ reasons: found, layer: network.operations[last - 1].module, shape: network.shapes[last] }};
}}"""


@pytest.fixture(scope="module")
def images():
    return load_data("digits").test.images[:ANSWERED]


@pytest.fixture(scope="module")
def networks(store):
    """The trained networks in the order of a page with two seeds each."""
    return [load_trained(run) for row in Workspace(store).results("both").rows for run in row.runs]


@pytest.fixture(scope="module")
def exact(browser, store, tmp_path_factory):
    """A page with the weights as they are."""
    done = Workspace(store).play("both", seeds=2, float32=True, out=tmp_path_factory.mktemp("exact") / "play.html")
    page = browser.new_page()
    page.goto(done.path.as_uri())
    page.wait_for_selector("body[data-answered]")
    yield page
    page.close()


def text(images):
    return base64.b64encode(images.contiguous().numpy().tobytes()).decode()


def share(received, expected):
    """The largest difference, as a share of the largest value."""
    return float((torch.tensor(received) - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def test_logits_are_those_of_the_networks_with_the_same_rounded_weights(browser, written, networks, images):
    page = browser.new_page()
    page.goto(written.path.as_uri())
    page.wait_for_selector("body[data-answered]")
    for member, trained in enumerate(networks):
        program = rounded(read_program(trained.network, (1, 28, 28), model="the network"))
        normalized = trained.normalize(images)
        received = page.evaluate(LOGITS, [member, text(images)])
        assert share(received, run_logits(program, normalized)) < 1e-4
        assert torch.equal(torch.tensor(received).argmax(1), trained(normalized).argmax(1))
    page.close()


@torch.no_grad()
def test_logits_are_those_of_the_networks_where_no_weight_is_rounded(exact, networks, images):
    for member, trained in enumerate(networks):
        assert share(exact.evaluate(LOGITS, [member, text(images)]), trained(trained.normalize(images))) < 1e-5


@pytest.mark.parametrize("member", [0, 2], ids=["lenet", "resnet"])
def test_saliency_and_grad_cam_are_captums(exact, networks, images, member):
    trained, chosen = networks[member], images[:EXPLAINED]
    found = exact.evaluate(REASONS, [member, text(chosen)])
    network, inputs = trained.network, trained.normalize(chosen)
    layer = dict(network.named_modules())[found["layer"]]  # a norm, where it is folded into the convolution
    targets = [reason["target"] for reason in found["reasons"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saliency = Saliency(network).attribute(inputs.clone().requires_grad_(), target=targets).amax(1).flatten(1)
        grad_cam = LayerGradCam(network, layer).attribute(inputs, target=targets, relu_attributions=True).detach()
    for i, reason in enumerate(found["reasons"]):
        assert share(reason["saliency"], saliency[i]) < 1e-3
        assert share(reason["grad_cam"], grad_cam[i].flatten()) < 1e-3
