"""What a plan says that the seeds of a study can never show, and how large the difference is that they can."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from convarium.analysis.claims import Better, Collapses, Equivalent, Fails, Ordered, Reproduces
from convarium.analysis.comparison import compare_runs
from convarium.recipes.recipe import Recipe
from convarium.studies.limits import limits_of
from convarium.studies.plan_sentence import Plan, describe_plan
from convarium.studies.spreads import Spreads, stored_spreads
from convarium.studies.study import Study, grid
from made_runs import epoch, run, runs

LEVEL = "epochs_to(test_accuracy=0.98)"
NETWORKS = ("lenet", "vgg", "nin", "alexnet")


def study(*, seeds, networks=2, claims=(), **fields):
    recipes = grid(Recipe(dataset="mnist"), model=NETWORKS[:networks], seed=range(seeds))
    named = {str(number): claim for number, claim in enumerate(claims)}
    return Study(name="few", question="Which?", recipes=recipes, claims=named, **fields)


def told(asked):
    return limits_of(asked, counts_of(asked), wanted=asked.values)


def counts_of(asked):
    return Counter(recipe.model for recipe in asked.recipes)


@pytest.mark.parametrize(
    ("seeds", "networks", "sentence"),
    [
        (
            3,
            2,
            "Three seeds can never show a difference in epochs to test accuracy 98 %; four would (rank test at 5 %).",
        ),
        (
            4,
            3,
            "Four seeds can never show a difference in epochs to test accuracy 98 %; five would (rank test at 2.5 %).",
        ),
        (4, 2, None),
        (5, 3, None),
    ],
)
def test_ranks_of_too_few_seeds_never_show_a_difference_and_the_plan_says_how_many_would(seeds, networks, sentence):
    asked = study(seeds=seeds, networks=networks, metric=LEVEL)
    assert told(asked) == ((sentence,) if sentence else ())
    claimed = study(seeds=seeds, networks=networks, claims=[Better("lenet", than="vgg", metric=LEVEL, source="s")])
    assert told(claimed) == ((sentence,) if sentence else ())


@pytest.mark.parametrize("seeds", [3, 4])
def test_where_the_plan_says_never_no_order_of_the_runs_is_a_difference(seeds):
    def made(model, reached):
        history = [epoch(n, test=0.99 if reached else 0.5) for n in range(1, 10)]
        return [run(Recipe(model=model, dataset="mnist", epochs=9, seed=s), history=history) for s in range(seeds)]

    farthest = compare_runs([*made("lenet", True), *made("vgg", False)], metric=LEVEL).row("vgg").decision
    assert (farthest == "undecided") == bool(told(study(seeds=seeds, metric=LEVEL)))


def test_fewer_than_three_seeds_decide_nothing_about_means_and_one_is_enough_for_a_size():
    assert told(study(seeds=1)) == ("One seed decides nothing; three would be the least.",)
    assert told(study(seeds=2)) == ("Two seeds decide nothing; three would be the least.",)
    assert told(study(seeds=3)) == ()
    assert told(study(seeds=1, metric="parameters")) == ()
    assert told(study(seeds=1, networks=1)) == ()
    claims = [Equivalent("lenet", to="vgg", source="s"), Ordered(["lenet", "vgg"], source="s")]
    assert told(study(seeds=2, claims=claims)) == told(study(seeds=2))


def test_failing_takes_five_runs_and_failing_more_often_what_the_family_asks_for():
    few, half = "One network fails more often than another", "most runs of a network fail; five would (binomial test)."
    four = told(study(seeds=4, networks=3, claims=[Fails("lenet", source="s"), Collapses("vgg", source="s")]))
    assert four == (
        f"Four runs can never show that {half}",
        f"Four runs can never show that {few[0].lower()}{few[1:]}; five would (Fisher's exact test at 2.5 %).",
    )
    assert told(study(seeds=5, networks=3, claims=[Fails("lenet", source="s")])) == ()
    assert told(study(seeds=4, networks=1, claims=[Fails("lenet", source="s")])) == (four[0],)


def test_a_published_number_takes_five_runs_and_claims_about_other_networks_are_left_out():
    number = Reproduces("lenet", 0.9, source="s")
    said = "Three runs can never reproduce a published number; five would be the least."
    asked = study(seeds=3, claims=[number])
    assert told(asked) == (said,)
    assert limits_of(asked, counts_of(asked), wanted=["vgg"]) == ()
    assert told(study(seeds=3, claims=[dataclasses.replace(number, metric="parameters", value=9)])) == ()


class Shelf:
    """A store of which only the runs on a data set are asked for."""

    def __init__(self, kept):
        self.kept = kept

    def runs_on(self, dataset, *, most):
        return self.kept


def test_the_spread_is_that_of_the_studys_own_runs_else_of_networks_with_its_settings_else_of_the_same_data():
    narrow, wide = [0.980, 0.981, 0.982], [0.90, 0.94, 0.98]
    asked, own = study(seeds=5), runs("lenet", narrow)
    alike, longer = runs("nin", wide), runs("nin", [0.97, 0.98, 0.99], epochs=99)
    found = stored_spreads(asked, own, Shelf([*own, *alike]))
    assert (found.networks, found.own) == (1, True)
    assert found.low == found.high == pytest.approx(0.001)
    other = stored_spreads(asked, [], Shelf([*alike, *longer]))
    assert (other.networks, other.own, other.high) == (1, False, pytest.approx(0.04))
    assert stored_spreads(asked, [], Shelf(longer)).high == pytest.approx(0.01)
    assert stored_spreads(asked, [], Shelf([*runs("nin", [0.9, 0.91]), *runs("vgg", [None, 0.5, 0.9])])) is None
    assert stored_spreads(study(seeds=5, metric="test_loss"), own, Shelf(own)) is None


def test_the_smallest_difference_is_told_in_points_where_the_store_knows_the_spread():
    plan = Plan(10, 10, 5, 2.0, None, spreads=Spreads(0.001, 0.0025, 3, own=False))
    text = "10 runs. With 5 seeds, only differences above 2.0 times the seed-to-seed spread will show"
    assert describe_plan(plan) == f"{text}: 0.2 to 0.5 points with the spread of 3 stored networks on the same data."
    own = dataclasses.replace(plan, spreads=Spreads(0.001, 0.001, 1, own=True), limits=("No.",))
    assert describe_plan(own) == f"{text}: 0.2 points with the spread of this study's stored runs. No."
    assert repr(own) == f"Plan: {describe_plan(own)}"
    assert np.isclose(own.smallest, 2)
