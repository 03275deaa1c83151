"""Two networks are compared by the names of their layers first, and by their order where names have moved."""

import io
import itertools
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from convarium.models.alignment import aligned
from convarium.models.describe import as_diff, describe, diff
from convarium.records import ImageSpec, Layer

COLOR = ImageSpec(3, 32, 32, 10)
GRAY = ImageSpec(1, 28, 28, 10)


def changed(difference):
    return [(change, layer.name) for change, layer in difference.rows if change != " "]


@pytest.mark.parametrize("image", [COLOR, GRAY])
def test_plain_and_resnet_differ_in_their_nine_shortcuts(image):
    difference = diff("plain(depth=20)", "resnet(depth=20, shortcut='A')", image)
    assert changed(difference) == [("+", f"blocks.{n}.shortcut") for n in range(9)]


def test_a_projection_is_part_of_its_shortcut():
    difference = diff("plain", "resnet", COLOR)
    shortcuts = [[f"blocks.{n}.shortcut{end}" for end in ([".0", ".1"] if n in (3, 6) else [""])] for n in range(9)]
    assert changed(difference) == [("+", name) for name in itertools.chain(*shortcuts)]


UVA = """\
                                       output  parameters   FLOPs
  29 equal layers
− blocks.3.shortcut Conv2d 1×1 /2    32×16×16         544   262 k
+ blocks.3.shortcut.0 Conv2d 1×1 /2  32×16×16         512   262 k
+ blocks.3.shortcut.1 BatchNorm2d    32×16×16          64
  20 equal layers
− blocks.6.shortcut Conv2d 1×1 /2      64×8×8       2,112   262 k
+ blocks.6.shortcut.0 Conv2d 1×1 /2    64×8×8       2,048   262 k
+ blocks.6.shortcut.1 BatchNorm2d      64×8×8         128
  18 equal layers
− resnet@uva                               10     272,378  81.6 M
+ resnet(depth=20, shortcut='B')           10     272,474  81.6 M
"""


def test_a_difference_of_a_source_reads_at_a_glance():
    """The UvA tutorial's projection is a convolution with bias; the paper's (B) has a norm instead."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(as_diff(diff("resnet@uva", "resnet(depth=20, shortcut='B')", COLOR)))
    assert [line.rstrip() for line in console.export_text().splitlines() if line.strip()] == UVA.splitlines()


@pytest.mark.parametrize(
    ("shallow", "deep", "added"),
    [
        ("resnet(depth=20)", "resnet(depth=32)", 6),  # two blocks in each of three stages, whose names move
        ("plain(depth=20)", "plain(depth=26)", 3),
        ("preact_resnet(depth=20)", "preact_resnet(depth=26)", 3),
    ],
)
def test_a_deeper_network_has_more_blocks_and_no_other(shallow, deep, added):
    difference = diff(shallow, deep, COLOR)
    assert {change for change, _ in changed(difference)} == {"+"}
    convolutions = [layer for change, layer in difference.rows if change == "+" and layer.type == "Conv2d"]
    assert len(convolutions) == 2 * added


def test_a_layer_that_keeps_its_name_stands_beside_what_became_of_it():
    difference = diff("densenet(growth=12)", "densenet(growth=24)", COLOR)
    rows = [(change, layer.name) for change, layer in difference.rows]
    for before, after in itertools.pairwise(rows):
        if before[0] == "-":
            assert after == ("+", before[1])


def layers(*kinds, first=0):
    return [Layer(str(first + n), kind, "", (8, 4, 4), 100, 0) for n, kind in enumerate(kinds)]


def test_a_layer_that_moves_all_numbers_is_the_only_difference():
    before = layers("Conv2d", "ReLU", "Conv2d", "ReLU", "Conv2d", "ReLU", "Linear")
    after = layers("Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "ReLU", "Conv2d", "ReLU", "Linear")
    assert [(change, layer.name) for change, layer in aligned(before, after) if change != " "] == [("+", "1")]


def test_layers_of_other_names_are_matched_by_their_order():
    before, after = layers("Conv2d", "ReLU", "Linear"), layers("Conv2d", "Tanh", "Linear", first=70)
    assert [change for change, _ in aligned(before, after)] == [" ", "-", "+", " "]


def test_another_kernel_is_a_difference_although_nothing_else_is():
    before, after = layers("MaxPool2d"), [Layer("0", "MaxPool2d", "3×3 /2", (8, 4, 4), 100, 0)]
    assert [change for change, _ in aligned(before, after)] == ["-", "+"]


KINDS = st.lists(st.sampled_from(["Conv2d", "ReLU", "Linear"]), max_size=12)


@given(KINDS, KINDS, st.integers(0, 3))
def test_rows_hold_both_networks_in_their_order(one, other, first):
    before, after = layers(*one), layers(*other, first=first)
    rows = aligned(before, after)
    assert [layer.type for change, layer in rows if change != "+"] == one
    assert [layer for change, layer in rows if change != "-"] == after
    assert aligned(before, before) == tuple((" ", layer) for layer in before)


def test_thousands_of_layers_are_compared_in_seconds():
    block = describe("resnet(depth=8)", COLOR).layers
    first, second = ([replace(layer, name=f"{i}.{layer.name}") for i in range(n) for layer in block] for n in (72, 70))
    began = time.process_time()
    assert {change for change, _ in aligned(first, second)} == {" ", "-"}
    assert time.process_time() - began < 5
