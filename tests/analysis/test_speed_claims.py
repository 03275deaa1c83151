"""Claims of speed: what pairs of turns support, refute and leave open."""

import dataclasses

import pytest

from convarium.analysis.claims import (
    Better,
    Collapses,
    Equivalent,
    Ordered,
    is_about_speed,
    judge,
    judge_speed,
    measured,
)
from convarium.analysis.comparison import compare_runs
from convarium.errors import ConvariumError
from convarium.recipes.recipe import Recipe
from convarium.runs.timings import TimedNetwork, TimedTurn, Timing
from made_runs import HERE, runs

ALONE = dataclasses.replace(HERE, threads=1, started="2026-01-01T00:00:00+00:00")
FASTER = Better("lenet", than="vgg", metric="images_per_second", source="a paper")
RECIPES = {name: Recipe(model=name, dataset="mnist", batch_size=128) for name in ("lenet", "vgg", "nin")}
STEADY = [100 + n for n in range(10)]


def timing(rates, *, busy=None, environment=ALONE):
    """Turns of a second with these images; the processor took `busy` of it."""
    networks = [
        TimedNetwork(RECIPES[name], tuple(TimedTurn(n, 1.0, (busy or {}).get(name, 1.0)) for n in images))
        for name, images in rates.items()
    ]
    return Timing("made", environment, tuple(networks))


def verdict(claim, *timings, family=1):
    return judge_speed(claim, RECIPES, timings, family=family)


def test_a_network_that_is_faster_in_every_pair_is_faster():
    found = verdict(FASTER, timing({"lenet": [2 * n for n in STEADY], "vgg": STEADY}))
    assert found.sentence == (
        "supported: lenet trains 2.00 times as many images a second as vgg (95 % interval 2.00 to 2.00, 10 pairs) (in "
        "turns on Some CPU, cpu, 1 thread, torch 2.13.0, batch 128)"
    )
    assert (found.outcome, found.n, measured(found)) == ("supported", 10, "2.00 times (2.00 to 2.00)")
    # The ends are the second and the ninth of the ratios 1.10, 1.12, … 1.28.
    found = verdict(FASTER, timing({"lenet": [110 + 2 * n for n in range(10)], "vgg": [100] * 10}))
    assert "1.19 times as many images a second as vgg (95 % interval 1.12 to 1.26, 10 pairs)" in found.sentence


def test_an_interval_that_reaches_1_decides_nothing():
    one, other = [98, 99, 101, 102, 103, 104, 105, 106, 107, 108], [100] * 10
    assert verdict(FASTER, timing({"lenet": one, "vgg": other})).outcome == "undecided"
    apart = [98, *one[2:], 109]
    assert verdict(FASTER, timing({"lenet": apart, "vgg": other})).outcome == "supported"
    # Two of three intervals that hold together reach from the lowest to the highest pair.
    assert verdict(FASTER, timing({"lenet": apart, "vgg": other}), family=3).outcome == "undecided"


def test_a_slower_network_refutes_and_fewer_than_ten_pairs_decide_nothing():
    slower = {"lenet": STEADY, "vgg": [2 * n for n in STEADY]}
    assert verdict(FASTER, timing(slower)).outcome == "refuted"
    found = verdict(FASTER, timing({name: images[:9] for name, images in slower.items()}))
    assert found.outcome == "undecided"
    assert "9 pairs), and judging takes 10 pairs or more" in found.sentence
    guessed = verdict(dataclasses.replace(FASTER, assumed="the batch"), timing(slower))
    assert guessed.outcome == "not seen under the assumed recipe"
    assert guessed.sentence.endswith("batch 128) [recipe assumed]")


def test_every_step_of_an_order_must_hold():
    order = Ordered(["lenet", "nin", "vgg"], metric="images_per_second", source="a paper")
    rates = {"lenet": [4 * n for n in STEADY], "nin": [2 * n for n in STEADY], "vgg": STEADY}
    found = verdict(order, timing(rates))
    assert found.outcome == "supported"
    assert "lenet trains 2.00 times" in found.sentence
    assert "nin trains 2.00 times as many images a second as vgg" in found.sentence
    assert verdict(order, timing(rates | {"vgg": [3 * n for n in STEADY]})).outcome == "refuted"
    assert verdict(order, timing({name: rates[name] for name in ("lenet", "nin")})) is None
    with pytest.raises(ConvariumError, match="an order needs at least two labels"):
        verdict(dataclasses.replace(order, labels=["lenet"]))


def test_where_the_clock_and_the_processor_disagree_other_work_may_have_decided():
    clock = {"lenet": [2 * n for n in STEADY], "vgg": STEADY}
    stolen = {"lenet": 1.0, "vgg": 0.5}  # half of the clock's time of vgg went to other processes
    found = verdict(FASTER, timing(clock, busy=stolen))
    assert found.outcome == "undecided"
    assert "; but by processor time the ratio is 1.00 (1.00 to 1.00), so that other work on" in found.sentence
    two_threads = dataclasses.replace(ALONE, threads=2)  # processor time is then no measure of speed
    assert verdict(FASTER, timing(clock, busy=stolen, environment=two_threads)).outcome == "supported"


def test_machines_must_agree():
    twice = [2 * n for n in STEADY]
    faster, slower = {"lenet": twice, "vgg": STEADY}, {"lenet": STEADY, "vgg": twice}
    elsewhere = dataclasses.replace(ALONE, processor="Another CPU")
    assert verdict(FASTER, timing(faster), timing(faster, environment=elsewhere)).outcome == "supported"
    found = verdict(FASTER, timing(faster), timing(slower, environment=elsewhere))
    assert found.outcome == "undecided"
    assert found.sentence.startswith("undecided: the machines disagree: lenet trains 2.00 times")
    assert "Another CPU" in found.sentence


def test_seeds_never_judge_a_claim_of_speed():
    comparison = compare_runs(runs("lenet", [0.98] * 5) + runs("vgg", [0.97] * 5))
    found = judge(FASTER, comparison)
    assert (found.outcome, found.sentence) == ("undecided", "undecided: lenet and vgg have not been timed in turns yet")
    assert measured(found) == "–"
    assert is_about_speed(FASTER)
    assert not is_about_speed(Collapses("lenet", source="here"))
    assert not is_about_speed(dataclasses.replace(FASTER, metric="test_accuracy"))
    same = Equivalent("lenet", to="vgg", metric="images_per_second", source="here")
    for claim in (same, dataclasses.replace(FASTER, by=10.0)):
        with pytest.raises(ConvariumError, match="a claim of speed says which network is faster, and nothing else"):
            judge(claim, comparison)
