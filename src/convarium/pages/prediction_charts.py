"""Panels of what came out: every run's accuracy, accuracy against cost, classes, confusion, calibration, agreement."""

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from convarium.pages.costs import COSTS
from convarium.pages.drawing import HEIGHT, SHOWN, WIDTH, Chart, label_color, room

_RIGHT, _WRONG, _GREY = "#0072B2", "#D55E00", "#8A8A8A"
_NAMED = 8
"""Points that can be named without writing over each other: those of all networks, or else those of the front."""

_APART = 6
"""Networks that have room for a line each within a class; more are drawn over each other."""

_WRITTEN, _SMALL = 12, 15
"""Rows of a matrix whose numbers are written into it; the cells of larger ones are this small and tell on hovering."""

MOST_CLASSES = 30
"""Classes that one chart shows; of more, those on which the networks differ most."""


def seeds_panel(data: alt.Data, points: pd.DataFrame, labels: Sequence[str]) -> Chart:
    """Test accuracy of every trained run as a dot, its network's mean with the interval above them."""
    x = alt.Scale(
        domain=room(pd.concat([points["accuracy"], points["low"], points["high"]]), 0.03), zero=False, nice=False
    )
    axis = alt.Axis(format="~%", tickCount=6)
    base = (
        alt.Chart(data)
        .transform_filter(SHOWN)
        .encode(
            y=alt.Y("label:N", title=None, sort=list(labels), axis=alt.Axis(ticks=False, domain=False)),
            color=label_color(labels, legend=False),
        )
    )
    mean = base.transform_aggregate(mean="mean(mean)", low="min(low)", high="max(high)", groupby=["label"])
    tips = [
        alt.Tooltip("label:N"),
        alt.Tooltip("mean:Q", format=".2%"),
        alt.Tooltip("low:Q", format=".2%"),
        alt.Tooltip("high:Q", format=".2%"),
    ]
    layers = [
        mean.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=x, axis=axis, title="test accuracy"), x2="high:Q"),
        base.mark_tick(thickness=1.5, size=12, opacity=0.55).encode(
            x=alt.X("accuracy:Q", scale=x),
            tooltip=["label:N", "seed:Q", alt.Tooltip("accuracy:Q", title="test accuracy", format=".2%")],
        ),
        mean.mark_point(filled=True, size=55, opacity=1).encode(x=alt.X("mean:Q", scale=x), tooltip=tips),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=24 * points["label"].nunique())


