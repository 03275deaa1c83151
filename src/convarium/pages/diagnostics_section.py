"""The section 'Inside the training' of the page: its texts, numbers and pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convarium.analysis.comparison import formatting
from convarium.diagnostics import Diagnoses, Diagnosis, LayerGradient, MissingDiagnosis
from convarium.pages.explained_section import ExplainedImageRows, explained_rows
from convarium.pages.pictures import Picture, augmented_sheet, data_uri, filters_sheet, maps_sheet

MOMENTS = {"initial": "at the initial weights", "final": "at the stored weights"}
"""When gradients are measured, each with its words in a title."""

SHARES = {
    "inactive_unit_share": "dead or saturated units",
    "inactive_output_share": "dead or saturated outputs",
}
"""Shares of units and of single outputs, each with its title on an axis."""


@dataclass(frozen=True)
class DiagnosisSummary:
    """One network's diagnostics in numbers.

    Attributes:
        label, seed: the network's row, and the seed of the run that represents it.
        layers: number of layers with weights.
        gradient_ratio: the norm of the first layer's gradient divided by that of the last layer, at each of MOMENTS;
            None where the last one is 0.
        inactive_units, units: how many units are dead or saturated, and how many there are.
        center: the loss at the stored weights on the images of the surface, in nats; None if it is not finite.
        highest: the highest finite loss on the surface, in nats.
    """

    label: str
    seed: int
    layers: int
    gradient_ratio: dict[str, float | None]
    inactive_units: int
    units: int
    center: float | None
    highest: float | None


@dataclass(frozen=True)
class NetworkPictures:
    """One network's pictures; `number` is the number of its loss surface."""

    label: str
    number: int
    filters: Picture | None
    image: str
    maps: tuple[Picture, ...]


@dataclass(frozen=True)
class DiagnosticsSection:
    """What the section shows beside its charts.

    Attributes:
        introduction: which runs are examined, and on how many images.
        surface: on how many points and images the surfaces are measured, in words.
        summaries: the numbers of each network.
        networks: the pictures of each network.
        explained: the test images on which the networks' answers are explained.
        augmented: one picture for each augmentation; empty if no network is trained with augmentation.
        missing: the rows without diagnostics.
    """

    introduction: str
    surface: str
    summaries: tuple[DiagnosisSummary, ...]
    networks: tuple[NetworkPictures, ...]
    explained: tuple[ExplainedImageRows, ...]
    augmented: tuple[Picture, ...]
    missing: tuple[MissingDiagnosis, ...]


def diagnostics_section(diagnoses: Diagnoses) -> DiagnosticsSection | None:
    """The texts, numbers and pictures of the section; None without diagnoses."""
    if not diagnoses:
        return None
    available = available_diagnoses(diagnoses)
    augmented = {d.augmented.augment: d.augmented for d in available if d.augmented is not None}
    return DiagnosticsSection(
        introduction=_introduction(available),
        surface=_surface(available),
        summaries=summaries(diagnoses),
        networks=tuple(_pictures(diagnosis, number) for number, diagnosis in enumerate(available)),
        explained=explained_rows(available),
        augmented=tuple(Picture(augment, augmented_sheet(images)) for augment, images in augmented.items()),
        missing=tuple(d for d in diagnoses if isinstance(d, MissingDiagnosis)),
    )


def available_diagnoses(diagnoses: Diagnoses) -> list[Diagnosis]:
    """The diagnoses without the rows that have none."""
    return [diagnosis for diagnosis in diagnoses if isinstance(diagnosis, Diagnosis)]


def summaries(diagnoses: Diagnoses) -> tuple[DiagnosisSummary, ...]:
    """The diagnostics of every network in numbers."""
    return tuple(
        DiagnosisSummary(
            label=diagnosis.label,
            seed=diagnosis.seed,
            layers=len(diagnosis.final),
            gradient_ratio={moment: _gradient_ratio(getattr(diagnosis, moment)) for moment in MOMENTS},
            inactive_units=sum(layer.inactive_units for layer in diagnosis.activity),
            units=sum(layer.units for layer in diagnosis.activity),
            center=_finite(diagnosis.surface.center),
            highest=_finite(diagnosis.surface.losses[np.isfinite(diagnosis.surface.losses)].max(initial=-math.inf)),
        )
        for diagnosis in available_diagnoses(diagnoses)
    )


def _gradient_ratio(layers: Sequence[LayerGradient]) -> float | None:
    return layers[0].norm / layers[-1].norm if layers and layers[-1].norm > 0 else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _pictures(diagnosis: Diagnosis, number: int) -> NetworkPictures:
    filters = None
    if diagnosis.filters is not None:
        shown, _, height, width = diagnosis.filters.weights.shape
        text = (
            f"{_how_many(shown, diagnosis.filters.total, 'filters')} of {height}×{width} in {diagnosis.filters.layer}"
        )
        filters = Picture(text, filters_sheet(diagnosis.filters))
    maps = tuple(
        Picture(
            f"{maps.layer}: {_how_many(len(maps.maps), maps.total, 'channels')} "
            f"of {maps.maps.shape[1]}×{maps.maps.shape[2]}",
            maps_sheet(maps),
        )
        for maps in diagnosis.maps
    )
    return NetworkPictures(diagnosis.label, number, filters, data_uri(diagnosis.image), maps)


def _how_many(shown: int, total: int, noun: str) -> str:
    return f"all {total:,} {noun}" if shown == total else f"the first {shown} of {total:,} {noun}"


def _introduction(diagnoses: list[Diagnosis]) -> str:
    if not diagnoses:
        return "None of the networks could be examined."
    seeds = formatting.listed(sorted({diagnosis.seed for diagnosis in diagnoses}))
    images = formatting.listed([f"{n:,}" for n in sorted({diagnosis.image_count for diagnosis in diagnoses})])
    return (
        f"One run represents each network: its first finished run with stored weights (seed {seeds}). It is examined "
        f"on {images} training images without augmentation. Nothing is trained for this section."
    )


def _surface(diagnoses: list[Diagnosis]) -> str:
    if not diagnoses:
        return ""
    images = formatting.listed([f"{n:,}" for n in sorted({diagnosis.surface.image_count for diagnosis in diagnoses})])
    size = len(diagnoses[0].surface.offsets)
    return f"{size}×{size} points, each the mean loss over {images} training images"
