"""What goes on inside a trained network, from its stored weights: nothing here trains anything."""

from convarium.diagnostics.activity import UnitActivity, unit_activity
from convarium.diagnostics.augmented import Augmented, augmented_samples
from convarium.diagnostics.features import FeatureMaps, Filters, feature_maps, first_filters
from convarium.diagnostics.gradients import LayerGradient, gradient_norms, initial_gradients
from convarium.diagnostics.runs import Diagnosis, Undiagnosed, diagnose, diagnose_run
from convarium.diagnostics.sample import training_sample
from convarium.diagnostics.surface import LossSurface, filter_normalized, loss_surface

__all__ = [
    "Augmented",
    "Diagnosis",
    "FeatureMaps",
    "Filters",
    "LayerGradient",
    "LossSurface",
    "Undiagnosed",
    "UnitActivity",
    "augmented_samples",
    "diagnose",
    "diagnose_run",
    "feature_maps",
    "filter_normalized",
    "first_filters",
    "gradient_norms",
    "initial_gradients",
    "loss_surface",
    "training_sample",
    "unit_activity",
]
