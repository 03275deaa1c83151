"""What happens inside a trained network: gradients, inactive units, the loss around its weights, filters and features.

Everything is computed from the stored weights of runs. Nothing here trains, and the results are plain arrays.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convarium.diagnostics.results import (
    AugmentedImages,
    Diagnoses,
    Diagnosis,
    ExplainedImage,
    Explanation,
    FeatureMaps,
    Filters,
    LayerGradient,
    LossSurface,
    MissingDiagnosis,
    UnitActivity,
)

if TYPE_CHECKING:
    from convarium.diagnostics.diagnose_runs import diagnose, diagnose_run
    from convarium.diagnostics.explanations import explain
    from convarium.diagnostics.features import feature_maps, first_filters
    from convarium.diagnostics.gradients import gradient_norms, initial_gradients
    from convarium.diagnostics.samples import augmented_samples, training_sample
    from convarium.diagnostics.surface import filter_normalized, loss_surface
    from convarium.diagnostics.units import unit_activity

__all__ = [
    "AugmentedImages",
    "Diagnoses",
    "Diagnosis",
    "ExplainedImage",
    "Explanation",
    "FeatureMaps",
    "Filters",
    "LayerGradient",
    "LossSurface",
    "MissingDiagnosis",
    "UnitActivity",
    "augmented_samples",
    "diagnose",
    "diagnose_run",
    "explain",
    "feature_maps",
    "filter_normalized",
    "first_filters",
    "gradient_norms",
    "initial_gradients",
    "loss_surface",
    "training_sample",
    "unit_activity",
]

_MODULES = {
    "augmented_samples": "samples",
    "diagnose": "diagnose_runs",
    "diagnose_run": "diagnose_runs",
    "explain": "explanations",
    "feature_maps": "features",
    "filter_normalized": "surface",
    "first_filters": "features",
    "gradient_norms": "gradients",
    "initial_gradients": "gradients",
    "loss_surface": "surface",
    "training_sample": "samples",
    "unit_activity": "units",
}
"""Functions that need torch, with their modules, which are imported on first use."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
