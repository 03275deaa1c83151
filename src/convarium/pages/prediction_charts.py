"""Charts of what the networks predicted: confusion, calibration and agreement."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from convarium.pages.chart_style import IS_SHOWN, WIDTH, Chart, label_color, label_dash, label_symbol, name_axis

_RIGHT, _WRONG, _GRAY = "#0072B2", "#D55E00", "#8A8A8A"

FEWEST_PREDICTIONS = 10
"""Number of predictions below which a bin of the reliability diagram is not drawn: its accuracy is chance."""

_NARROWEST_NUMBER = 18
"""Width of the narrowest cell of a matrix that holds a number of two digits, in points."""

_MOST_NUMBERS, _SMALL_CELL = 12, 15
"""Number of rows up to which a matrix has its numbers written in; cells of a larger matrix have this size in pixels and
show their numbers in the tooltip."""


def confusion_chart(data: alt.Data, classes: Sequence[str], *, cell: float = 22) -> Chart:
    """Shares of each true class: correct predictions in blue, wrong ones in red.

    Red is shaded by the square root of the share, so that rare confusions are visible.

    Args:
        data: what is drawn, rows of `confusion_points`.
        classes: names of the classes, in order.
        cell: width of a cell with its number; cells narrower than _NARROWEST_NUMBER have none.
    """
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
    tooltip = ["true:N", "predicted:N", alt.Tooltip("count:Q", format=","), alt.Tooltip("share:Q", format=".2%")]
    cells = (
        base.mark_rect()
        .encode(
            color=alt.condition(right, alt.value(_RIGHT), alt.value(_WRONG)),
            opacity=alt.Opacity("shade:Q", scale=None),
            tooltip=tooltip,
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
    layers = [cells, text] if len(classes) <= _MOST_NUMBERS and cell >= _NARROWEST_NUMBER else [cells]
    size = alt.Step(cell if len(classes) <= _MOST_NUMBERS else min(cell, _SMALL_CELL))
    return alt.layer(*layers).properties(width=size, height=size)


def calibration_chart(data: alt.Data, points: pd.DataFrame, labels: Sequence[str], *, legend: bool) -> Chart:
    """Accuracy against confidence (a reliability diagram). On the dotted diagonal a network is perfectly calibrated.

    Bins with fewer than FEWEST_PREDICTIONS predictions are not drawn.

    Args:
        data: what is drawn.
        points: the rows of `calibration`, which decide the scale.
        labels: labels of all networks, in the order of their colors.
        legend: whether the chart has a legend of its own.
    """
    drawn = points.loc[points["count"] >= FEWEST_PREDICTIONS, ["confidence", "accuracy"]]
    low = min(0.9, float(drawn.to_numpy().min())) if len(drawn) else 0.0
    scale = alt.Scale(domain=[low, 1.0], nice=False, zero=False)
    x = alt.X("confidence:Q", scale=scale, axis=alt.Axis(format="~%", tickCount=5, grid=False), title="confidence")
    y = alt.Y("accuracy:Q", scale=scale, axis=alt.Axis(format="~%", tickCount=5), title="accuracy")
    diagonal = alt.Chart(alt.InlineData(values=[{"confidence": v, "accuracy": v} for v in (low, 1.0)]))
    enough = f"datum.count >= {FEWEST_PREDICTIONS} && {IS_SHOWN}"
    base = alt.Chart(data).transform_filter(enough).encode(x=x, y=y, color=label_color(labels, legend=legend))
    tooltip = [
        "label:N",
        alt.Tooltip("count:Q", title="predictions", format=","),
        *(alt.Tooltip(f"{part}:Q", format=".1%") for part in ("confidence", "accuracy", "share")),
    ]
    return alt.layer(
        diagonal.mark_line(strokeDash=[2, 3], strokeWidth=1, color=_GRAY).encode(x=x, y=y),
        base.mark_line(strokeWidth=1.5).encode(strokeDash=label_dash(labels, legend=legend)),
        base.mark_point(filled=True, shape=label_symbol(labels), opacity=0.9).encode(
            size=alt.Size("share:Q", legend=None, scale=alt.Scale(range=[8, 160])),
            tooltip=tooltip,
        ),
    ).properties(width=WIDTH, height=WIDTH)


def agreement_chart(data: alt.Data, points: pd.DataFrame, *, cell: float = 36) -> Chart:
    """How often two runs predict the same class: of two networks, and on the diagonal two seeds of one network.

    Args:
        data: what is drawn.
        points: the rows of `agreement`.
        cell: width of a cell with its number, in pixels.
    """
    labels = list(dict.fromkeys(points["first"]))
    low, high = float(points["agreement"].min()), float(points["agreement"].max())
    shade = f"0.08 + 0.6 * (datum.agreement - {low}) / {(high - low) or 1.0}"
    base = alt.Chart(data).encode(
        x=alt.X("second:N", sort=labels, title=None, axis=name_axis(labels, angle=-60)),
        y=alt.Y("first:N", sort=labels, title=None, axis=name_axis(labels)),
    )
    tooltip = [
        "first:N",
        "second:N",
        alt.Tooltip("agreement:Q", format=".2%"),
        alt.Tooltip("pairs:Q", title="pairs of runs"),
    ]
    cells = (
        base.transform_calculate(shade=shade)
        .mark_rect(color=_RIGHT)
        .encode(opacity=alt.Opacity("shade:Q", scale=None), tooltip=tooltip)
    )
    if len(labels) > _MOST_NUMBERS or cell < 2 * _NARROWEST_NUMBER - 4:
        side = alt.Step(cell if len(labels) <= _MOST_NUMBERS else min(cell, _SMALL_CELL))
        small: Chart = cells.properties(width=side, height=side)
        return small
    text = base.mark_text().encode(text=alt.Text("agreement:Q", format=".1%"))
    both: Chart = alt.layer(cells, text).properties(width=alt.Step(cell), height=alt.Step(round(0.7 * cell)))
    return both
