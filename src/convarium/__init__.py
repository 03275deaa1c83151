"""Trains the classic convolutional networks side by side, fairly and fast, and says which differences are real."""

from typing import TYPE_CHECKING

from convarium.lazy_names import lazy_names

if TYPE_CHECKING:
    from convarium.analysis.comparison import Comparison, compare_runs
    from convarium.data import load_data
    from convarium.diagnostics import explain
    from convarium.errors import ConvariumError
    from convarium.models.build import build_model
    from convarium.recipes.presets import recipe_preset
    from convarium.recipes.recipe import Recipe
    from convarium.records import ImageSpec, Outcome, Scores
    from convarium.runs.store import Store
    from convarium.studies.study import Study, grid
    from convarium.training.engines import LightningEngine
    from convarium.workspace import (
        ReportFiles,
        StudyResult,
        Workspace,
        compare,
        describe,
        evaluate,
        export,
        find_run,
        list_runs,
        load_run,
        merge,
        plan,
        play,
        predict,
        recommend,
        remove,
        report,
        reproduce,
        results,
        run,
        train,
    )
    from convarium.workspace.fitting import fit

__all__ = [
    "Comparison",
    "ConvariumError",
    "ImageSpec",
    "LightningEngine",
    "Outcome",
    "Recipe",
    "ReportFiles",
    "Scores",
    "Store",
    "Study",
    "StudyResult",
    "Workspace",
    "build_model",
    "compare",
    "compare_runs",
    "describe",
    "evaluate",
    "explain",
    "export",
    "find_run",
    "fit",
    "grid",
    "list_runs",
    "load_data",
    "load_run",
    "merge",
    "plan",
    "play",
    "predict",
    "recipe_preset",
    "recommend",
    "remove",
    "report",
    "reproduce",
    "results",
    "run",
    "train",
]

__getattr__ = lazy_names(
    __name__,
    {
        "analysis.comparison": ("Comparison", "compare_runs"),
        "data": ("load_data",),
        "diagnostics": ("explain",),
        "errors": ("ConvariumError",),
        "models.build": ("build_model",),
        "recipes.presets": ("recipe_preset",),
        "recipes.recipe": ("Recipe",),
        "records": ("ImageSpec", "Outcome", "Scores"),
        "runs.store": ("Store",),
        "studies.study": ("Study", "grid"),
        "training.engines": ("LightningEngine",),
        "workspace": (
            "ReportFiles",
            "StudyResult",
            "Workspace",
            "compare",
            "describe",
            "evaluate",
            "export",
            "find_run",
            "list_runs",
            "load_run",
            "merge",
            "plan",
            "play",
            "predict",
            "recommend",
            "remove",
            "report",
            "reproduce",
            "results",
            "run",
            "train",
        ),
        "workspace.fitting": ("fit",),
    },
)


def __dir__() -> list[str]:
    """The public names, for completion in a shell or a notebook."""
    return __all__
