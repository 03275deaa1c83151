"""Digits as strokes: the middle lines of an image, as lines that a hand would draw."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Point: TypeAlias = tuple[int, int]
Line: TypeAlias = list[tuple[float, float]]

_FINER = 4
"""Parts of a pixel's side, so that narrow rings stay open and lines are smooth."""
_STEP = 5
"""Parts from one point of a line to the next."""
_INK = 100
"""The level from which on a pixel belongs to the figure."""


def strokes_of(image: npt.NDArray[np.uint8]) -> list[Line]:
    """The middle lines of a light figure (h, w), each to the next end or crossing, as points (x, y) in pixels."""
    height, width = image.shape
    enlarged = Image.fromarray(image).resize((_FINER * width, _FINER * height), Image.Resampling.BICUBIC)
    points = {(int(y), int(x)) for y, x in np.argwhere(thinned(np.array(enlarged) > _INK))}
    links = {point: _neighbors(point, points) for point in points}
    ends = sorted(point for point in points if len(links[point]) != 2)
    open_links = {frozenset((a, b)) for a in points for b in links[a]}
    lines = [line for end in ends for line in _walks(end, links, open_links)]
    lines += [line for point in sorted(points) for line in _walks(point, links, open_links)]  # rings
    lines += [[point] for point in ends if not links[point]]
    return [[((x + 0.5) / _FINER, (y + 0.5) / _FINER) for y, x in line[:-1:_STEP] + line[-1:]] for line in lines]


def thinned(figure: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The figure's lines made one pixel wide (T. Zhang and C. Suen, 1984, doi 10.1145/357994.358023)."""
    thin = np.pad(figure, 1).astype(np.int8)
    while True:
        before = thin.sum()
        for second in (False, True):
            n, e, s, w = (np.roll(thin, shift, axis) for shift, axis in ((1, 0), (-1, 1), (-1, 0), (1, 1)))
            ne, se, sw, nw = np.roll(n, -1, 1), np.roll(s, -1, 1), np.roll(s, 1, 1), np.roll(n, 1, 1)
            around = [n, ne, e, se, s, sw, w, nw]
            count = sum(around)
            rises = sum((a == 0) & (b == 1) for a, b in zip(around, [*around[1:], n], strict=True))
            corner = (n * e * w == 0) & (n * s * w == 0) if second else (n * e * s == 0) & (e * s * w == 0)
            thin = thin * ~((thin == 1) & (count >= 2) & (count <= 6) & (rises == 1) & corner)
        if thin.sum() == before:
            return thin[1:-1, 1:-1].astype(bool)


def _neighbors(point: Point, points: set[Point]) -> list[Point]:
    """The neighbors, beside and aslant; one aslant does not count if a neighbor beside leads to it."""
    y, x = point
    beside = [(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)) if (y + dy, x + dx) in points]
    aslant = [
        (y + dy, x + dx)
        for dy, dx in ((1, 1), (1, -1), (-1, 1), (-1, -1))
        if (y + dy, x + dx) in points and (y + dy, x) not in points and (y, x + dx) not in points
    ]
    return beside + aslant


def _walks(start: Point, links: dict[Point, list[Point]], open_links: set[frozenset[Point]]) -> Iterator[list[Point]]:
    """Lines from a point along links that no line has taken yet, each to the next end or crossing."""
    for first in links[start]:
        line, at = [start], first
        while frozenset((line[-1], at)) in open_links:
            open_links.remove(frozenset((line[-1], at)))
            line.append(at)
            if len(links[at]) != 2:
                break
            at = next(other for other in links[at] if other != line[-2])
        if len(line) > 1:
            yield line
