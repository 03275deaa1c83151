"""What all charts share: colors, type and sizes, data as Vega takes it, and the parameter that hides networks.

The charts are readable at the width of a column, in print, and by a reader who cannot tell red from green.
"""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from convarium.pages.names import shortening_expression
from convarium.pages.numbers import LOCALE

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
"""Size of one panel in points: two panels fit side by side on a page, and one with its legend fits in a column."""

IS_SHOWN = "indexof(hidden, datum.label) < 0"
"""A Vega expression: true for data of a network that the legend has not switched off; see `hidden_parameter`."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
          "#B20000", "#A16CF0", "#00613A", "#9E477B", "#AEB286", "#7800F0")  # fmt: skip
"""Twelve colors that readers with any color vision tell apart on white. The first six are those of
Okabe and Ito 2008 without yellow and black; each of the others is farther from all colors than these six are from one
another."""

DARK_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
               "#C13A09", "#A16CF0", "#5A6F52", "#A4488A", "#AEB286", "#8234FA")  # fmt: skip
"""What stands for each of COLORS on a dark page: the same color where it is light enough to be seen there."""

ROUND = 6
"""So many networks have one dash pattern and one symbol; the next ones have the next of both."""

DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4))
"""The dash patterns of lines."""

SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross")
"""The symbols of points, as Vega names them; one for each dash pattern."""

_FONT = "Helvetica, Arial, 'Liberation Sans', 'Noto Sans CJK SC', sans-serif"
_NAME = 115
"""Width of the longest shortened name of a figure, in points."""


def colors(labels: Sequence[str]) -> list[str]:
    """One color for each label; the colors repeat after the last."""
    return [COLORS[i % len(COLORS)] for i in range(len(labels))]


def dark_rules() -> str:
    """Rules of CSS that paint the parts of an SVG on a dark page, and the variables with those colors.

    The browser applies them as the scheme changes; charts that are saved or printed keep the colors of a white page.
    """
    pairs = [(light, dark) for light, dark in zip(COLORS, DARK_COLORS, strict=True) if light != dark]
    rules = [f'svg [{part}="{light}" i] {{ {part}: {dark}; }}' for light, dark in pairs for part in ("fill", "stroke")]
    variables = " ".join(f"{_variable(light)}: {dark};" for light, dark in pairs)
    return f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {variables} }} {' '.join(rules)} }}"


def page_color(color: str) -> str:
    """One of COLORS as CSS: where `dark_rules` are in force, the color of a dark page."""
    return f"var({_variable(color)}, {color})"


def _variable(color: str) -> str:
    return f"--network-{color[1:].lower()}"


def dashes(labels: Sequence[str]) -> list[list[int]]:
    """One dash pattern for each label; each ROUND of labels has the next one."""
    return [list(DASHES[i // ROUND % len(DASHES)]) for i in range(len(labels))]


def symbols(labels: Sequence[str]) -> list[str]:
    """One symbol for each label; each ROUND of labels has the next one."""
    return [SYMBOLS[i // ROUND % len(SYMBOLS)] for i in range(len(labels))]


def label_color(labels: Sequence[str], *, legend: bool) -> alt.Color:
    """Colors by label: a network has the same color in every chart."""
    scale = alt.Scale(domain=list(labels), range=colors(labels))
    return alt.Color("label:N", title=None, scale=scale, legend=_legend(labels) if legend else None)


def label_dash(labels: Sequence[str], *, legend: bool) -> alt.StrokeDash:
    """Dash patterns by label: a network has the same pattern in every chart."""
    scale = alt.Scale(domain=list(labels), range=dashes(labels))
    return alt.StrokeDash("label:N", title=None, scale=scale, legend=_legend(labels) if legend else None)


def _legend(labels: Sequence[str]) -> alt.Legend:
    names = shortening_expression(labels)
    return alt.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=2, symbolSize=200, labelExpr=names)


def name_axis(labels: Sequence[str], *, angle: float = 0) -> alt.Axis:
    """An axis of names without ticks; `angle` is that of the text, in degrees."""
    return alt.Axis(ticks=False, domain=False, labelExpr=shortening_expression(labels), labelAngle=angle)


def label_symbol(labels: Sequence[str]) -> str | alt.ExprRef:
    """The `shape` of points by label: a network has the same symbol in every chart.

    It is no encoding, since Vega-Lite would put it into the legend of the lines.
    """
    others = {label: symbol for label, symbol in zip(labels, symbols(labels), strict=True) if symbol != SYMBOLS[0]}
    return alt.ExprRef(f"{json.dumps(others)}[datum.label] || '{SYMBOLS[0]}'") if others else SYMBOLS[0]


def hidden_parameter() -> alt.Parameter:
    """The parameter with the labels of the networks that the page's legend has switched off: none at first."""
    return alt.param(name="hidden", value=[])


def vega_config(*, font_size: int = 9, ink: str = "#222222", font: str = _FONT) -> dict[str, Any]:
    """Vega-Lite's `config`: thin axes, a faint grid, no frame, no background.

    Args:
        font_size: size of labels, in points of a figure that is printed at its own size.
        ink: color of text and axes; "currentColor" takes the text color of the page around the chart.
        font: font of all text.
    """
    axis = {"labelColor": ink, "titleColor": ink, "tickColor": ink, "domainColor": ink, "gridColor": ink}
    faint = {"gridOpacity": 0.08, "domainOpacity": 0.35, "tickOpacity": 0.35, "labelOpacity": 0.85}
    sizes = {"labelFontSize": font_size, "titleFontSize": font_size, "titleFontWeight": "normal"}
    return {
        "background": "white",
        "font": font,
        "locale": LOCALE,
        "view": {"stroke": None},
        "axis": axis | faint | sizes | {"labelLimit": 220, "tickSize": 4, "titlePadding": 6},
        "legend": {"labelColor": ink, "titleColor": ink, "labelLimit": 260, "orient": "bottom", "columns": 3} | sizes,
        "header": {"labelColor": ink, "titleColor": ink} | sizes,
        "title": {"color": ink, "fontSize": font_size, "fontWeight": "normal"},
        "text": {"color": ink, "fontSize": font_size},
        "rule": {"color": ink},
    }


def with_style(chart: Any, *, width: float | None = None) -> Chart:
    """The chart in the style of `vega_config` on white, for notebooks and paper.

    Args:
        chart: the chart.
        width: of the whole figure in points, which decides how many names of a legend stand side by side; None: three.
    """
    config = vega_config()
    if width is not None:
        config["legend"] |= {"columns": max(1, int(width / 130)), "labelLimit": min(260, width - 60)}
        config["axis"] |= {"labelLimit": min(220, max(_NAME, width / 2.5))}
    styled: Chart = chart.configure(**config)
    return styled


def inline_data(frame: pd.DataFrame) -> alt.InlineData:
    """A table as the chart's own data, with numbers rounded to five digits. Altair's limit on rows does not apply."""
    columns = to_columns(frame)
    values = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return alt.InlineData(values=values)


def to_columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """One list for each column, with numbers rounded to five digits and None for what is not finite."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.5g}") if value == value and abs(value) != float("inf") else None
        return value

    return {str(name): [plain(value) for value in frame[name].tolist()] for name in frame.columns}


def axis_bounds(values: pd.Series, share: float = 0.0) -> list[float]:
    """The bounds of an axis, which are never equal: lowest and highest value, each moved out by `share` of the span."""
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    return [low - share * span, high + share * span] if high > low else [low - 0.5, high + 0.5]
