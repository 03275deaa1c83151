"""Timings of networks that took turns: one file for each study and machine,
`speed/pairs/<study>-<machine>.json`.

A network's turns stand in the order of the pairs: the turns of all networks at one place were taken right after each
other. Reading them imports no torch.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convarium.disk import value_digest, write_text
from convarium.errors import FileContentError, StoreError
from convarium.recipes.recipe import Recipe, recipe_from_json
from convarium.records import Environment
from convarium.runs.json_forms import environment_from_json
from convarium.runs.seal import read_sealed, sealed_text

FOLDER = "speed/pairs"
"""Where they lie in a store, and in the records that come with Convarium."""

_MOST_BYTES = 2**24
_MEND = "delete it; the networks can be timed again"


@dataclass(frozen=True)
class TimedTurn:
    """The training steps that a network made without a pause.

    Attributes:
        images: that it trained on.
        seconds: by the clock.
        processor_seconds: of the process, all threads together.
    """

    images: int
    seconds: float
    processor_seconds: float

    @property
    def images_per_second(self) -> float:
        """The training speed by the clock."""
        return self.images / self.seconds


@dataclass(frozen=True)
class TimedNetwork:
    """A network with its turns, one for each pair; the recipe has the seed 0."""

    recipe: Recipe
    turns: tuple[TimedTurn, ...]


@dataclass(frozen=True)
class Timing:
    """The networks of a study that took turns on one machine."""

    study: str
    environment: Environment
    networks: tuple[TimedNetwork, ...]

    def turns(self, recipe: Recipe) -> tuple[TimedTurn, ...]:
        """Returns the turns of a recipe, whatever its seed; none if it was not timed."""
        wanted = dataclasses.replace(recipe, seed=0)
        return next((network.turns for network in self.networks if network.recipe == wanted), ())


def write_timing(root: Path, timing: Timing) -> Path:
    """Writes a timing into a store's root or a folder of records, in place of an older one of the same machine."""
    networks = [
        {"recipe": network.recipe.to_json(), "turns": [dataclasses.astuple(turn) for turn in network.turns]}
        for network in timing.networks
    ]
    values = {"study": timing.study, "environment": dataclasses.asdict(timing.environment), "networks": networks}
    path = root / FOLDER / f"{timing.study}-{_machine(timing.environment)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, sealed_text(values))
    return path


def read_timings(roots: Iterable[Path], study: str) -> tuple[Timing, ...]:
    """Reads the timings of a study from stores and folders of records, the newest of each machine, the newest first.

    Raises:
        StoreError: a file is damaged or cannot be read; names it.
    """
    newest: dict[str, Timing] = {}
    for root in roots:
        for path in sorted((root / FOLDER).glob(f"{study}-*.json")):
            timing = _read(path)
            machine = _machine(timing.environment)
            older = newest.get(machine)
            if timing.study == study and (older is None or timing.environment.started > older.environment.started):
                newest[machine] = timing
    return tuple(sorted(newest.values(), key=lambda timing: timing.environment.started, reverse=True))


def _machine(environment: Environment) -> str:
    """A digest of what makes a machine another one: timings by newer code on the same machine replace older ones."""
    names = ("processor", "processor_model", "instruction_sets", "device", "threads")
    return value_digest([getattr(environment, name) for name in names])[:8]


def _read(path: Path) -> Timing:
    try:
        values, has_digest = read_sealed(path, _MOST_BYTES)
        if not has_digest:
            raise FileContentError(f"{path} has no digest")
        networks = tuple(_network(each["recipe"], each["turns"]) for each in values["networks"])
        if not networks or len({len(network.turns) for network in networks}) > 1:
            raise ValueError("the networks have different numbers of turns")
        return Timing(str(values["study"]), environment_from_json(values["environment"]), networks)
    except (FileContentError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{path} is damaged, or was changed by hand", hint=_MEND) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error


def _network(recipe: Any, turns: Sequence[Any]) -> TimedNetwork:
    read = tuple(TimedTurn(int(images), float(seconds), float(busy)) for images, seconds, busy in turns)
    if not read or not all(turn.images > 0 and turn.seconds > 0 and turn.processor_seconds >= 0 for turn in read):
        raise ValueError("a turn has no images or no time")
    return TimedNetwork(recipe_from_json(recipe), read)
