"""Every chart as files for a paper, and the numbers behind them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.errors import ConvariumError
from convarium.pages import charts, inside
from convarium.pages.drawing import Chart

FIGURES: dict[str, Callable[[Comparison], Chart]] = {
    "curves": charts.plot_curves,
    "accuracy": charts.plot_accuracy,
    "cost": charts.plot_cost,
    "classes": charts.plot_classes,
    "confusion": charts.plot_confusion,
    "calibration": charts.plot_calibration,
    "agreement": charts.plot_agreement,
}
INSIDE: dict[str, tuple[Callable[[inside.Diagnoses], Chart], Callable[[inside.Diagnoses], pd.DataFrame]]] = {
    "gradients": (charts.plot_gradients, inside.gradient_points),
    "units": (charts.plot_units, inside.unit_points),
    "surface": (charts.plot_surface, inside.surface_points),
}
TABLES = ("rows", "runs", "epochs", "classes")
_PIXELS_AN_INCH = 300


def save_figures(comparison: Comparison, directory: Path | str, *, diagnoses: inside.Diagnoses = ()) -> list[Path]:
    """Writes each chart as SVG, PDF and PNG (300 pixels an inch) and the data as CSV.

    Labels have 9 points where a figure is printed at its own size. A chart for which the runs have no data is left out.

    Args:
        comparison: whose charts.
        directory: is made where it is missing.
        diagnoses: of `diagnose`; with them, also their charts and data.

    Returns:
        The files, figures first.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    plots: dict[str, Callable[[], Chart]] = {name: partial(plot, comparison) for name, plot in FIGURES.items()}
    plots |= {name: partial(plot, diagnoses) for name, (plot, _) in INSIDE.items()}
    for name, plot in plots.items():
        try:
            chart = plot()
        except ConvariumError:
            continue
        for ending in ("svg", "pdf", "png"):
            path = folder / f"{name}.{ending}"
            chart.save(str(path), ppi=_PIXELS_AN_INCH if ending == "png" else None)
            written.append(path)
    for table in TABLES:
        path = folder / f"{table}.csv"
        comparison.frame(table).to_csv(path, index=False, lineterminator="\n")  # type: ignore[arg-type]
        written.append(path)
    for name, (_, points) in INSIDE.items():
        frame = points(diagnoses)
        if not frame.empty:
            path = folder / f"{name}.csv"
            frame.to_csv(path, index=False, lineterminator="\n")
            written.append(path)
    return written
