"""What a comparison looks like: tables, charts, figures, and the report as one HTML page.

Everything is drawn from stored runs. Nothing here trains, and nothing needs torch but the page's list of layers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_MODULES = {
    "ClaimsSection": "claims_section",
    "ExtraTable": "claims_section",
    "RunInProgress": "study_status",
    "StudyStatus": "study_status",
    "as_csv": "exports",
    "as_latex": "exports",
    "as_markdown": "exports",
    "as_rich": "terminal_table",
    "plot_gradients": "diagnostics_plots",
    "plot_surface": "diagnostics_plots",
    "plot_units": "diagnostics_plots",
    "save_figures": "figures",
    "stopped_status": "study_status",
    "write_report": "page",
}
"""The modules of the public names, which are imported on first use: a table needs no altair. Plots are in `charts`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'charts')}"), name)
