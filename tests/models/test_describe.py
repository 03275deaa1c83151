import io
import json
import sys

import pytest
import torch
from rich.console import Console
from test_cost import DIGITS, native_image, shallowest
from torch import nn

from convarium.errors import ImageSizeError, SpecError
from convarium.models.cost import count_flops, count_parameters, layer_costs
from convarium.models.describe import as_diff, as_json, as_tree, describe, diff, diff_as_json
from convarium.models.layer_tables import short_count
from convarium.models.zoo import MODELS


def drawn(renderable, width=120):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


@pytest.mark.parametrize("model", [*MODELS, *shallowest()])
def test_every_network_is_described_whole(model):
    image = native_image(model)
    described = describe(model, image)
    form = as_json(described)
    assert form["model"] == model
    assert form["parameters"] == sum(row["parameters"] for row in form["layers"]) == described.root.parameters
    assert form["flops"] == sum(row["flops"] for row in form["layers"]) == described.root.flops
    assert form["layers"][-1]["output_shape"] == [image.classes]
    assert json.loads(json.dumps(form)) == form
    assert all(list(row) == ["name", "type", "output_shape", "parameters", "flops"] for row in form["layers"])

    text = " ".join(drawn(as_tree(described), width=250).split())
    assert f"{form['parameters']:,}" in text
    assert described.citation
    assert described.summary
    for words in (described.citation, described.summary, described.source, described.note):
        assert " ".join((words or "").split())[:40] in text


def test_lenet_layer_by_layer():
    # Shapes and counts as d2l.ai prints them in its chapter on LeNet.
    rows = as_json(describe("lenet@d2l", DIGITS))["layers"]
    assert [row["type"] for row in rows[:4]] == ["Conv2d", "Sigmoid", "AvgPool2d", "Conv2d"]
    assert [row["output_shape"] for row in rows[:4]] == [[6, 28, 28], [6, 28, 28], [6, 14, 14], [16, 10, 10]]
    assert [row["parameters"] for row in rows if row["parameters"]] == [156, 2416, 48120, 10164, 850]
    assert rows[0]["flops"] == 2 * 25 * 28 * 28 * 6


class Product(nn.Module):
    """Parameters and a product beside layers, one layer called twice, one never."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(28 * 28, 5))
        self.flat = nn.Flatten()
        self.twice = nn.Linear(5, 5)
        self.idle = nn.Linear(7, 3)

    def forward(self, x):
        return self.twice(self.twice(self.flat(x) @ self.matrix))


def test_what_a_block_holds_and_computes_itself_has_its_row():
    network = nn.Sequential(Product())
    network[0].twice.eval()
    root = layer_costs(network, DIGITS)
    block, idle = root.children
    assert [(c.name, c.type, c.parameters, c.flops) for c in block.children] == [
        ("0", "Product", 784 * 5, 2 * 784 * 5),
        ("0.flat", "Flatten", 0, 0),
        ("0.twice", "Linear", 30, 50),
        ("0.twice", "Linear", 0, 50),
    ]
    assert (idle.name, idle.output_shape, idle.parameters) == ("0.idle", None, 24)
    assert root.parameters == count_parameters(network)
    assert root.flops == count_flops(network, DIGITS)
    assert [m.training for m in network[0].children()] == [True, False, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_equal_blocks_are_drawn_once(tmp_path, monkeypatch):
    source = """
from torch import nn

def deep(spec):
    blocks = [nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()) for _ in range(17)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(784, 10))
"""
    (tmp_path / "deep_net.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    described = describe("deep_net:deep", DIGITS)
    text = drawn(as_tree(described))
    assert "├─ 0…16 Sequential ×17" in text
    assert text.count("Conv2d 3×3") == 1
    assert len(described.layers) == 2 * 17 + 2
    assert (described.citation, described.source, described.note) == ("", None, None)


def test_a_network_does_not_differ_from_itself():
    difference = diff("lenet", "lenet(init='torch')", DIGITS)
    assert {change for change, _ in difference.rows} == {" "}
    assert "No difference" in drawn(as_diff(difference))


def test_a_difference_shows_what_went_and_what_came():
    difference = diff("lenet", "lenet(pool='avg')", DIGITS)
    changes = [(change, layer.type) for change, layer in difference.rows if change != " "]
    assert changes == [("-", "MaxPool2d"), ("+", "AvgPool2d")] * 2
    text = drawn(as_diff(difference))
    assert "− 2 MaxPool2d 2×2 /2" in text
    assert "+ 2 AvgPool2d 2×2 /2" in text
    assert "2 equal layers" in text


@pytest.mark.parametrize(("a", "b"), [("mnist_resnet", "mnist_resnet(residual=False)"), ("lenet", "residual_cnn")])
def test_a_difference_holds_both_networks(a, b):
    difference = diff(a, b, DIGITS)
    keys = [
        [(x.type, x.output_shape, x.parameters) for change, x in difference.rows if change != other] for other in "+-"
    ]
    assert keys[0] == [(x.type, x.output_shape, x.parameters) for x in describe(a, DIGITS).layers]
    assert keys[1] == [(x.type, x.output_shape, x.parameters) for x in describe(b, DIGITS).layers]
    rows = diff_as_json(difference)
    assert rows["a"]["parameters"] == sum(row["parameters"] for row in rows["layers"] if row["change"] != "+")
    assert rows["b"]["parameters"] == sum(row["parameters"] for row in rows["layers"] if row["change"] != "-")
    assert json.loads(json.dumps(rows)) == rows


def test_numbers_are_short():
    numbers = {0: "0", 7: "7", 999: "999", 1000: "1 k", 1280: "1.28 k", 999_999: "1 M", 12_345_678: "12.3 M"}
    numbers |= {5_880_000_000: "5.88 G", 2e12: "2 T"}
    assert {n: short_count(n) for n in numbers} == numbers


def test_a_wrong_spec_or_image_is_told():
    with pytest.raises(SpecError, match="unknown model 'lenett'"):
        describe("lenett", DIGITS)
    with pytest.raises(ImageSizeError, match=r"lenet cannot take .*the smallest size that works is 12×12"):
        describe("lenet", type(DIGITS)(1, 4, 4, 10))
