"""The loss around the weights of each network as contours, with one scale for all of them or one for each."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import contourpy
import numpy as np
import pandas as pd

from convarium.pages.chart_style import IS_SHOWN, WIDTH, Chart, label_color, label_dash, label_symbol
from convarium.pages.numbers import AXIS_POWER, even_ticks, log_ticks, written

_MOST_LEVELS = 8
"""Largest number of contours: more colors could not be told apart."""
_SMALLEST = 1e-6
"""Losses below this are drawn like it, because contours are interpolated between logarithms."""


@dataclass(frozen=True)
class LossBands:
    """The losses between which a surface has one color.

    Attributes:
        levels: the losses of the contours in nats, from the lowest to the highest.
    """

    levels: tuple[float, ...]

    @property
    def labels(self) -> list[str]:
        """One text for each band: "under 0.1", "0.1 to 0.2", …, "over 10"."""
        texts = list(map(written, self.levels))
        inner = [f"{low} to {high}" for low, high in itertools.pairwise(texts)]
        return [f"under {texts[0]}", *inner, f"over {texts[-1]}"]


def loss_bands(surfaces: pd.DataFrame) -> LossBands:
    """Round losses that divide the range of the `surface_points`: 1, 2 and 5 times powers of ten, or even steps."""
    low = max(float(surfaces["loss"].min()), _SMALLEST)
    high = max(float(surfaces["loss"].max()), low)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):  # the finest that has few enough
        found = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
        levels = [level for level in found if low * (1 + 1e-6) < level < high * (1 - 1e-6)]
        if len(levels) <= _MOST_LEVELS:
            break
    levels = levels[:: math.ceil(len(levels) / _MOST_LEVELS) or 1]
    if len(levels) < 3:
        even = even_ticks(low, high, most=_MOST_LEVELS)
        levels = [level for level in even if low < level < high] or [math.sqrt(low * high)]
    return LossBands(tuple(levels))


def contour_points(surfaces: pd.DataFrame, bands: LossBands) -> pd.DataFrame:
    """The areas of the bands of every network.

    Args:
        surfaces: the `surface_points`; where one is missing, its loss is not finite, and nothing is drawn.
        bands: the losses of the contours.

    Returns:
        Columns network, band (number), loss (the band in words), path (an SVG path from −1 to 1 in both directions).
    """
    edges = [math.log(_SMALLEST) - 1, *np.log(bands.levels), math.log(float(np.finfo(float).max))]
    rows = []
    for number, own in surfaces.groupby("network", sort=True):
        grid = own.pivot_table(index="second", columns="first", values="loss", dropna=False)
        values = np.ma.masked_invalid(np.log(np.maximum(grid.to_numpy(dtype=float), _SMALLEST)))
        reach = float(np.abs(grid.columns.to_numpy()).max()) or 1.0
        contours: Any = contourpy.contour_generator(
            grid.columns.to_numpy() / reach, -grid.index.to_numpy() / reach, values, fill_type="OuterOffset"
        )
        for band, (low, high) in enumerate(itertools.pairwise(edges)):
            polygons, offsets = contours.filled(low, high)
            path = "".join(_path(points, ends) for points, ends in zip(polygons, offsets, strict=True))
            if path:
                rows.append({"network": number, "band": band, "loss": bands.labels[band], "path": path})
    return pd.DataFrame(rows, columns=["network", "band", "loss", "path"])


def scale_points(bands: LossBands) -> pd.DataFrame:
    """The bands side by side, for their scale: columns band, loss, edge (the loss where the band begins, or "")."""
    edges = ["", *map(written, bands.levels)]
    return pd.DataFrame({"band": range(len(edges)), "loss": bands.labels, "edge": edges})


def surface_chart(data: alt.Data, bands: LossBands, number: int, *, reach: float, side: float) -> Chart:
    """The loss around one network's weights, which are marked by the cross in the middle.

    Args:
        data: what is drawn, rows of `contour_points`; those of other networks are filtered out.
        bands: the bands, which decide the colors.
        number: number of the network.
        reach: how far the surface goes in either direction, in lengths of the filters.
        side: width and height.
    """
    scale = alt.Scale(domain=[-reach, reach], nice=False, zero=False)
    ends = alt.Axis(values=[-reach, 0, reach], labelExpr=AXIS_POWER, labelAngle=0, ticks=False, domain=False,
                    title=None, grid=False)  # fmt: skip
    middle = {"x": alt.X("x:Q", scale=scale, axis=ends), "y": alt.Y("y:Q", scale=scale, axis=ends)}
    base = alt.Chart(data).transform_filter(f"datum.network === {number}").transform_calculate(x="0", y="0")
    areas = base.mark_point(filled=True, stroke="white", strokeWidth=0.4, strokeOpacity=0.6, opacity=1).encode(
        **middle,
        color=_band_color(bands),
        shape=alt.Shape("path:N", scale=None),
        size=alt.value(side**2),
        tooltip=[alt.Tooltip("loss:N", title="loss, nats")],
    )
    cross = alt.Chart(alt.InlineData(values=[{"x": 0, "y": 0}])).mark_point(
        shape="cross", size=70, filled=True, color="white", stroke="#222222", strokeWidth=0.8, opacity=1
    )
    return alt.layer(areas, cross.encode(**middle)).properties(width=side, height=side)


def loss_scale_chart(data: alt.Data, bands: LossBands, *, title: str, width: float = WIDTH) -> Chart:
    """The colors of the bands with the losses between them; `data` are the `scale_points`."""
    count = len(bands.levels) + 1
    x = alt.X("band:Q", scale=alt.Scale(domain=[0, count], nice=False), axis=None)
    base = alt.Chart(data)
    cells = (
        base.transform_calculate(end="datum.band + 1")
        .mark_rect()
        .encode(x=x, x2="end:Q", color=_band_color(bands), tooltip=[alt.Tooltip("loss:N", title="loss, nats")])
    )
    # Where the numbers would touch, every other one is left out.
    longest = max(map(len, map(written, bands.levels)))
    step = max(1, math.ceil((0.6 * longest + 0.8) * 12 * count / width))
    edges = base.transform_filter(f"datum.edge !== '' && datum.band % {step} === {1 % step}").encode(x=x)
    numbers = edges.mark_text(baseline="top", dy=4, y="height").encode(text="edge:N")
    drawn: Chart = alt.layer(cells, numbers).properties(
        width=width, height=10, title=alt.TitleParams(title, anchor="start", offset=4)
    )
    return drawn


def slice_chart(data: alt.Data, points: pd.DataFrame, labels: Sequence[str], *, legend: bool = False) -> Chart:
    """The loss along the first direction through the weights of each network.

    Args:
        data: what is drawn; rows off the first direction are filtered out.
        points: the `surface_points`, which decide the scale.
        labels: labels of all networks, in the order of their colors.
        legend: whether the chart has a legend of its own.
    """
    along = points[points["second"] == 0]
    low, high = (float(along["loss"].agg(end)) for end in ("min", "max"))
    bounds = (max(low, _SMALLEST) / 1.1, max(high, 10 * _SMALLEST) * 1.1)
    scale = alt.Scale(type="log", domain=list(bounds), nice=False, clamp=True)
    y_axis = alt.Axis(labelExpr=AXIS_POWER, values=log_ticks(*bounds))
    x_axis = alt.Axis(grid=False, tickCount=5, labelExpr=AXIS_POWER)
    base = (
        alt.Chart(data)
        .transform_filter(f"datum.second === 0 && {IS_SHOWN}")
        .encode(
            x=alt.X("first:Q", title="along the first direction", axis=x_axis),
            y=alt.Y("loss:Q", title="loss, nats", scale=scale, axis=y_axis),
            color=label_color(labels, legend=legend),
        )
    )
    tooltip = ["label:N", alt.Tooltip("first:Q", format=".2f"), alt.Tooltip("loss:Q", format=",.3~r")]
    return alt.layer(
        base.mark_line(strokeWidth=1.8, strokeJoin="round").encode(strokeDash=label_dash(labels, legend=legend)),
        base.mark_point(filled=True, shape=label_symbol(labels), size=16, opacity=1).encode(tooltip=tooltip),
    ).properties(width=2 * WIDTH, height=140)


def _band_color(bands: LossBands) -> Any:
    domain = list(range(len(bands.levels) + 1))
    return alt.Color("band:O", scale=alt.Scale(domain=domain, scheme="viridis"), legend=None)


def _path(points: np.ndarray, ends: np.ndarray) -> str:
    """Closed rings, holes after their outlines: (n, 2) and the numbers where each ring begins and the last one ends."""
    rings = [points[start:end] for start, end in itertools.pairwise(ends)]
    return "".join("M" + "L".join(f"{x:.3g},{y:.3g}" for x, y in ring[:-1]) + "Z" for ring in rings)
