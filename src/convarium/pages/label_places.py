"""Where the names of points stand in a chart: beside their points, never on a point, a line or one another."""

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convarium.pages.names import shortened_names

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels; y grows downward."""
Segment = tuple[float, float, float, float]
"""x and y of the start, x and y of the end."""

_Found = tuple[Box, Segment | None]

_GAP = 6.0
"""Pixels between a point and its name."""
_CLEAR = 2.0
"""Pixels that stay free around a name."""
_RADIUS = 5.0
"""Radius of a point with its margin, in pixels."""
_NARROW, _WIDE = set("iljtfrI.,:;'|!()[] "), set("mwMW@%—")


@dataclass(frozen=True)
class Place:
    """Where a name stands.

    Attributes:
        text: the name, without its middle if it is long.
        left: the left end of the text, in pixels.
        right: the right end of the widest text that a usual font makes of it.
        middle: the middle of its height.
        leader: the line between text and point; None for a name beside its point.
    """

    text: str
    left: float
    right: float
    middle: float
    leader: Segment | None


def place_labels(
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    *,
    lines: Sequence[Segment],
    width: float,
    height: float,
    font_size: float,
) -> list[Place | None]:
    """Finds a place for every name: the most crowded points first, or from one side to the other if one finds none.

    The names of points that lie on one another stand below one another, and share their line.

    Args:
        names: one for each point.
        points: x and y of each point, in pixels from the left upper corner of the plot.
        lines: what a name may not touch beside points and names, such as intervals.
        width, height: of the plot.
        font_size: in pixels.

    Returns:
        One place for each name; None for a name that has none.
    """
    texts = shortened_names(names)
    line_height = 1.2 * font_size
    groups = _groups(points)
    sizes = [(max(text_width(texts[i], font_size) for i in group), len(group) * line_height) for group in groups]
    middles = [points[group[0]] for group in groups]
    crowding = [sum(abs(x - u) + abs(y - v) for u, v in points) for x, y in middles]
    along = [x for x, _ in middles]
    best: list[_Found | None] = [None] * len(groups)
    for key in (crowding, along, [-x for x in along]):
        found: list[_Found | None] = [None] * len(groups)
        for g in sorted(range(len(groups)), key=key.__getitem__):
            taken = [place for place in found if place is not None]
            found[g] = _first_free(
                middles[g],
                sizes[g],
                (width, height),
                points,
                lines=[*lines, *(leader for _, leader in taken if leader is not None)],
                taken=[box for box, _ in taken],
            )
        if found.count(None) < best.count(None):
            best = found
        if None not in best:
            break
    places: list[Place | None] = [None] * len(names)
    for group, place in zip(groups, best, strict=True):
        for row, i in enumerate(group if place else ()):
            (left, top, right, _), leader = place  # type: ignore[misc]
            # Left of its point, a name of several ends where the longest one does.
            width_of_text = text_width(texts[i], font_size)
            start = right - width_of_text if right < points[i][0] else left
            middle = top + (row + 0.5) * line_height
            places[i] = Place(texts[i], start, start + width_of_text, middle, None if row else leader)
    return places


def _groups(points: Sequence[tuple[float, float]]) -> list[list[int]]:
    """The numbers of the points that lie on one another, from the highest to the lowest."""
    groups: list[list[int]] = []
    for i, (x, y) in enumerate(points):
        near = (g for g in groups if abs(points[g[0]][0] - x) < _RADIUS and abs(points[g[0]][1] - y) < _RADIUS)
        own = next(near, None)
        if own is None:
            groups.append([i])
        else:
            own.append(i)
    return [sorted(group, key=lambda i: points[i][1]) for group in groups]


def text_width(text: str, font_size: float) -> float:
    """The width of a text in pixels in a wide font such as DejaVu Sans; usual fonts are narrower."""

    def ems(character: str) -> float:
        if unicodedata.east_asian_width(character) in "WF":
            return 1.05
        if character in _WIDE:
            return 1.0
        return 0.42 if character in _NARROW else 0.75 if character.isupper() else 0.65

    return font_size * sum(map(ems, text))


def _first_free(
    point: tuple[float, float],
    size: tuple[float, float],
    plot: tuple[float, float],
    points: Sequence[tuple[float, float]],
    *,
    lines: Sequence[Segment],
    taken: Sequence[Box],
) -> _Found | None:
    """The first of the places beside a point that is free, or else the free place with the shortest leader.

    A leader passes over another point only where every leader would.
    """
    dots = [(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS) for x, y in points]
    others = [dot for dot, (x, y) in zip(dots, points, strict=True) if abs(x - point[0]) + abs(y - point[1]) > _RADIUS]
    near = _beside(point, size)
    boxes = np.concatenate([near, _anywhere(point, size, plot)])
    wide = boxes + np.array([-_CLEAR, -_CLEAR / 2, _CLEAR, _CLEAR / 2])
    free = (wide[:, 0] >= 0) & (wide[:, 1] >= 0) & (wide[:, 2] <= plot[0]) & (wide[:, 3] <= plot[1])
    for other in itertools.chain(dots, taken):
        free &= ~_overlap(wide, other)
    for line in lines:
        free &= ~_crosses(line, wide)
    starts = np.broadcast_to(point, (len(boxes), 2))
    ends = np.clip(starts, boxes[:, :2], boxes[:, 2:])
    drawn = np.concatenate([starts, ends], axis=1)
    over_names = _met_by(drawn, taken)
    over_points = _met_by(drawn, others)
    over_names[: len(near)] = over_points[: len(near)] = False  # a name beside its point has no leader
    free &= ~over_names
    found = np.flatnonzero(free & ~over_points if (free & ~over_points).any() else free)
    if not len(found):
        return None
    first = int(found[0])
    leader = None if first < len(near) else tuple(drawn[first].tolist())
    return tuple(boxes[first].tolist()), leader


def _beside(point: tuple[float, float], size: tuple[float, float]) -> np.ndarray:
    """Boxes beside a point, (8, 4), in the order in which a reader would put them."""
    (x, y), (wide, high) = point, size
    below = y + 3
    corners = [
        (x + _GAP, y - 3 - high), (x - _GAP - wide, y - 3 - high), (x + _GAP, below), (x - _GAP - wide, below),
        (x + _GAP + 2, y - high / 2), (x - _GAP - 2 - wide, y - high / 2),
        (x - wide / 2, y - _GAP - 2 - high), (x - wide / 2, y + _GAP + 2),
    ]  # fmt: skip
    return np.array([(left, top, left + wide, top + high) for left, top in corners])


def _anywhere(point: tuple[float, float], size: tuple[float, float], plot: tuple[float, float]) -> np.ndarray:
    """Boxes all over the plot, (n, 4), those with the shortest leaders first."""
    lefts, tops = np.meshgrid(np.arange(_CLEAR, plot[0] - size[0], 6), np.arange(_CLEAR, plot[1] - size[1], 5))
    boxes = np.stack([lefts, tops, lefts + size[0], tops + size[1]], axis=-1).reshape(-1, 4)
    ends = np.clip(np.asarray(point), boxes[:, :2], boxes[:, 2:])
    lengths = np.hypot(*(ends - point).T)
    return np.asarray(boxes[np.argsort(lengths, kind="stable")])


def _met_by(segments: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """Whether each segment meets any of the boxes: (n, 4) → (n,)."""
    met = np.zeros(len(segments), dtype=bool)
    for box in boxes:
        met |= _crosses(segments, np.asarray(box))
    return met


def _overlap(boxes: np.ndarray, other: Box) -> np.ndarray:
    """(n, 4) → (n,)"""
    left, top, right, bottom = boxes.T
    return np.asarray((left < other[2]) & (other[0] < right) & (top < other[3]) & (other[1] < bottom))


def _crosses(segments: Segment | np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Whether segments meet boxes (Liang and Barsky 1984); (n, 4) and (n, 4), or one of either, → (n,)."""
    x0, y0, x1, y1 = np.asarray(segments, dtype=float).T
    left, top, right, bottom = boxes.T
    dx, dy = x1 - x0, y1 - y0
    start, end = np.zeros(np.broadcast(x0, left).shape), np.ones(np.broadcast(x0, left).shape)
    outside = np.zeros_like(start, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        for step, room in ((-dx, x0 - left), (dx, right - x0), (-dy, y0 - top), (dy, bottom - y0)):
            at = room / step
            start = np.where(step < 0, np.maximum(start, at), start)
            end = np.where(step > 0, np.minimum(end, at), end)
            outside |= (step == 0) & (room < 0)
    return np.asarray(~outside & (start <= end))
