"""What a comparison looks like: tables, charts, figures, and the report as one HTML page.

Everything is drawn from stored runs. Nothing here trains, and nothing needs torch but the page's list of layers.
"""

from typing import TYPE_CHECKING

from convarium.lazy_names import lazy_names

if TYPE_CHECKING:
    from convarium.pages.charts import (
        plot_accuracy,
        plot_agreement,
        plot_calibration,
        plot_classes,
        plot_confusion,
        plot_cost,
        plot_curves,
    )
    from convarium.pages.claims_section import ClaimsSection, ExtraTable
    from convarium.pages.diagnostics_plots import plot_gradients, plot_surface, plot_units
    from convarium.pages.exports import as_csv, as_latex, as_markdown
    from convarium.pages.figures import save_figures
    from convarium.pages.page import write_report
    from convarium.pages.study_status import RunInProgress, StudyStatus, stopped_status
    from convarium.pages.terminal_table import as_rich

__all__ = [
    "ClaimsSection",
    "ExtraTable",
    "RunInProgress",
    "StudyStatus",
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
    "stopped_status",
    "write_report",
]

__getattr__ = lazy_names(
    __name__,
    {
        "charts": (
            "plot_accuracy",
            "plot_agreement",
            "plot_calibration",
            "plot_classes",
            "plot_confusion",
            "plot_cost",
            "plot_curves",
        ),
        "claims_section": ("ClaimsSection", "ExtraTable"),
        "diagnostics_plots": ("plot_gradients", "plot_surface", "plot_units"),
        "exports": ("as_csv", "as_latex", "as_markdown"),
        "figures": ("save_figures",),
        "page": ("write_report",),
        "study_status": ("RunInProgress", "StudyStatus", "stopped_status"),
        "terminal_table": ("as_rich",),
    },
)
