"""What the diagnostics found, as tables of points: gradients and idle units by depth, loss around the solution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from convarium.diagnostics import Diagnosis, LayerGradient, Undiagnosed, UnitActivity

Diagnoses = Sequence[Diagnosis | Undiagnosed]

MOMENTS = {"initial": "at the start", "final": "at the stored weights"}


SHARES = {"idle_share": "dead or saturated units", "flat_share": "dead or saturated outputs"}


@dataclass(frozen=True)
class InsideLine:
    """One network in numbers.

    Attributes:
        layers: with weights.
        reach: the first layer's gradient norm as a share of the last one's, at each of MOMENTS; None where the last
            one is 0.
        idle, units: how many are dead or saturated, and how many there are.
        kinds: "dead", "saturated", or both.
        center: the loss of the stored weights on the images of the surface, nats; None where it is not finite.
        highest: the highest finite loss on the surface, nats.
    """

    label: str
    seed: int
    layers: int
    reach: dict[str, float | None]
    idle: int
    units: int
    kinds: str
    center: float | None
    highest: float | None


def known(diagnoses: Diagnoses) -> list[Diagnosis]:
    """Those that something is known of."""
    return [one for one in diagnoses if isinstance(one, Diagnosis)]


def gradient_points(diagnoses: Diagnoses) -> pd.DataFrame:
    """Columns label, seed, moment (of MOMENTS), depth, layers, place (0: first layer, 1: last), layer, norm, rms."""
    rows = [
        {"label": one.label, "seed": one.seed, "moment": moment, **_placed(layer, len(layers)), "layer": layer.name,
         "norm": layer.norm, "rms": layer.rms}
        for one in known(diagnoses)
        for moment in MOMENTS
        for layers in [getattr(one, moment)]
        for layer in layers
    ]  # fmt: skip
    columns = ["label", "seed", "moment", "depth", "layers", "place", "layer", "norm", "rms"]
    return pd.DataFrame(rows, columns=columns)


def unit_points(diagnoses: Diagnoses) -> pd.DataFrame:
    """Columns label, seed, depth, layers, place, layer, activation, kind, units, idle, idle_share, flat_share."""
    rows = [
        {"label": one.label, "seed": one.seed, **_placed(layer, len(one.activity)), "layer": layer.name,
         "activation": layer.activation, "kind": layer.kind, "units": layer.units, "idle": layer.idle,
         "idle_share": layer.idle / layer.units, "flat_share": layer.flat}
        for one in known(diagnoses)
        for layer in one.activity
    ]  # fmt: skip
    columns = ["label", "seed", "depth", "layers", "place", "layer", "activation", "kind", "units", "idle"]
    return pd.DataFrame(rows, columns=[*columns, "idle_share", "flat_share"])


def surface_points(diagnoses: Diagnoses) -> pd.DataFrame:
    """Columns label, seed, network (its number among the known), first, second, loss; what is not finite is missing."""
    parts = []
    for number, one in enumerate(known(diagnoses)):
        first, second = np.meshgrid(one.surface.offsets, one.surface.offsets, indexing="ij")
        found = {"first": first.ravel(), "second": second.ravel(), "loss": one.surface.losses.ravel()}
        parts.append(pd.DataFrame({"label": one.label, "seed": one.seed, "network": number} | found))
    points = (
        pd.concat(parts) if parts else pd.DataFrame(columns=["label", "seed", "network", "first", "second", "loss"])
    )
    return points[np.isfinite(points["loss"].astype(float))].reset_index(drop=True)


def scale_points(surfaces: pd.DataFrame) -> pd.DataFrame:
    """The range of the losses of `surface_points` in small steps: columns from, to, loss."""
    low, high = loss_bounds(surfaces)
    edges = np.geomspace(low, high, 65)
    return pd.DataFrame({"from": edges[:-1], "to": edges[1:], "loss": np.sqrt(edges[:-1] * edges[1:])})


def loss_bounds(surfaces: pd.DataFrame) -> tuple[float, float]:
    """The lowest and the highest loss of `surface_points`, for a logarithmic scale: above 0 and apart."""
    low = max(float(surfaces["loss"].min()), 1e-6)
    return low, max(float(surfaces["loss"].max()), 1.01 * low)


def inside_lines(diagnoses: Diagnoses) -> tuple[InsideLine, ...]:
    """Every known network in numbers."""
    return tuple(
        InsideLine(
            label=one.label,
            seed=one.seed,
            layers=len(one.final),
            reach={moment: _reach(getattr(one, moment)) for moment in MOMENTS},
            idle=sum(layer.idle for layer in one.activity),
            units=sum(layer.units for layer in one.activity),
            kinds=" or ".join(sorted({layer.kind for layer in one.activity})),
            center=_finite(one.surface.center),
            highest=_finite(one.surface.losses[np.isfinite(one.surface.losses)].max(initial=-math.inf)),
        )
        for one in known(diagnoses)
    )


def _placed(layer: LayerGradient | UnitActivity, layers: int) -> dict[str, float]:
    """A network of one layer alone has its last one."""
    place = (layer.depth - 1) / (layers - 1) if layers > 1 else 1.0
    return {"depth": layer.depth, "layers": layers, "place": place}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _reach(layers: Sequence[LayerGradient]) -> float | None:
    return layers[0].norm / layers[-1].norm if layers and layers[-1].norm > 0 else None
