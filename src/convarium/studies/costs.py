"""What the runs of a claim that is not judged yet would cost, from recorded rates; nothing is timed here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convarium.analysis.comparison import canonical_spec, formatting
from convarium.data.published import DATASETS
from convarium.disk import read_json
from convarium.errors import FileContentError
from convarium.models.index import native_image
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from convarium.studies.study import images_of

_MOST_BYTES = 2**26

_Key = tuple[str, ImageSpec, int, str]
"""What a rate depends on beside the machine: the network, its images, the batch size and the precision."""


@dataclass(frozen=True)
class Rate:
    """How fast a machine trained a network.

    Attributes:
        network: as the record names it.
        images_per_second: of training, the median of the turns.
        machine: processor, instruction set and threads.
        date: of the measurement, "2026-11-26".
    """

    network: str
    images_per_second: float
    machine: str
    date: str


RATES = "rates"
"""The folder beside the records of speed for networks that the benchmark does not have; see benchmarks/costs.py."""

Rates = Mapping[_Key, Rate]
"""The newest recorded rate of each network."""


def recorded_rates(folder: Path) -> Rates:
    """Reads the records of speed, one file a machine, that `convarium bench --record` and benchmarks/costs.py write.

    Args:
        folder: results/speed; where there is none, nothing is known.

    Returns:
        Of each network on its own images the newest rate, of several machines' the one whose file comes first.

    Raises:
        FileContentError: a file is not a record of speed.
    """
    rates: dict[_Key, Rate] = {}
    for path in sorted([*folder.glob("*.json"), *folder.glob(f"{RATES}/*.json")]):
        content = read_json(path, _MOST_BYTES)
        try:
            machine = content["machine"]
            for timing in content["timings"]:
                if timing["members"] != 1:
                    continue
                threads = formatting.count(timing["threads"], "thread")
                rate = Rate(
                    timing["job"],
                    float(timing["convarium"]["median"]),
                    f"{machine['processor']}, {machine['instructions']}, {threads}",
                    timing["date"],
                )
                job = timing["job"]
                image = ImageSpec(*timing["image"]) if "image" in timing else native_image(job)
                key = (canonical_spec(job), image, int(timing["batch_size"]), str(timing["precision"]))
                if key not in rates or rates[key].date < rate.date:
                    rates[key] = rate
        except (KeyError, TypeError, ValueError) as error:
            raise FileContentError(f"{path} is not a record of speed", received=error) from None
    return rates


def rate_of(recipe: Recipe, rates: Rates) -> Rate | None:
    """The recorded rate of a recipe's network on its images; None if none was recorded."""
    images = images_of(recipe)
    if images is None:
        return None
    return rates.get((canonical_spec(recipe.model), images, recipe.batch_size, recipe.precision))


def expected_seconds(recipes: Iterable[Recipe], rates: Rates) -> float | None:
    """The training time of runs by the recorded rates of their networks; None if one of them has none."""
    total = 0.0
    for recipe in recipes:
        rate = rate_of(recipe, rates)
        if rate is None:
            return None
        dataset = DATASETS[recipe.dataset]
        held_out = dataset.validation if recipe.validation is None else recipe.validation
        total += recipe.epochs * (dataset.train - held_out) / rate.images_per_second
    return total


def describe_rates(rates: Sequence[Rate]) -> str:
    """Says by whose rates costs were computed: machines and dates; an empty text without rates."""
    if not rates:
        return ""
    dates = sorted({rate.date for rate in rates})
    machines = formatting.listed(sorted({rate.machine for rate in rates}))
    when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
    return f"costs of missing runs: images to train on / the newest recorded rate of each network ({machines}; {when})"
