"""The charts of the diagnostics as altair charts, for notebooks and for the files of `save_figures`."""

from typing import Any, Literal

import altair as alt
import pandas as pd

from convarium.diagnostics import Diagnoses
from convarium.errors import ConvariumError
from convarium.pages import diagnostics_charts, surface_charts
from convarium.pages.chart_style import Chart, hidden_parameter, inline_data
from convarium.pages.diagnostics_section import MOMENTS, SHARES, available_diagnoses
from convarium.pages.figure_sizes import fitted
from convarium.pages.names import wrapped_name


def plot_gradients(diagnoses: Diagnoses, *, width: str | float | None = None) -> Chart:
    """The norm of the gradient from the first layer to the last, at the initial and at the stored weights.

    Args:
        diagnoses: the result of `convarium.diagnostics.diagnose`.
        width: of the whole figure, such as "84mm"; a number is in pixels. None: panels of the usual width.

    Raises:
        ConvariumError: no network has diagnostics.
    """
    points, labels = _not_empty(diagnostics_charts.gradient_points(diagnoses)), [d.label for d in diagnoses]

    def draw(panel: float, columns: int) -> Any:
        panels: list[Any] = [
            diagnostics_charts.gradient_chart(inline_data(points), points, labels, moment, legend=True)
            for moment in MOMENTS
        ]
        return _switched(alt.concat(*(chart.properties(width=panel) for chart in panels), columns=columns))

    return fitted(draw, width, columns=2)


def plot_units(diagnoses: Diagnoses, *, width: str | float | None = None) -> Chart:
    """Dead and saturated units, and outputs, from the first activation to the last.

    Args:
        diagnoses: the result of `convarium.diagnostics.diagnose`.
        width: as for `plot_gradients`.

    Raises:
        ConvariumError: no network has diagnostics, or none has an activation of a known kind.
    """
    points, labels = _not_empty(diagnostics_charts.unit_points(diagnoses)), [d.label for d in diagnoses]

    def draw(panel: float, columns: int) -> Any:
        panels: list[Any] = [
            diagnostics_charts.units_chart(inline_data(points), points, labels, share, legend=True) for share in SHARES
        ]
        return _switched(alt.concat(*(chart.properties(width=panel) for chart in panels), columns=columns))

    return fitted(draw, width, columns=2)


def plot_surface(
    diagnoses: Diagnoses, *, scale: Literal["shared", "own"] = "shared", width: str | float | None = None
) -> Chart:
    """The loss around every network's weights as contours, and along the first direction.

    Args:
        diagnoses: the result of `convarium.diagnostics.diagnose`.
        scale: whether all networks have the same contours and colors ("shared") or each its own ("own").
        width: as for `plot_gradients`.

    Raises:
        ConvariumError: no network has diagnostics.
    """
    if scale not in ("shared", "own"):
        raise ConvariumError("unknown scale of the surfaces", expected="'shared' or 'own'", received=scale)
    points, labels = _not_empty(diagnostics_charts.surface_points(diagnoses)), [d.label for d in diagnoses]
    reach = float(points["first"].max())

    def draw(panel: float, columns: int) -> Any:
        panels: list[Any] = []
        for number, diagnosis in enumerate(available_diagnoses(diagnoses)):
            own = points[points["network"] == number]
            if own.empty:
                continue
            bands = surface_charts.loss_bands(points if scale == "shared" else own)
            contours = inline_data(surface_charts.contour_points(own, bands))
            chart: Any = surface_charts.surface_chart(contours, bands, number, reach=reach, side=panel)
            chart = chart.properties(title=wrapped_name(diagnosis.label, max(8, int(panel / 5))))
            panels.append(chart if scale == "shared" else alt.vconcat(chart, _scale(bands, "loss, nats", panel)))
        parts = [alt.concat(*panels, columns=columns)]
        if scale == "shared":
            bands = surface_charts.loss_bands(points)
            parts.append(_scale(bands, "loss, nats: the same colors for all networks", columns * panel))
        lines: Any = surface_charts.slice_chart(inline_data(points[points["second"] == 0]), points, labels, legend=True)
        # Colors represent losses in the upper charts and networks in the lowest one.
        chart = alt.vconcat(*parts, lines.properties(width=columns * panel))
        return _switched(chart.resolve_scale(color="independent", strokeDash="independent"))

    return fitted(draw, width, columns=min(3, points["network"].nunique()))


def _scale(bands: surface_charts.LossBands, title: str, width: float) -> Any:
    data = inline_data(surface_charts.scale_points(bands))
    return surface_charts.loss_scale_chart(data, bands, title=title, width=width)


def _switched(chart: Any) -> Any:
    """The chart with the parameter that its filters read."""
    return chart.add_params(hidden_parameter())


def _not_empty(points: pd.DataFrame) -> pd.DataFrame:
    if points.empty:
        raise ConvariumError(
            "there is nothing to draw: no network has diagnostics", hint="each MissingDiagnosis has its reason"
        )
    return points