def cost_panel(data: alt.Data, points: pd.DataFrame, labels: Sequence[str], cost: str) -> Chart:
    """Mean test accuracy with its interval against one cost, logarithmic, and the Pareto front."""
    of_cost = points[points["cost"] == cost]
    value = of_cost["value"]
    x = alt.X(
        "value:Q",
        title=COSTS[cost],
        scale=alt.Scale(type="log", domain=[float(value.min()) / 1.5, float(value.max()) * 1.5], nice=False),
        axis=alt.Axis(grid=False, format="~s", tickCount=5),
    )
    y_scale = alt.Scale(domain=room(pd.concat([of_cost["low"], of_cost["high"]]), 0.05), zero=False, nice=False)
    y_axis = alt.Axis(title="test accuracy", format="~%", tickCount=5)
    mean = alt.Y("mean:Q", scale=y_scale, axis=y_axis)
    base = alt.Chart(data).transform_filter(f"datum.cost === '{cost}' && {SHOWN}").encode(x=x)
    colored = base.encode(color=label_color(labels, legend=False))
    tips = ["label:N", alt.Tooltip("value:Q", title=COSTS[cost], format=",.3~f"), alt.Tooltip("n:Q", title="seeds")]
    tips += [alt.Tooltip(f"{part}:Q", format=".2%") for part in ("mean", "low", "high")]
    named = base.transform_filter("datum.front") if len(of_cost) > _NAMED else base
    few = (len(of_cost) if len(of_cost) <= _NAMED else int(of_cost["front"].sum())) <= _NAMED
    layers = [
        base.transform_filter("datum.front")
        .mark_line(interpolate="step-after", strokeWidth=1, strokeDash=[3, 3], color=_GREY)
        .encode(y=mean),
        colored.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q"),
        colored.mark_point(filled=True, size=60, opacity=1).encode(y=mean, tooltip=tips),
    ]
    if few:
        middle = math.sqrt(float(value.min()) * float(value.max()))
        # What tells two names apart is mostly at their ends: long ones lose their middles.
        named = named.transform_calculate(
            name="length(datum.label) > 24 ? slice(datum.label, 0, 8) + '…' + slice(datum.label, -15) : datum.label"
        )
        left, right = (named.transform_filter(f"datum.value {side} {middle}") for side in ("<=", ">"))
        layers += [  # towards the middle, where there is room
            left.mark_text(align="left", dx=7, dy=-7, limit=180).encode(y=mean, text="name:N"),
            right.mark_text(align="right", dx=-7, dy=-7, limit=180).encode(y=mean, text="name:N"),
        ]
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def classes_panel(data: alt.Data, points: pd.DataFrame, labels: Sequence[str]) -> Chart:
    """Test accuracy class by class: the mean of each network as a dot, its seeds from lowest to highest as a line."""
    classes = most_differing(points)
    x = alt.Scale(domain=room(pd.concat([points["low"], points["high"]]), 0.02), zero=False, nice=False)
    apart = len(labels) <= _APART
    base = (
        alt.Chart(data)
        .transform_filter(SHOWN)
        .encode(
            y=alt.Y("class:N", title=None, sort=classes, axis=alt.Axis(grid=True, ticks=False, domain=False)),
            color=label_color(labels, legend=False),
        )
    )
    if apart:
        base = base.encode(yOffset=alt.YOffset("label:N", sort=list(labels), scale=alt.Scale(paddingOuter=0.6)))
    tips = [
        "label:N",
        "class:N",
        *(alt.Tooltip(f"{part}:Q", format=".1%") for part in ("mean", "low", "high")),
        "images:Q",
    ]
    return alt.layer(
        base.mark_rule(strokeWidth=1.2, opacity=0.6).encode(
            x=alt.X("low:Q", scale=x, title="test accuracy", axis=alt.Axis(format="~%", tickCount=6)), x2="high:Q"
        ),
        base.mark_point(filled=True, size=38, opacity=0.95).encode(x=alt.X("mean:Q", scale=x), tooltip=tips),
    ).properties(width=WIDTH, height=len(classes) * (7 * len(labels) + 8 if apart else 20))


def most_differing(points: pd.DataFrame) -> list[str]:
    """The classes to show, in their own order: all, or the MOST_CLASSES on which the networks' means differ most."""
    classes = list(dict.fromkeys(points["class"]))
    if len(classes) <= MOST_CLASSES:
        return classes
    means = points.groupby("class")["mean"]
    spread = (means.max() - means.min()).sort_values(ascending=False, kind="stable")
    kept = set(spread.index[:MOST_CLASSES])
    return [name for name in classes if name in kept]


