"""Claims of speed: the networks of a study take turns on this machine, and the store keeps what was measured."""

import itertools
import time
from collections.abc import Callable, Iterable

from convarium.analysis.claims import FEWEST_PAIRS, Claim, is_about_speed
from convarium.analysis.comparison.formatting import count, duration, listed
from convarium.analysis.comparison.timing import conditions
from convarium.errors import ConvariumError, TimeLimitError
from convarium.runs.environment import environment
from convarium.runs.timings import TimedNetwork, Timing, read_timings, write_timing
from convarium.studies.events import StudyEvent
from convarium.studies.resources import Resources
from convarium.studies.study import Study
from convarium.studies.verdicts import recipes_of

TURN_SECONDS = 1.0
"""About how long a turn is; one that takes longer for a single step has one step."""


def time_claims(
    study: Study,
    claims: Iterable[Claim],
    resources: Resources,
    *,
    pairs: int = FEWEST_PAIRS,
    seconds: float = TURN_SECONDS,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> Timing:
    """Times the networks that claims of speed name, in turns, each in a process of its own, and stores the timing.

    A timing of the same networks that the store has from this environment, with as many pairs, is kept as it is. Where
    an older one has others of the study's networks, these take turns too, since the new one replaces it.

    Args:
        study: whose claims they are.
        claims: of speed.
        resources: the store, the data sets, the device and the deadline.
        pairs: turns of every network.
        seconds: about how long a turn is, after a second of warm-up.
        on_event: called before the networks start, and once a pair.

    Raises:
        TimeLimitError: the time was over before all pairs were made; nothing is stored.
        ConvariumError: the data are missing, or a network diverged.
    """
    from convarium.training.interleaved_timing import interleaved, measure_pairs
    from convarium.training.scoring import pick_device
    from convarium.training.timed_training import endless, training_contestant

    recipes = {name: recipe for claim in claims for name, recipe in recipes_of(study, claim).items()}
    device, notify = pick_device(resources.device), on_event or (lambda _: None)
    here, before = environment(device), read_timings([resources.store.root], study.name)
    for stored in before:
        enough = all(len(stored.turns(recipe)) >= pairs for recipe in recipes.values())
        if enough and conditions(stored.environment) == conditions(here):
            return stored
    for claim in filter(is_about_speed, study.claims.values()):
        others = recipes_of(study, claim).items()
        recipes |= {name: recipe for name, recipe in others if any(timing.turns(recipe) for timing in before)}

    def tell(text: str) -> None:
        notify(StudyEvent(0, len(recipes), next(iter(recipes.values())), message=f"{study.name}: {text}"))

    def before_pair(pair: int) -> None:
        if resources.is_time_over():
            raise TimeLimitError(f"the time was over after {count(pair, 'pair')} of {study.name}", hint="give it more")
        if pair and pair in (1, pairs // 2):
            left = (pairs - pair) * (time.monotonic() - began) / pair
            tell(f"{pair} of {pairs} pairs are timed, about {duration(left)} left")

    tell(f"timing {listed(list(recipes))} in turns, {count(pairs, 'pair')}")
    contestants = {
        name: training_contestant(endless(recipe), resources.splits(recipe), device) for name, recipe in recipes.items()
    }
    with interleaved(contestants, device) as turns:
        began = time.monotonic()
        taken = measure_pairs(turns, pairs=pairs, seconds=seconds, on_pair=before_pair)
    networks = tuple(TimedNetwork(recipe, taken[name]) for name, recipe in recipes.items())
    timing = Timing(study.name, here, networks)
    write_timing(resources.store.root, timing)
    return timing


def time_study(
    study: Study, resources: Resources, *, on_event: Callable[[StudyEvent], None] | None = None
) -> tuple[Timing, ...]:
    """Times the networks of a study's claims of speed, and returns all timings that the store has of it.

    Why they could not be timed is told as a notice; then the claims stay open.
    """
    about_speed = [claim for claim in study.claims.values() if is_about_speed(claim)]
    try:
        if about_speed:
            time_claims(study, about_speed, resources, on_event=on_event)
    except ConvariumError as error:
        if on_event:
            on_event(StudyEvent(0, len(study.recipes), study.recipes[0], notice=f"not timed in turns: {error}"))
    return read_timings([resources.store.root], study.name)


def by_study(claims: Iterable[tuple[Study, Claim]]) -> list[tuple[Study, list[Claim]]]:
    """The claims of speed among these, study by study."""
    about_speed = [(study, claim) for study, claim in claims if is_about_speed(claim)]
    groups = itertools.groupby(about_speed, key=lambda pair: pair[0])
    return [(study, [claim for _, claim in group]) for study, group in groups]
