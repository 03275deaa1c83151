"""Every chart as files for a paper, and the numbers behind them."""

from collections.abc import Callable
from pathlib import Path

from convarium.comparison import Comparison
from convarium.errors import ConvariumError
from convarium.report import charts
from convarium.report.drawing import Chart

FIGURES: dict[str, Callable[[Comparison], Chart]] = {
    "curves": charts.plot_curves,
    "accuracy": charts.plot_accuracy,
    "cost": charts.plot_cost,
    "classes": charts.plot_classes,
    "confusion": charts.plot_confusion,
    "calibration": charts.plot_calibration,
    "agreement": charts.plot_agreement,
}
TABLES = ("rows", "runs", "epochs", "classes")
_PIXELS_AN_INCH = 300


def save_figures(comparison: Comparison, directory: Path | str) -> list[Path]:
    """Writes each chart as SVG, PDF and PNG (300 pixels an inch) and the data as CSV.

    Labels have 9 points where a figure is printed at its own size. A chart for which the runs have no data is left out.

    Args:
        comparison: whose charts.
        directory: is made where it is missing.

    Returns:
        The files, figures first.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, plot in FIGURES.items():
        try:
            chart = plot(comparison)
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
    return written
