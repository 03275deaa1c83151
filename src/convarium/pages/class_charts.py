"""Charts of the accuracy of every class: a line for each network, or a matrix of many networks."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from convarium.pages.chart_style import IS_SHOWN, WIDTH, Chart, axis_bounds, label_color, label_symbol, name_axis

MOST_CLASSES = 30
"""Number of classes that are shown. Of more classes, those on which the networks differ most are shown."""

MOST_LINES = 6
"""Number of networks up to which each has a line within every class. The lines of more networks would lie on one
another, so that these are the rows of a matrix."""

_WRONG = "#D55E00"
_CELL, _CELL_WITH_NUMBER, _NARROWEST_NUMBER = 12, 26, 22
"""Width of a cell of the matrix in points, of one that holds a number with one decimal, and the least for a number."""
_MOST_NUMBERS = 12
"""Number of classes up to which the cells hold their numbers."""


SHADE = 0.7
"""Opacity of the darkest cell of the matrix: its number can still be read."""

_TOOLTIP = [
    "label:N",
    "class:N",
    *(alt.Tooltip(f"{part}:Q", format=".1%") for part in ("mean", "low", "high")),
    "images:Q",
]


def classes_chart(
    data: alt.Data, points: pd.DataFrame, labels: Sequence[str], *, title: str = "test accuracy"
) -> Chart:
    """Test accuracy by class: each network's mean as a dot, and a line from its lowest to its highest seed.

    Args:
        data: what is drawn.
        points: the rows of `class_points`, which decide the scale.
        labels: labels of all networks, in the order of their colors.
        title: of the axis.
    """
    classes = most_differing(points)
    x = alt.Scale(domain=axis_bounds(pd.concat([points["low"], points["high"]]), 0.02), zero=False, nice=False)
    base = (
        alt.Chart(data)
        .transform_filter(IS_SHOWN)
        .encode(
            y=alt.Y("class:N", title=None, sort=classes, axis=alt.Axis(grid=True, ticks=False, domain=False)),
            yOffset=alt.YOffset("label:N", sort=list(labels), scale=alt.Scale(paddingOuter=0.6)),
            color=label_color(labels, legend=False),
        )
    )
    lines = base.mark_rule(strokeWidth=1.2, opacity=0.6).encode(
        x=alt.X("low:Q", scale=x, title=title, axis=alt.Axis(format="~%", tickCount=6)), x2="high:Q"
    )
    dots = base.mark_point(filled=True, shape=label_symbol(labels), size=38, opacity=0.95).encode(
        x=alt.X("mean:Q", scale=x), tooltip=_TOOLTIP
    )
    return alt.layer(lines, dots).properties(width=WIDTH, height=len(classes) * (7 * len(labels) + 8))


def class_matrix_chart(
    data: alt.Data, points: pd.DataFrame, labels: Sequence[str], *, cell: float | None = None
) -> Chart:
    """Test accuracy of every network in every class, in per cent; the more is wrong, the darker is the cell.

    Args:
        data: what is drawn.
        points: the rows of `class_points`.
        labels: labels of all networks, from top to bottom.
        cell: width of a cell in points; None: as its number needs, or _CELL with many classes.
    """
    classes = most_differing(points)
    most_wrong = max(1 - float(points["mean"].min()), 1e-9)
    cell = cell or (_CELL_WITH_NUMBER if len(classes) <= _MOST_NUMBERS else _CELL)
    has_numbers = cell >= _NARROWEST_NUMBER
    upright = max(map(len, classes)) < 4
    across = alt.Axis(ticks=False, domain=False, orient="top", labelAngle=0 if upright else -60)
    base = alt.Chart(data).encode(
        x=alt.X("class:N", sort=classes, title=None, axis=across),
        y=alt.Y("label:N", sort=list(labels), title=None, axis=name_axis(labels)),
    )
    cells = (
        base.transform_calculate(shade=f"{SHADE} * (1 - datum.mean) / {most_wrong}")
        .mark_rect(color=_WRONG)
        .encode(opacity=alt.Opacity("shade:Q", scale=None), tooltip=_TOOLTIP)
    )
    if not has_numbers:
        return alt.layer(cells).properties(width=alt.Step(cell), height=alt.Step(_CELL))
    numbers = base.transform_calculate(written="format(100 * datum.mean, '.1f')").mark_text().encode(text="written:N")
    return alt.layer(cells, numbers).properties(width=alt.Step(cell), height=alt.Step(16))


def most_differing(points: pd.DataFrame) -> list[str]:
    """The classes to show, in their own order: all of them, or the MOST_CLASSES on which the means differ most."""
    classes = list(dict.fromkeys(points["class"]))
    if len(classes) <= MOST_CLASSES:
        return classes
    means = points.groupby("class")["mean"]
    spread = (means.max() - means.min()).sort_values(ascending=False, kind="stable")
    most = set(spread.index[:MOST_CLASSES])
    return [name for name in classes if name in most]
