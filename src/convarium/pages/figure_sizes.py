"""The size of a figure: "84mm" as points, and charts whose panels make up a given width."""

import math
import re
from collections.abc import Callable
from typing import Any

import vl_convert

from convarium.errors import ConvariumError
from convarium.pages.chart_style import WIDTH, Chart, with_style

POINTS_PER_UNIT = {"mm": 72 / 25.4, "cm": 72 / 2.54, "in": 72.0, "pt": 1.0, "px": 0.75}
"""Points in each unit of a width; a pixel is that of CSS, 1/96 inch."""

NARROWEST, WIDEST = 110.0, 2000.0
"""The widths that a figure can have, in points: its labels stay 9 points high."""

_NARROWEST_PANEL = 135.0
"""Points below which panels stand below one another and not side by side."""
_AXIS = 50.0
"""Points that an axis with its labels takes, at a first guess."""


def width_in_points(width: str | float) -> float:
    """Reads the width of a figure.

    Args:
        width: "84mm", "8.4cm", "3.3in", "238pt" or "320px"; a number is in pixels.

    Raises:
        ConvariumError: not such a width, or one in which no figure can be read.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", str(width).lower())
    unit = (found[2] or "px") if found else ""
    if not found or unit not in POINTS_PER_UNIT:
        raise ConvariumError("width is not the width of a figure", expected="such as 84mm, 8.4cm, 3.3in or 320px",
                             received=width)  # fmt: skip
    points = float(found[1]) * POINTS_PER_UNIT[unit]
    if not NARROWEST <= points <= WIDEST:
        low, high = (math.ceil(NARROWEST / 72 * 25.4), math.floor(WIDEST / 72 * 25.4))
        if not found[2]:
            raise ConvariumError("width has no unit, and in so many pixels no figure can be read", received=width,
                                 expected=f"{low}mm to {high}mm", hint="try 84mm or 3.3in")  # fmt: skip
        raise ConvariumError("in this width no figure can be read", expected=f"{low}mm to {high}mm", received=width,
                             hint="labels are 9 points high at every width")  # fmt: skip
    return points


def fitted(draw: Callable[[float, int], Any], width: str | float | None, *, columns: int = 1) -> Chart:
    """A chart in the style of a figure, as wide as asked for, axes and legend included.

    Args:
        draw: returns the chart for a width of its panels in points and a number of columns.
        width: as `width_in_points` reads it; None: panels of the usual width.
        columns: how many panels stand side by side where there is room.
    """
    if width is None:
        return with_style(draw(WIDTH, columns))
    points = width_in_points(width)
    while columns > 1 and points / columns < _NARROWEST_PANEL:
        columns -= 1
    panel, chart = max(40.0, points / columns - _AXIS), None
    for _ in range(5):
        chart = with_style(draw(panel, columns), width=points)
        missing = points - _drawn_width(chart)
        if abs(missing) < 1 or (panel == 40 and missing < 0):
            break
        panel = max(40.0, math.floor(panel + missing / columns))
    assert chart is not None
    return chart


def _drawn_width(chart: Chart) -> float:
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    found = re.search(r'<svg[^>]* width="([\d.]+)"', svg)
    assert found is not None
    return float(found[1])
