"""The charts of a comparison, as altair charts for notebooks and figures; the page takes them panel by panel."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from convarium.comparison import Comparison
from convarium.errors import ConvariumError
from convarium.report import style
from convarium.report.curves import QUANTITIES, SPLITS, XAxis, curve_points

Chart = alt.Chart | alt.LayerChart | alt.ConcatChart | alt.VConcatChart | alt.HConcatChart | alt.FacetChart

WIDTH, HEIGHT = 200, 140
"""Of one panel in points: two stand side by side over the width of a page, one and its legend in a column."""

_SHOWN = "indexof(hidden, datum.label) < 0"
_LEGEND = alt.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=2, symbolSize=200)
_SPLIT_TITLES = {"train": "training", "validation": "validation", "test": "test"}


def plot_curves(comparison: Comparison, *, x: XAxis = "epoch", log: bool = False) -> Chart:
    """Loss and accuracy of every split: one line a network, a band from the lowest to the highest seed.

    A click on the legend brings a network out. Failed runs are thin dotted lines of their own.

    Args:
        comparison: whose runs.
        x: "epoch" or "step".
        log: losses on a logarithmic scale.

    Raises:
        ConvariumError: no run has recorded anything.
    """
    points = curve_points(comparison, x)
    if points.empty:
        raise ConvariumError(f"no run has recorded a value by {x}", hint="compare runs that trained for an epoch")
    labels = [row.label for row in comparison.rows]
    chosen = alt.selection_point(name="chosen", fields=["label"], bind="legend")
    rows: list[Any] = []
    for quantity in QUANTITIES:
        panels: list[Any] = [
            curve_panel(inline(points.query("split == @split and quantity == @quantity")), points, labels,
                        quantity, split, x=x, log=log, chosen=chosen)
            for split in recorded_splits(points)
        ]  # fmt: skip
        if not rows:
            panels[0] = panels[0].add_params(chosen)
        rows.append(alt.hconcat(*panels))
    return dressed(alt.vconcat(*rows).add_params(none_hidden()))


def curve_panel(
    data: alt.Data,
    points: pd.DataFrame,
    labels: Sequence[str],
    quantity: str,
    split: str,
    *,
    x: XAxis,
    log: bool,
    chosen: alt.Parameter | None = None,
) -> Chart:
    """One panel of the learning curves. `points` are all panels' and decide the scales, which all splits share.

    Args:
        data: what is drawn; other splits and quantities in it are left out.
        points: of `curve_points`.
        labels: of all networks, in the order of their colours.
        quantity: "loss" or "accuracy".
        split: "train", "validation" or "test".
        x: what runs along the axis.
        log: losses on a logarithmic scale.
        chosen: the selection of a legend; None: no tooltips and no selection, for a page that has its own.
    """
    of_quantity = points[points["quantity"] == quantity]
    positive = of_quantity.loc[of_quantity["mean"] > 0, "mean"]
    is_log = log and quantity == "loss" and not positive.empty
    bounds = [float(positive.min()), float(positive.max())] if is_log else _bounds(of_quantity["mean"])
    x_scale = alt.Scale(domain=[float(points["x"].min()), float(points["x"].max())], nice=False)
    y_scale = alt.Scale(domain=bounds, clamp=True, nice=not is_log, zero=False, type="log" if is_log else "linear")
    title = f"{_SPLIT_TITLES[split]} {quantity}" + (", nats" if quantity == "loss" else "")
    y_axis = alt.Axis(title=title, format="~%" if quantity == "accuracy" else "~g", tickCount=5)
    legend = chosen is not None
    base = (
        alt.Chart(data)
        .transform_filter(f"datum.split === '{split}' && datum.quantity === '{quantity}' && {_SHOWN}")
        .encode(
            x=alt.X("x:Q", title=x, scale=x_scale, axis=alt.Axis(grid=False, tickMinStep=1, tickCount=6)),
            color=label_colour(labels, legend),
            detail="run:N",
        )
    )
    trained, failed = base.transform_filter("datum.run === ''"), base.transform_filter("datum.run !== ''")
    middle = alt.Y("mean:Q", scale=y_scale, axis=y_axis)
    faint = alt.value(1) if chosen is None else alt.condition(chosen, alt.value(1), alt.value(0.08))
    band_faint = alt.value(0.18) if chosen is None else alt.condition(chosen, alt.value(0.18), alt.value(0.02))
    layers = [
        trained.mark_area(clip=True).encode(
            y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q", opacity=band_faint
        ),
        failed.mark_line(strokeWidth=1, strokeDash=[1, 3], clip=True).encode(y=middle, opacity=faint),
        trained.mark_line(strokeWidth=1.8, clip=True, strokeJoin="round").encode(
            y=middle, opacity=faint, strokeDash=label_dash(labels, legend)
        ),
    ]
    if chosen is not None:
        tips = [
            "label:N",
            "run:N",
            alt.Tooltip("x:Q", title=x),
            "mean:Q",
            "low:Q",
            "high:Q",
            alt.Tooltip("n:Q", title="seeds"),
        ]
        layers.append(base.mark_point(size=60, opacity=0).encode(y=middle, tooltip=tips))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def recorded_splits(points: pd.DataFrame) -> list[str]:
    """The splits that have points, in their usual order."""
    return [split for split in SPLITS if (points["split"] == split).any()]


def label_colour(labels: Sequence[str], legend: bool) -> alt.Color:
    """The same colour for a network in every chart."""
    scale = alt.Scale(domain=list(labels), range=style.colours(labels))
    return alt.Color("label:N", title=None, scale=scale, legend=_LEGEND if legend else None)


def label_dash(labels: Sequence[str], legend: bool) -> alt.StrokeDash:
    """The same dashes for a network in every chart."""
    scale = alt.Scale(domain=list(labels), range=style.dashes(labels))
    return alt.StrokeDash("label:N", title=None, scale=scale, legend=_LEGEND if legend else None)


def none_hidden() -> alt.Parameter:
    """The names of the networks that a page has switched off: none so far."""
    return alt.param(name="hidden", value=[])


def inline(frame: pd.DataFrame) -> alt.InlineData:
    """A table as the chart's own data, whatever its length; numbers to five digits."""
    return alt.InlineData(values=records(frame))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One dict a row; missing numbers are None."""
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columnar(frame).values(), strict=True)]


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


def _bounds(values: pd.Series) -> list[float]:
    low, high = float(values.min()), float(values.max())
    return [low, high] if high > low else [low - 0.5, high + 0.5]
