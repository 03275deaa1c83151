"""Every chart as files for a paper, with the data behind it."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import altair as alt
import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.characters import visible
from convarium.diagnostics import Diagnoses
from convarium.disk import write_text
from convarium.errors import ConvariumError, SpecError
from convarium.pages import charts, diagnostics_charts, diagnostics_plots
from convarium.pages.chart_style import Chart
from convarium.pages.cost_panel import COSTS
from convarium.pages.curves import QUANTITIES, SPLITS
from convarium.pages.exports import frame_as_csv
from convarium.pages.figure_sizes import width_in_points

FIGURES: dict[str, Callable[..., Chart]] = {
    "curves": charts.plot_curves,
    **{
        f"curves-{split}-{quantity}": partial(charts.plot_curves, only=(quantity, split))
        for quantity in QUANTITIES
        for split in SPLITS
    },
    "accuracy": charts.plot_accuracy,
    "cost": charts.plot_cost,
    **{f"cost-{cost.replace('_', '-')}": partial(charts.plot_cost, only=cost) for cost in COSTS},
    "classes": charts.plot_classes,
    "confusion": charts.plot_confusion,
    "calibration": charts.plot_calibration,
    "agreement": charts.plot_agreement,
}
"""The figures of a comparison by the names of their files; one with a dash is one panel of another."""

DIAGNOSTIC_FIGURES: dict[str, tuple[Callable[..., Chart], Callable[[Diagnoses], pd.DataFrame]]] = {
    "gradients": (diagnostics_plots.plot_gradients, diagnostics_charts.gradient_points),
    "units": (diagnostics_plots.plot_units, diagnostics_charts.unit_points),
    "surface": (diagnostics_plots.plot_surface, diagnostics_charts.surface_points),
}
"""The figures of the diagnostics by the names of their files, each with the function that gives its data."""

_TABLES = ("rows", "runs", "epochs", "classes")
_PIXELS_PER_INCH = 300


def plot(comparison: Comparison, panel: str, *, width: str | float | None = None, diagnoses: Diagnoses = ()) -> Chart:
    """One figure as an altair chart.

    Args:
        comparison: the comparison that is drawn.
        panel: a name of FIGURES or, with `diagnoses`, of DIAGNOSTIC_FIGURES.
        width: of the whole figure, such as "84mm"; a number is in pixels. None: panels of the usual width.
        diagnoses: the result of `diagnose`.

    Raises:
        SpecError: there is no such panel.
        ConvariumError: the runs have no data for it, or the width is none.
    """
    check_panel(panel)
    if panel in FIGURES:
        return FIGURES[panel](comparison, width=width)
    if not diagnoses:
        raise ConvariumError(f"{panel} is drawn from diagnostics, and there are none", hint="add --diagnostics")
    return DIAGNOSTIC_FIGURES[panel][0](diagnoses, width=width)


def check_panel(panel: str) -> None:
    """Raises a SpecError that lists the panels if there is no such panel."""
    if panel not in FIGURES and panel not in DIAGNOSTIC_FIGURES:
        names = ", ".join([*FIGURES, *DIAGNOSTIC_FIGURES])
        raise SpecError("there is no such panel", expected=f"one of {names}", received=panel)


def check_figures(folder: Path | None, *, panel: str | None, width: str | float | None) -> None:
    """Checks what is asked of figures before anything is drawn.

    Args:
        folder: of the figures; None: none are written.
        panel, width: as for `save_figures`.

    Raises:
        SpecError: there is no such panel.
        ConvariumError: a panel or a width without a folder, or `width` is no width.
    """
    if folder is None and (panel is not None or width is not None):
        given = "panel" if panel is not None else "width"
        raise ConvariumError(f"{given} is of figures, and none are written", hint="name a folder with --figures")
    if panel is not None:
        check_panel(panel)
    if width is not None:
        width_in_points(width)


def save_figures(
    comparison: Comparison,
    directory: Path | str,
    *,
    diagnoses: Diagnoses = (),
    panel: str | None = None,
    width: str | float | None = None,
) -> list[Path]:
    """Writes each chart as SVG, PDF and PNG (300 pixels per inch), and the data as CSV.

    Labels are 9 points high if a figure is printed at its own size. A chart for which there are no data is left out.

    Args:
        comparison: the comparison whose charts are drawn.
        directory: folder of the files; it is created if it does not exist.
        diagnoses: the result of `diagnose`; with it, the charts and data of the diagnostics are written too.
        panel: the only figure to write, as for `plot`, without the data; None: every figure that is not a part of
            another, and the data.
        width: of each figure, as for `plot`.

    Returns:
        The paths of the files, figures first.

    Raises:
        SpecError: there is no such panel.
        ConvariumError: `width` is no width, or the only panel has no data.
    """
    check_figures(Path(directory), panel=panel, width=width)
    if panel is not None:
        drawn = plot(comparison, panel, width=width, diagnoses=diagnoses)
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        return _save(drawn, folder, panel)
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name in (*FIGURES, *DIAGNOSTIC_FIGURES):
        if "-" not in name:
            try:
                written += _save(plot(comparison, name, width=width, diagnoses=diagnoses), folder, name)
            except ConvariumError:  # there are no data for it
                continue
    frames = {table: comparison.frame(table) for table in _TABLES}  # type: ignore[arg-type]
    frames |= {name: points(diagnoses) for name, (_, points) in DIAGNOSTIC_FIGURES.items()}
    for name, frame in frames.items():
        if name not in DIAGNOSTIC_FIGURES or not frame.empty:
            path = folder / f"{name}.csv"
            write_text(path, frame_as_csv(frame))
            written.append(path)
    return written


def _save(chart: Chart, folder: Path, name: str) -> list[Path]:
    drawable, written = _drawable(chart), []
    for ending in ("svg", "pdf", "png"):
        path = folder / f"{name}.{ending}"
        drawable.save(str(path), ppi=_PIXELS_PER_INCH if ending == "png" else None)
        written.append(path)
    # Vega's unit is a point here, as in the PDF; without a unit, an SVG is read as 96 to the inch.
    svg = written[0].read_text("utf-8")
    head, rest = svg.split(">", 1)
    write_text(written[0], re.sub(r' (width|height)="([\d.]+)"', r' \1="\2pt"', head) + ">" + rest)
    return written


def _drawable(chart: Chart) -> Chart:
    """The chart with control characters written out: in a name they would end the whole process when it is drawn."""
    specification = chart.to_dict()
    shown = _visible(specification)
    return chart if shown == specification else cast("Chart", alt.Chart.from_dict(shown))


def _visible(value: Any) -> Any:
    if isinstance(value, dict):
        return {_visible(name): _visible(part) for name, part in value.items()}
    if isinstance(value, list):
        return list(map(_visible, value))
    return visible(value) if isinstance(value, str) else value
