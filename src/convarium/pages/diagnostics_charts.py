"""Charts of the diagnostics by depth, gradients and inactive units, and the points of the loss around the weights."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from convarium.diagnostics import Diagnoses, LayerGradient, UnitActivity
from convarium.pages.chart_style import HEIGHT, IS_SHOWN, WIDTH, Chart, label_color, label_dash, label_symbol
from convarium.pages.diagnostics_section import MOMENTS, SHARES, available_diagnoses
from convarium.pages.numbers import AXIS_POWER, log_ticks, number_expression

_MOST_DOTS = 40
"""Number of layers up to which each layer has a dot; more dots would hide the line."""

_POSITION_LABELS = "{'0': 'first', '0.25': '¼', '0.5': '½', '0.75': '¾', '1': 'last'}[datum.value] + ''"


def gradient_points(diagnoses: Diagnoses) -> pd.DataFrame:
    """Gradients by layer.

    Returns:
        Columns label, seed, moment (a name of MOMENTS), depth, layers, position (0: first layer, 1: last), layer, norm,
        rms.
    """
    rows = [
        {"label": d.label, "seed": d.seed, "moment": moment, **_position(layer, len(layers)), "layer": layer.name,
         "norm": layer.norm, "rms": layer.rms}
        for d in available_diagnoses(diagnoses)
        for moment in MOMENTS
        for layers in [getattr(d, moment)]
        for layer in layers
    ]  # fmt: skip
    columns = ["label", "seed", "moment", "depth", "layers", "position", "layer", "norm", "rms"]
    return pd.DataFrame(rows, columns=columns)


def unit_points(diagnoses: Diagnoses) -> pd.DataFrame:
    """Inactive units by activation.

    Returns:
        Columns label, seed, depth, layers, position, layer, activation, kind, units, inactive_units,
        inactive_unit_share, inactive_output_share.
    """
    rows = [
        {"label": d.label, "seed": d.seed, **_position(layer, len(d.activity)), "layer": layer.name,
         "activation": layer.activation, "kind": layer.kind, "units": layer.units,
         "inactive_units": layer.inactive_units, "inactive_unit_share": layer.inactive_units / layer.units,
         "inactive_output_share": layer.inactive_outputs}
        for d in available_diagnoses(diagnoses)
        for layer in d.activity
    ]  # fmt: skip
    columns = ["label", "seed", "depth", "layers", "position", "layer", "activation", "kind", "units", "inactive_units"]
    return pd.DataFrame(rows, columns=[*columns, *SHARES])


def surface_points(diagnoses: Diagnoses) -> pd.DataFrame:
    """Losses around the weights: columns label, seed, network (number of the diagnosis), first, second, loss.

    Losses that are not finite have no row.
    """
    parts = []
    for number, diagnosis in enumerate(available_diagnoses(diagnoses)):
        offsets = diagnosis.surface.offsets
        first, second = np.meshgrid(offsets, offsets, indexing="ij")
        values = {"first": first.ravel(), "second": second.ravel(), "loss": diagnosis.surface.losses.ravel()}
        parts.append(pd.DataFrame({"label": diagnosis.label, "seed": diagnosis.seed, "network": number} | values))
    columns = ["label", "seed", "network", "first", "second", "loss"]
    points = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
    return points[np.isfinite(points["loss"].astype(float))].reset_index(drop=True)


def gradient_chart(
    data: alt.Data, points: pd.DataFrame, labels: Sequence[str], moment: str, *, legend: bool = False
) -> Chart:
    """The norm of the gradient from the first layer to the last, one line for each network, on a logarithmic scale.

    Args:
        data: what is drawn; rows of other moments are filtered out.
        points: the rows of `gradient_points` of all moments, which share the scale.
        labels: labels of all networks, in the order of their colors.
        moment: a name of MOMENTS.
        legend: whether the chart has a legend of its own.
    """
    positive = points.loc[points["norm"] > 0, "norm"]
    bounds = [float(positive.min()) / 1.5, float(positive.max()) * 1.5] if len(positive) else [0.1, 1.0]
    norm = alt.Y(
        "norm:Q",
        title=f"gradient norm {MOMENTS[moment]}",
        scale=alt.Scale(type="log", domain=bounds, nice=False),
        axis=alt.Axis(values=log_ticks(*bounds), labelExpr=AXIS_POWER),
    )
    # A gradient of exactly 0 cannot be drawn on a logarithmic scale.
    base = alt.Chart(data).transform_filter(f"datum.moment === '{moment}' && datum.norm > 0 && {IS_SHOWN}")
    names = ("norm", "rms")
    base = base.transform_calculate(**{f"{name}_text": number_expression(f"datum.{name}") for name in names})
    tooltip = [alt.Tooltip(f"{name}_text:N", title=name) for name in names]
    return _by_depth(base.encode(y=norm), labels, "layer", tooltip, legend=legend)


def units_chart(
    data: alt.Data, points: pd.DataFrame, labels: Sequence[str], share: str, *, legend: bool = False
) -> Chart:
    """A share of the units, or of their outputs, from the first activation to the last, one line for each network.

    Args:
        data: what is drawn.
        points: the rows of `unit_points`, which decide the scale.
        labels: labels of all networks, in the order of their colors.
        share: a name of SHARES.
        legend: whether the chart has a legend of its own.
    """
    scale = alt.Scale(domain=[0, max(0.1, float(points[share].max()))], nice=True)
    y = alt.Y(f"{share}:Q", title=SHARES[share], scale=scale, axis=alt.Axis(format="~%", tickCount=5))
    base = alt.Chart(data).transform_filter(IS_SHOWN)
    tooltip = [
        "activation:N",
        "units:Q",
        alt.Tooltip("inactive_units:Q", title="dead or saturated"),
        *(alt.Tooltip(f"{name}:Q", title=SHARES[name], format=".1%") for name in SHARES),
    ]
    return _by_depth(base.encode(y=y), labels, "activation", tooltip, legend=legend)


def _by_depth(base: Any, labels: Sequence[str], counted: str, tooltip: Sequence[Any], *, legend: bool) -> Chart:
    """Lines over the relative depth: the last layers of a shallow and of a deep network are at the same position."""
    axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], labelExpr=_POSITION_LABELS, labelAngle=0, grid=False)
    base = base.encode(
        x=alt.X("position:Q", title=counted, axis=axis, scale=alt.Scale(domain=[0, 1], nice=False)),
        color=label_color(labels, legend=legend),
    )
    named = ["label:N", alt.Tooltip("layer:N", title=counted), alt.Tooltip("depth:Q", title="number")]
    size = alt.condition(f"datum.layers <= {_MOST_DOTS}", alt.value(1), alt.value(0))
    return alt.layer(
        base.mark_line(strokeWidth=1.6, strokeJoin="round").encode(strokeDash=label_dash(labels, legend=legend)),
        base.mark_point(filled=True, shape=label_symbol(labels), size=22).encode(
            opacity=size, tooltip=[*named, alt.Tooltip("layers:Q", title="of"), *tooltip]
        ),
    ).properties(width=WIDTH, height=HEIGHT)


def _position(layer: LayerGradient | UnitActivity, layers: int) -> dict[str, float]:
    """Depth, and relative depth from 0 to 1; the only layer of a network counts as its last one."""
    position = (layer.depth - 1) / (layers - 1) if layers > 1 else 1.0
    return {"depth": layer.depth, "layers": layers, "position": position}
