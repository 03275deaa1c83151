"""What happens inside a trained network: gradients, inactive units, the loss around its weights, filters and features.

Everything is computed from the stored weights of runs. Nothing here trains, and the results are plain arrays.
"""

from typing import TYPE_CHECKING

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
from convarium.lazy_names import lazy_names

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

__getattr__ = lazy_names(
    __name__,
    {
        "diagnose_runs": ("diagnose", "diagnose_run"),
        "explanations": ("explain",),
        "features": ("feature_maps", "first_filters"),
        "gradients": ("gradient_norms", "initial_gradients"),
        "samples": ("augmented_samples", "training_sample"),
        "surface": ("filter_normalized", "loss_surface"),
        "units": ("unit_activity",),
    },
)
