"""Every chart as files for a paper, with the data behind it."""

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
from convarium.errors import ConvariumError
from convarium.pages import charts, diagnostics_charts
from convarium.pages.chart_style import Chart
from convarium.pages.exports import frame_as_csv

FIGURES: dict[str, Callable[[Comparison], Chart]] = {
    "curves": charts.plot_curves,
    "accuracy": charts.plot_accuracy,
    "cost": charts.plot_cost,
    "classes": charts.plot_classes,
    "confusion": charts.plot_confusion,
    "calibration": charts.plot_calibration,
    "agreement": charts.plot_agreement,
}
"""The figures of a comparison by the names of their files."""

DIAGNOSTIC_FIGURES: dict[str, tuple[Callable[[Diagnoses], Chart], Callable[[Diagnoses], pd.DataFrame]]] = {
    "gradients": (charts.plot_gradients, diagnostics_charts.gradient_points),
    "units": (charts.plot_units, diagnostics_charts.unit_points),
    "surface": (charts.plot_surface, diagnostics_charts.surface_points),
}
"""The figures of the diagnostics by the names of their files, each with the function that gives its data."""

_TABLES = ("rows", "runs", "epochs", "classes")
_PIXELS_PER_INCH = 300


def save_figures(comparison: Comparison, directory: Path | str, *, diagnoses: Diagnoses = ()) -> list[Path]:
    """Writes each chart as SVG, PDF and PNG (300 pixels per inch), and the data as CSV.

    Labels are 9 points high if a figure is printed at its own size. A chart for which there are no data is left out.

    Args:
        comparison: the comparison whose charts are drawn.
        directory: folder of the files; it is created if it does not exist.
        diagnoses: the result of `diagnose`; with it, the charts and data of the diagnostics are written too.

    Returns:
        The paths of the files, figures first.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    plots: dict[str, Callable[[], Chart]] = {name: partial(plot, comparison) for name, plot in FIGURES.items()}
    plots |= {name: partial(plot, diagnoses) for name, (plot, _) in DIAGNOSTIC_FIGURES.items()}
    for name, plot in plots.items():
        try:
            chart = _drawable(plot())
        except ConvariumError:
            continue
        for ending in ("svg", "pdf", "png"):
            path = folder / f"{name}.{ending}"
            chart.save(str(path), ppi=_PIXELS_PER_INCH if ending == "png" else None)
            written.append(path)
    frames = {table: comparison.frame(table) for table in _TABLES}  # type: ignore[arg-type]
    frames |= {name: points(diagnoses) for name, (_, points) in DIAGNOSTIC_FIGURES.items()}
    for name, frame in frames.items():
        if name not in DIAGNOSTIC_FIGURES or not frame.empty:
            path = folder / f"{name}.csv"
            write_text(path, frame_as_csv(frame))
            written.append(path)
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
