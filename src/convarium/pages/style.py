"""Colors, type and sizes of all charts: readable at column width, in print, and without telling red from green."""

from collections.abc import Sequence
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8A8A")
"""After Okabe and Ito 2008, without the yellow that white paper swallows; gray for the black that a dark page does."""

DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4))
"""Told apart by these where there are more networks than colors."""

_FONT = "Helvetica, Arial, 'Liberation Sans', 'Noto Sans CJK SC', sans-serif"


def colors(labels: Sequence[str]) -> list[str]:
    """One color a label, repeated after the last."""
    return [COLOURS[i % len(COLOURS)] for i in range(len(labels))]


def dashes(labels: Sequence[str]) -> list[list[int]]:
    """One dash pattern a label: the next one each time the colors begin anew."""
    return [list(DASHES[i // len(COLOURS) % len(DASHES)]) for i in range(len(labels))]


def config(*, font_size: int = 9, ink: str = "#222222", font: str = _FONT) -> dict[str, Any]:
    """Vega-Lite's `config`: thin axes, faint grid, no frame, no background.

    Args:
        font_size: of labels, in points of a figure that is printed at its own size.
        ink: of text and axes; "currentColor" takes that of the page around the chart.
        font: for all text.
    """
    axis = {"labelColor": ink, "titleColor": ink, "tickColor": ink, "domainColor": ink, "gridColor": ink}
    faint = {"gridOpacity": 0.08, "domainOpacity": 0.35, "tickOpacity": 0.35, "labelOpacity": 0.85}
    sizes = {"labelFontSize": font_size, "titleFontSize": font_size, "titleFontWeight": "normal"}
    return {
        "background": "white",
        "font": font,
        "view": {"stroke": None},
        "axis": axis | faint | sizes | {"labelLimit": 220, "tickSize": 4, "titlePadding": 6},
        "legend": {"labelColor": ink, "titleColor": ink, "labelLimit": 260, "orient": "bottom", "columns": 3} | sizes,
        "header": {"labelColor": ink, "titleColor": ink} | sizes,
        "title": {"color": ink, "fontSize": font_size, "fontWeight": "normal"},
        "text": {"color": ink, "fontSize": font_size},
        "rule": {"color": ink},
    }
