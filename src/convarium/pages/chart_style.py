"""What all charts share: data as Vega takes it, the colors of the networks, the filter of the page's legend."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from convarium.pages import style

Chart = (
    alt.Chart
    | alt.LayerChart
    | alt.ConcatChart
    | alt.VConcatChart
    | alt.HConcatChart
    | alt.FacetChart
    | alt.RepeatChart
)

WIDTH, HEIGHT = 200, 140
"""Of one panel in points: two stand side by side over the width of a page, one and its legend in a column."""

SHOWN = "indexof(hidden, datum.label) < 0"
"""Holds for what belongs to a network that the page's legend has not switched off; see `none_hidden`."""

_LEGEND = alt.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=2, symbolSize=200)


def none_hidden() -> alt.Parameter:
    """The names of the networks that the page's legend has switched off: none so far."""
    return alt.param(name="hidden", value=[])


def label_color(labels: Sequence[str], legend: bool) -> alt.Color:
    """The same color for a network in every chart."""
    scale = alt.Scale(domain=list(labels), range=style.colors(labels))
    return alt.Color("label:N", title=None, scale=scale, legend=_LEGEND if legend else None)


def label_dash(labels: Sequence[str], legend: bool) -> alt.StrokeDash:
    """The same dashes for a network in every chart."""
    scale = alt.Scale(domain=list(labels), range=style.dashes(labels))
    return alt.StrokeDash("label:N", title=None, scale=scale, legend=_LEGEND if legend else None)


def inline(frame: pd.DataFrame) -> alt.InlineData:
    """A table as the chart's own data, whatever its length; numbers to five digits."""
    columns = columnar(frame)
    values = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return alt.InlineData(values=values)


def columnar(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """One list a column; numbers to five digits, missing ones None."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.5g}") if value == value and abs(value) != float("inf") else None
        return value

    return {str(name): [plain(value) for value in frame[name].tolist()] for name in frame.columns}


def dressed(chart: Any) -> Chart:
    """The chart in the house's style, on white, for notebooks and paper."""
    styled: Chart = chart.configure(**style.config())
    return styled


def room(values: pd.Series, share: float = 0.0) -> list[float]:
    """The bounds of an axis: the values' own, `share` of their span wider, and never of no width."""
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    return [low - share * span, high + share * span] if high > low else [low - 0.5, high + 0.5]
