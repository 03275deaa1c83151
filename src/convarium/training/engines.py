"""What carries a run's steps out: `training.fit`, or Lightning's Trainer on one device or several."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from convarium.errors import ConvariumError, RecipeError
from convarium.spec import unknown

ENGINES = ("native", "lightning")
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")
"""Those of Lightning's strategies in which every device has the whole network."""


def without_lightning() -> ConvariumError:
    """The error where Lightning is not installed, which says what to type."""
    return ConvariumError("Lightning is not installed", hint='pip install "convarium[lightning]"')


@dataclass(frozen=True)
class LightningEngine:
    """Trains every run with Lightning, on so many devices.

    The numbers are those of the native loop but for rounding, and but for batch norm: each device normalizes by its own
    part of a batch, and keeps the first one's running statistics.

    Attributes:
        devices: of each machine: GPUs, or processes on a CPU. A batch is divided among them.
        nodes: machines. On each the same command is given, with NODE_RANK, MASTER_ADDR and MASTER_PORT in its
            environment, as Lightning has it.
        strategy: how Lightning combines the devices: auto, ddp or ddp_find_unused_parameters_true.

    Raises:
        RecipeError: a number or a strategy that cannot be.
        ConvariumError: Lightning is not installed.
    """

    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        """Checks every field."""
        for name in ("devices", "nodes"):
            number = getattr(self, name)
            if type(number) is not int or number < 1:
                raise RecipeError(f"{name} is out of range", expected="1 or more", received=number)
        if self.strategy not in STRATEGIES:
            raise RecipeError(
                "an unknown strategy",
                expected=", ".join(STRATEGIES),
                received=self.strategy,
                hint="in a Trainer of your own, convarium.training.lightning.Classifier takes any strategy",
            )
        if find_spec("lightning") is None:
            raise without_lightning()

    @property
    def world_size(self) -> int:
        """Devices of all machines."""
        return self.devices * self.nodes


Engine = LightningEngine | Literal["native", "lightning"] | None
"""None and "native": the native loop; "lightning": on one device."""


def chosen_engine(engine: Engine, settings: Mapping[str, int | str | None]) -> LightningEngine | None:
    """The engine that was asked for; None: the native loop.

    Args:
        engine: a name, or an engine, which has its settings.
        settings: attributes of `LightningEngine`; None: as by default.

    Raises:
        SpecError: no such engine.
        RecipeError: a setting of Lightning for the native loop, or one that cannot be.
    """
    if isinstance(engine, LightningEngine):
        return engine
    name = engine or "native"
    if name not in ENGINES:
        raise unknown("engine", str(name), ENGINES)
    given = {key: value for key, value in settings.items() if value is not None}
    if name == "native":
        if given:
            raise RecipeError(f"--{next(iter(given))} is for Lightning", hint="add --engine lightning, or leave it out")
        return None
    return LightningEngine(**given)  # type: ignore[arg-type]  # which is checked there


def is_other_node(engine: LightningEngine | None) -> bool:
    """Whether this machine is not the first of several, so that it serves the first.

    Raises:
        RecipeError: its number is out of range.
    """
    if engine is None or engine.nodes == 1:
        return False
    number = os.environ.get("NODE_RANK", "0")
    if number not in map(str, range(engine.nodes)):
        raise RecipeError("NODE_RANK is out of range", expected=f"0 to {engine.nodes - 1}", received=number)
    return number != "0"
