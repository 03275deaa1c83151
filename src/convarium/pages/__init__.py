"""The report: tables, charts and the page, drawn from a comparison; nothing here trains anything."""

from convarium.pages.charts import (
    plot_accuracy,
    plot_agreement,
    plot_calibration,
    plot_classes,
    plot_confusion,
    plot_cost,
    plot_curves,
    plot_gradients,
    plot_surface,
    plot_units,
)
from convarium.pages.figures import save_figures
from convarium.pages.page import write_report
from convarium.pages.tables import as_csv, as_latex, as_markdown, as_rich

__all__ = [
    "as_csv",
    "as_latex",
    "as_markdown",
    "as_rich",
    "plot_accuracy",
    "plot_agreement",
    "plot_calibration",
    "plot_classes",
    "plot_confusion",
    "plot_cost",
    "plot_curves",
    "plot_gradients",
    "plot_surface",
    "plot_units",
    "save_figures",
    "write_report",
]
