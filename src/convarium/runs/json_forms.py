"""Histories and outcomes as plain values for JSON, and back."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from convarium.records import Cost, Environment, Epoch, ImageSpec, Outcome, Scores


def history_to_json(history: Iterable[Epoch]) -> list[dict[str, Any]]:
    """The epochs as plain values; a number that is not finite becomes None, which JSON has."""
    return [{k: _finite(v) for k, v in dataclasses.asdict(row).items()} for row in history]


def history_from_json(rows: Iterable[dict[str, Any]]) -> tuple[Epoch, ...]:
    """The epochs that `history_to_json` wrote; a training loss of None becomes NaN."""
    return tuple(Epoch(**(row | {"train_loss": math.nan} if row["train_loss"] is None else row)) for row in rows)


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain values, without its history, its network and its arrays.

    `earlier` is left out of a run that was trained in one environment.
    """
    arrays = {"history", "earlier", "network", "step_loss", "step_accuracy", "logits", "labels", "weights"}
    plain = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome) if f.name not in arrays}
    earlier = [dataclasses.asdict(environment) for environment in outcome.earlier]
    return {
        k: dataclasses.asdict(v) if dataclasses.is_dataclass(v) and not isinstance(v, type) else v
        for k, v in plain.items()
    } | ({"earlier": earlier} if earlier else {})


def outcome_from_json(seal: dict[str, Any], history: tuple[Epoch, ...]) -> Outcome:
    """The outcome that `outcome_to_json` wrote, with the history of its run."""

    def scores(values: dict[str, Any] | None) -> Scores | None:
        return values and Scores(**(values | {"confusion": tuple(map(tuple, values["confusion"]))}))  # type: ignore[return-value]

    return Outcome(
        status=seal["status"],
        history=history,
        environment=environment_from_json(seal["environment"]),
        cost=Cost(**seal["cost"]) if seal["cost"] else None,
        message=seal["message"],
        selected_epoch=seal["selected_epoch"],
        train=scores(seal.get("train")),
        validation=scores(seal["validation"]),
        test=scores(seal["test"]),
        image=ImageSpec(**seal["image"]) if seal.get("image") else None,
        earlier=tuple(map(environment_from_json, seal.get("earlier", ()))),
    )


def environment_from_json(values: dict[str, Any]) -> Environment:
    """The environment of which `values` are the fields."""
    return Environment(**(values | {"stack": tuple(values["stack"])}))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
