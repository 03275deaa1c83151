"""Which layers of two networks are the same: those of one name first, then those at the same place in the order."""

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any

from convarium.records import Layer

Row = tuple[str, Layer]
"""(" ", a layer of both), ("-", one of the first network alone) or ("+", one of the second alone)."""

_Pair = tuple[Layer | None, Layer | None]
"""A layer of the first network and the same layer of the second; None: there it is not."""

MOVED = 5
"""As many differences as it takes to believe that a group of layers has got other names.

Two layers of a DenseNet that have as many channels by chance are no reason to look for one where the other is.
"""


def aligned(first: Sequence[Layer], second: Sequence[Layer]) -> tuple[Row, ...]:
    """Two networks' layers as rows, in which those of either network keep their order.

    Layers are the same if type, kernel and stride, output shape and parameters are. They are matched by name; or by
    name, and between two matches by their order; or by their order alone, where names have moved, as the numbers do
    behind a layer that was added. The way that finds the fewest differences counts.

    Args:
        first, second: the layers in the order of execution.
    """
    ways = [
        _by(_name_and_content, first, second, otherwise=_changed),
        _by(_name_and_content, first, second, otherwise=_by_content),
        _by_content(first, second),
    ]
    shared = {(layer.name, layer.type) for layer in first} & {(layer.name, layer.type) for layer in second}
    return tuple(row for pair in min(ways, key=lambda pairs: _differences(pairs, shared)) for row in _rows(*pair))


def _by(
    key: Callable[[Layer], Any],
    first: Sequence[Layer],
    second: Sequence[Layer],
    *,
    otherwise: Callable[[Sequence[Layer], Sequence[Layer]], list[_Pair]],
) -> list[_Pair]:
    """Pairs of layers whose keys are equal; what lies between them is left to another way."""
    pairs = list[_Pair]()
    matcher = SequenceMatcher(None, list(map(key, first)), list(map(key, second)), autojunk=False)
    for change, i, j, k, m in matcher.get_opcodes():
        equal = change == "equal"
        pairs += zip(first[i:j], second[k:m], strict=True) if equal else otherwise(first[i:j], second[k:m])
    return pairs


def _by_content(first: Sequence[Layer], second: Sequence[Layer]) -> list[_Pair]:
    return _slid(_by(_content, first, second, otherwise=_changed))


def _slid(pairs: list[_Pair]) -> list[_Pair]:
    """Moves groups of layers of one network down past equal layers as long as that brings equal names together."""
    start = 0
    for end in range(1, len(pairs)):
        side = 0 if pairs[start][1] is None else 1
        if pairs[start][1 - side] is not None:  # a layer of both
            start = end
            continue
        if pairs[end][1 - side] is None:
            start = start if pairs[end][side] is not None else end
            continue
        moved, kept, other = pairs[start][side], pairs[end][side], pairs[end][1 - side]
        if moved and kept and other and moved.name == other.name and _content(moved) == _content(kept):
            pairs[start] = (other, moved) if side else (moved, other)
            pairs[end] = (None, kept) if side else (kept, None)
            start += 1
        else:
            start = end
    return pairs


def _changed(first: Sequence[Layer], second: Sequence[Layer]) -> list[_Pair]:
    """Layers of which none is the same; one that keeps its name and its type stands before what became of it."""
    pairs = list[_Pair]()
    for before, after in _by(lambda layer: (layer.name, layer.type), first, second, otherwise=_different):
        pairs += [pair for pair in ((before, None), (None, after)) if pair != (None, None)]
    return pairs


def _different(first: Sequence[Layer], second: Sequence[Layer]) -> list[_Pair]:
    return [(layer, None) for layer in first] + [(None, layer) for layer in second]


def _name_and_content(layer: Layer) -> tuple[Any, ...]:
    return layer.name, *_content(layer)


def _content(layer: Layer) -> tuple[Any, ...]:
    return layer.type, layer.detail, layer.output_shape, layer.parameters


def _differences(pairs: Sequence[_Pair], shared: set[tuple[str, str]]) -> int:
    """The layers of one network alone, and `MOVED` for each group of layers of both whose names say something else.

    Args:
        pairs: of two networks.
        shared: names that both networks have, with the type of the layer.
    """

    def kind(pair: _Pair) -> str:
        before, after = pair
        if before is None or after is None:
            return "different"
        names = {(before.name, before.type), (after.name, after.type)}
        return "moved" if before.name != after.name and shared & names else "same"

    groups = [(name, len(list(group))) for name, group in groupby(pairs, key=kind)]
    return sum({"different": length, "moved": MOVED, "same": 0}[name] for name, length in groups)


def _rows(before: Layer | None, after: Layer | None) -> list[Row]:
    if before is not None and after is not None:
        return [(" ", after)]
    return ([("-", before)] if before is not None else []) + ([("+", after)] if after is not None else [])