def confusion_panel(data: alt.Data, classes: Sequence[str], *, cell: int = 22) -> Chart:
    """Shares of each true class: right ones blue, confusions red-brown and stronger than they are (square root)."""
    base = alt.Chart(data).encode(
        x=alt.X(
            "predicted:N",
            sort=list(classes),
            title="predicted",
            axis=alt.Axis(ticks=False, domain=False, labelAngle=0 if max(map(len, classes)) < 4 else -60),
        ),
        y=alt.Y("true:N", sort=list(classes), title="true", axis=alt.Axis(ticks=False, domain=False)),
    )
    right = "datum.true === datum.predicted"
    tips = ["true:N", "predicted:N", alt.Tooltip("count:Q", format=","), alt.Tooltip("share:Q", format=".2%")]
    cells = (
        base.mark_rect()
        .encode(
            color=alt.condition(right, alt.value(_RIGHT), alt.value(_WRONG)),
            opacity=alt.Opacity("shade:Q", scale=None),
            tooltip=tips,
        )
        .transform_calculate(shade=f"{right} ? 0.55 * datum.share : 0.06 + 0.94 * sqrt(datum.share)")
    )
    text = (
        base.mark_text()
        .encode(text="written:N")
        .transform_calculate(
            written="datum.share >= 0.995 ? '100' : datum.share >= 0.095 ? format(100 * datum.share, '.0f')"
            " : datum.share >= 0.0005 ? format(100 * datum.share, '.1f') : ''"
        )
    )
    layers = [cells, text] if len(classes) <= _WRITTEN else [cells]
    size = alt.Step(cell if len(classes) <= _WRITTEN else _SMALL)
    return alt.layer(*layers).properties(width=size, height=size)


def calibration_panel(data: alt.Data, points: pd.DataFrame, labels: Sequence[str], *, legend: bool) -> Chart:
    """Accuracy against confidence; a network on the dotted diagonal is as right as it is sure."""
    low = min(0.9, float(min(points["confidence"].min(), points["accuracy"].min())))
    scale = alt.Scale(domain=[low, 1.0], nice=False, zero=False)
    x = alt.X("confidence:Q", scale=scale, axis=alt.Axis(format="~%", tickCount=5, grid=False), title="confidence")
    y = alt.Y("accuracy:Q", scale=scale, axis=alt.Axis(format="~%", tickCount=5), title="accuracy")
    diagonal = alt.Chart(alt.InlineData(values=[{"confidence": v, "accuracy": v} for v in (low, 1.0)]))
    base = alt.Chart(data).transform_filter(SHOWN).encode(x=x, y=y, color=label_color(labels, legend))
    tips = ["label:N", *(alt.Tooltip(f"{part}:Q", format=".1%") for part in ("confidence", "accuracy", "share"))]
    return alt.layer(
        diagonal.mark_line(strokeDash=[2, 3], strokeWidth=1, color=_GREY).encode(x=x, y=y),
        base.mark_line(strokeWidth=1.5),
        base.mark_point(filled=True, opacity=0.9).encode(
            size=alt.Size("share:Q", legend=None, scale=alt.Scale(range=[8, 160])), tooltip=tips
        ),
    ).properties(width=WIDTH, height=WIDTH)


def agreement_panel(data: alt.Data, points: pd.DataFrame, *, cell: int = 36) -> Chart:
    """How often the runs of two networks predict the same; on the diagonal, two seeds of one network."""
    labels = list(dict.fromkeys(points["first"]))
    low, high = float(points["agreement"].min()), float(points["agreement"].max())
    shade = f"0.08 + 0.6 * (datum.agreement - {low}) / {(high - low) or 1.0}"
    base = alt.Chart(data).encode(
        x=alt.X("second:N", sort=labels, title=None, axis=alt.Axis(ticks=False, domain=False, labelAngle=-60)),
        y=alt.Y("first:N", sort=labels, title=None, axis=alt.Axis(ticks=False, domain=False)),
    )
    tips = [
        "first:N",
        "second:N",
        alt.Tooltip("agreement:Q", format=".2%"),
        alt.Tooltip("pairs:Q", title="pairs of runs"),
    ]
    cells = (
        base.transform_calculate(shade=shade)
        .mark_rect(color=_RIGHT)
        .encode(opacity=alt.Opacity("shade:Q", scale=None), tooltip=tips)
    )
    if len(labels) > _WRITTEN:
        small: Chart = cells.properties(width=alt.Step(_SMALL), height=alt.Step(_SMALL))
        return small
    text = base.mark_text().encode(text=alt.Text("agreement:Q", format=".1%"))
    both: Chart = alt.layer(cells, text).properties(width=alt.Step(cell), height=alt.Step(round(0.7 * cell)))
    return both
