"""Claims: supported or refuted only where the evidence says so, undecided otherwise, and always in words."""

import dataclasses

import numpy as np
import pytest

from convarium.analysis.claims import (
    Better,
    Equivalent,
    Fails,
    Ordered,
    Overfits,
    Overtakes,
    Reproduces,
    ReproducesClasses,
    assumptions,
    describe,
    is_about_size,
    judge,
    judge_size,
    published,
)
from convarium.analysis.comparison import compare_runs, formatting, metric_of
from convarium.errors import ConvariumError, SpecError
from convarium.recipes.recipe import Recipe
from made_runs import epoch, run, runs

LENET, AVG, TANH = "lenet", "lenet(pool='avg')", "lenet(activation='tanh')"
GOOD = [0.980, 0.981, 0.982, 0.979, 0.980]
BAD = [0.970, 0.971, 0.972, 0.969, 0.970]
NOISY = [0.94, 0.99, 0.96, 0.985, 0.95]
BOTH = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD))


def outcome(claim, comparison=BOTH):
    verdict = judge(claim, comparison)
    assert verdict.claim is claim
    assert verdict.sentence.startswith(f"{verdict.outcome}: ")
    assert verdict.sentence.endswith("[recipe assumed]") == (claim.assumed is not None)
    assert not verdict.sentence.startswith("undecided: undecided")
    return verdict.outcome


# Reproduces. Mean 98.04 %, deviation 0.114 points: one more draw within ± 2.776 · 0.114 · √(1 + 1 / 5) = 0.347 points


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.9804, "supported"),
        (0.9830, "supported"),
        (0.9778, "supported"),
        (0.9836, "undecided"),  # inside the prediction interval, but more than 0.3 points off
        (0.9840, "refuted"),
        (0.9700, "refuted"),
    ],
)
def test_a_published_number_is_reproduced_inside_the_prediction_interval_and_the_margin(value, expected):
    assert outcome(Reproduces(LENET, value, source="a paper")) == expected


def test_outside_the_prediction_interval_but_within_the_margin_is_undecided():
    quiet = compare_runs(runs(LENET, [0.98, 0.9801, 0.9802, 0.98, 0.9801]))
    verdict = judge(Reproduces(LENET, 0.982, source="a paper"), quiet)
    assert verdict.outcome == "undecided"
    assert "lies outside, 0.19 points above the mean (within the margin of 0.3 points)" in verdict.sentence


@pytest.mark.parametrize(("value", "told"), [(0.9771, "0.299"), (0.977, "0.31"), (0.98009, "0"), (0.9, "8")])
def test_how_far_a_number_lies_off_has_two_digits_unless_it_would_be_rounded_to_the_margin(value, told):
    """The mean is 98.009 %, and the margin 0.3 points."""
    off = formatting.distance(metric_of("test_accuracy"), abs(0.98009 - value), margin=0.003)
    assert off == f"{told} points"


def test_a_loss_is_predicted_on_the_logarithm_and_near_the_mean():
    """Of log(loss) the mean is −2.04 and the deviation 1.11: exp(−2.04 ± 2.776 · 1.11 · √(1 + 1 / 5))"""
    losses = [0.05, 0.40, 0.04, 0.42, 0.11]  # mean 0.204, deviation 0.190: as they are it would begin at −0.37
    wide = compare_runs(runs(LENET, [1 - loss for loss in losses], dataset="mnist"))
    verdict = judge(Reproduces(LENET, 0.9, metric="test_loss", source="a report"), wide)
    assert "gave 0.20 nats in test loss, one more run would lie between 0.0044 and 3.9 (" in verdict.sentence
    assert "lies inside, 0.7 nats above the mean (beyond the margin of 0.18 nats)" in verdict.sentence
    assert verdict.outcome == "undecided"
    assert judge(Reproduces(LENET, 0.22, metric="test_loss", source="a report"), wide).outcome == "supported"
    assert judge(Reproduces(LENET, 4.0, metric="test_loss", source="a report"), wide).outcome == "refuted"


# Class by class, two classes: intervals at 97.5 %, so ± t(0.9875, 4) = 3.495 deviations · √(1 + 1 / 5), and a margin of
# 0.3 · √2 = 0.424 points. Of "zero" mean 98.04, deviation 0.114 (0.059 on the logit): 97.55 to 98.44; of "one" mean
# 97.04, the same deviation: 96.57 to 97.45.


def by_class(zero=GOOD, one=BAD):
    recipes = [Recipe(model=LENET, dataset="mnist", seed=seed) for seed in range(len(zero))]
    pairs = zip(recipes, zip(zero, one, strict=True), strict=True)
    return compare_runs([run(recipe, sum(recalls) / 2, per_class=recalls) for recipe, recalls in pairs])


@pytest.mark.parametrize(
    ("zero", "one", "expected"),
    [
        (0.9804, 0.9704, "supported"),
        (0.9843, 0.9664, "supported"),
        (0.9845, 0.9704, "undecided"),  # outside by 0.01 points, and 0.01 within the margin
        (0.9849, 0.9704, "refuted"),
        (0.9804, 0.9600, "refuted"),
    ],
)
def test_published_accuracies_of_classes_are_judged_together(zero, one, expected):
    claim = ReproducesClasses(LENET, {"zero": zero, "one": one}, source="a report")
    assert outcome(claim, by_class()) == expected


def test_the_verdict_on_classes_names_the_one_that_is_farthest_off_of_those_that_refute_it_if_any():
    claim = ReproducesClasses(LENET, {"zero": 0.9804, "one": 0.96}, source="a report")
    text = judge(claim, by_class()).sentence
    assert "of the published accuracies of 2 classes (a report), 1 lie where one more run of lenet would" in text
    assert "1 within the margin of 0.424 points a class; outside both is one, published 96 %, measured 97.0 %" in text
    assert describe(claim) == "lenet: test accuracy of each of 2 classes (a report)"
    claim = ReproducesClasses(LENET, {"zero": 0.96, "one": 0.9664}, source="a report")
    text = judge(claim, by_class()).sentence
    assert "outside both is zero" in text or "outside both are 2, farthest off zero" in text
    inside = ReproducesClasses(LENET, {"zero": 0.9845, "one": 0.9704}, source="a report")
    assert "a class; farthest off is zero, published 98.45 %" in judge(inside, by_class()).sentence


def test_classes_need_five_trained_runs_and_a_spread_and_names_that_exist():
    claim = ReproducesClasses(LENET, {"zero": 0.98, "one": 0.97}, source="a report")
    assert "takes 5 trained runs or more of lenet, not 4" in judge(claim, by_class(GOOD[:4], BAD[:4])).sentence
    assert outcome(claim, compare_runs(runs(LENET, [None] * 5))) == "undecided"
    assert outcome(claim, by_class([0.98] * 5)) == "undecided"
    with pytest.raises(SpecError, match="no run of lenet has a class 'two'"):
        judge(ReproducesClasses(LENET, {"two": 0.5}, source="a report"), by_class())


def test_classes_from_the_same_distribution_are_seldom_refuted():
    random = np.random.default_rng(7)
    refuted = 0
    for _ in range(200):
        drawn = 0.98 + 0.004 * random.standard_normal((6, 2))
        published = dict(zip(("zero", "one"), map(float, drawn[5]), strict=True))
        claim = ReproducesClasses(LENET, published, source="a draw")
        refuted += judge(claim, by_class(drawn[:5, 0].tolist(), drawn[:5, 1].tolist())).outcome == "refuted"
    assert refuted <= 19  # at 5 % of 200, more than 19 would be a case in a thousand


def test_a_wide_spread_does_not_reproduce_everything():
    verdict = judge(Reproduces(LENET, 0.93, source="a paper"), compare_runs(runs(LENET, NOISY)))
    assert verdict.outcome == "undecided"
    assert "lies inside" in verdict.sentence
    assert "beyond the margin of 0.3 points" in verdict.sentence


def test_the_verdict_on_a_number_states_all_that_it_rests_on():
    verdict = judge(Reproduces(LENET, 0.9812, source="d2l, chapter 7"), BOTH)
    assert verdict.sentence == (
        "supported: lenet gave 98.0 % in test accuracy, one more run would lie between 97.7 and 98.4 "
        "(95 % prediction interval, 5 seeds), and the published 98.12 % (d2l, chapter 7) lies inside, 0.08 points "
        "above the mean (within the margin of 0.3 points)"
    )
    assert verdict.measured.mean == pytest.approx(0.9804)
    assert verdict.n == 5


def test_fewer_than_five_trained_runs_reproduce_nothing():
    four = compare_runs(runs(LENET, [*GOOD[:4], None]))
    verdict = judge(Reproduces(LENET, 0.9804, source="a paper"), four)
    assert (verdict.outcome, verdict.n) == ("undecided", 4)
    assert verdict.sentence.startswith("undecided: lenet failed in 1 of 5 runs (1 diverged); of the trained ones,")
    assert verdict.sentence.endswith("judging the published 98.04 % (a paper) takes 5 trained runs or more")


def test_no_run_and_no_spread_reproduce_nothing():
    assert outcome(Reproduces(LENET, 0.98, source="a paper"), compare_runs(runs(LENET, [None] * 5))) == "undecided"
    same = judge(Reproduces(LENET, 0.98, source="a paper"), compare_runs(runs(LENET, [0.98] * 5)))
    assert same.outcome == "undecided"
    assert "without any spread" in same.sentence


def test_a_published_mean_of_several_runs_is_judged_by_a_narrower_interval():
    one, five = (Reproduces(LENET, 0.9829, source="a paper", runs=k) for k in (1, 5))
    # half widths 0.347 and 2.776 · 0.114 · √(2 / 5) = 0.200 points: 0.25 points off
    assert outcome(one) == "supported"
    assert outcome(five) == "undecided"
    assert "the mean of 5 more runs would lie between" in judge(five, BOTH).sentence


def test_like_is_compared_with_like():
    def watched(seed, best, last):
        history = [epoch(1, test=best, validation=0.9), epoch(2, test=last, validation=0.95)]
        recipe = Recipe(model=LENET, dataset="mnist", seed=seed, watch_test=True)
        return run(recipe, last, history=history, selected_epoch=2)

    made = compare_runs([watched(s, 0.99 + 0.0005 * s, 0.97 + 0.0005 * s) for s in range(5)])
    best = judge(Reproduces(LENET, 0.991, metric="best_epoch_test_accuracy", source="a blog"), made)
    assert best.outcome == "supported"
    assert best.sentence.endswith("[test watched, selected on test]")
    last = judge(Reproduces(LENET, 0.991, metric="last_epoch_test_accuracy", source="a blog"), made)
    assert last.outcome == "refuted"
    assert last.sentence.endswith("[test watched]")


def test_losses_have_a_margin_of_a_fifth_of_the_published_value_or_the_claims_own():
    # losses are 1 − accuracy here: 0.0196 on average
    assert outcome(Reproduces(LENET, 0.020, metric="test_loss", source="a report")) == "supported"
    assert outcome(Reproduces(LENET, 0.024, metric="test_loss", source="a report")) == "undecided"  # 0.0044 of 0.0048
    assert outcome(Reproduces(LENET, 0.025, metric="test_loss", source="a report")) == "refuted"
    assert outcome(Reproduces(LENET, 0.0228, metric="test_loss", source="a report", margin=0.001)) == "undecided"


def test_parameters_are_equal_or_not_and_times_are_never_reproduced():
    assert outcome(Reproduces(LENET, 1000, metric="parameters", source="a paper")) == "supported"
    assert outcome(Reproduces(LENET, 1001, metric="parameters", source="a paper")) == "refuted"
    verdict = judge(Reproduces(LENET, 1001.0, metric="images_per_second", source="a blog"), BOTH)
    assert verdict.outcome == "undecided"
    assert "timed elsewhere" in verdict.sentence


def test_per_cent_is_no_accuracy():
    with pytest.raises(ConvariumError, match=r"expected a fraction of 1, received 91.06; write 0.9106 for 91.06 %"):
        judge(Reproduces(LENET, 91.06, source="uva"), BOTH)


def test_a_number_from_the_same_distribution_is_called_reproduced_where_the_margin_allows_it():
    """Deviation 0.1 points: a draw lies more than 0.3 points from the mean of five in 0.6 % of cases."""
    rng, studies = np.random.default_rng(0), 400
    reproduced = 0
    for _ in range(studies):
        *accuracies, published = np.round(0.98 + 0.001 * rng.standard_normal(6), 4)
        found = compare_runs(runs(LENET, accuracies))
        reproduced += judge(Reproduces(LENET, float(published), source="a draw"), found).outcome == "supported"
    assert reproduced / studies >= 0.93


# Better, Ordered


def test_better_is_supported_refuted_or_undecided():
    assert outcome(Better(LENET, than=AVG, source="a paper")) == "supported"
    assert outcome(Better(AVG, than=LENET, source="a paper")) == "refuted"
    near = compare_runs(runs(LENET, GOOD) + runs(AVG, [x + 0.0001 for x in reversed(GOOD)]))
    assert outcome(Better(LENET, than=AVG, source="a paper"), near) == "undecided"
    assert outcome(Better(LENET, than=AVG, source="a paper"), compare_runs(runs(LENET, [0.98]) + runs(AVG, [0.9]))) == (
        "undecided"
    )


def test_better_by_more_than_an_amount_is_judged_by_that_amount():
    # 1.0 points, 95 % interval 0.83 to 1.17
    assert outcome(Better(LENET, than=AVG, by=0.008, source="uva")) == "supported"
    assert outcome(Better(LENET, than=AVG, by=0.010, source="uva")) == "undecided"
    assert outcome(Better(LENET, than=AVG, by=0.015, source="uva")) == "refuted"
    assert judge(Better(LENET, than=AVG, by=0.01, source="uva"), BOTH).sentence.endswith("more than 1 point is claimed")


def test_lower_losses_are_better():
    assert outcome(Better(LENET, than=AVG, metric="test_loss", source="a paper")) == "supported"
    assert outcome(Better(AVG, than=LENET, metric="test_loss", source="a paper")) == "refuted"
    by_a_fifth = Better(LENET, than=AVG, by=0.2, metric="test_loss", source="a paper")  # 0.020 and 0.030
    assert outcome(by_a_fifth) == "supported"
    assert judge(by_a_fifth, BOTH).sentence.endswith("more than 20 % is claimed")
    assert outcome(Better(LENET, than=AVG, by=1.0, metric="test_loss", source="a paper")) == "refuted"


def test_two_pairs_of_seeds_decide_nothing_however_many_runs_there_are():
    recipe = Recipe(model=LENET, dataset="mnist", learning_rate=0.2)
    others = [
        run(dataclasses.replace(recipe, seed=seed), accuracy)
        for seed, accuracy in zip(range(2, 6), [0.972, 0.9691, 0.97, 0.97], strict=True)
    ]
    rates = runs(LENET, GOOD[:4], learning_rate=0.1) + others
    claim = Better("learning_rate=0.1", than="learning_rate=0.2", source="a paper")
    found = compare_runs(rates, by="learning_rate")
    assert (found.row(0.2).difference.n_first, found.row(0.2).difference.side) == (2, -1)
    assert outcome(claim, found) == "undecided"


def test_sizes_and_orders_of_arrival_need_no_interval():
    small = [run(Recipe(model=m, dataset="mnist"), parameters=p) for m, p in ((LENET, 10), (AVG, 20))]
    assert outcome(Better(LENET, than=AVG, metric="parameters", source="a paper"), compare_runs(small)) == "supported"

    def reaching(model, epochs):
        return [
            run(Recipe(model=model, dataset="mnist", seed=i, watch_test=True),
                history=[epoch(k, test=0.99 if e and k >= e else 0.9) for k in range(1, 11)])
            for i, e in enumerate(epochs)
        ]  # fmt: skip

    made = compare_runs(reaching(LENET, (2, 3, 2, 3, 4)) + reaching(AVG, (7, None, 8, None, 9)))
    fast = "epochs_to(test_accuracy=0.98)"
    assert outcome(Better(LENET, than=AVG, metric=fast, source="mnist-report"), made) == "supported"
    assert outcome(Better(AVG, than=LENET, metric=fast, source="mnist-report"), made) == "refuted"
    assert outcome(Better(LENET, than=AVG, metric=fast, source="mnist-report", by=3), made) == "undecided"


def test_a_network_that_fails_more_often_cannot_be_better_on_its_surviving_runs():
    luck = compare_runs(runs(LENET, [0.98, 0.981, 0.982, None, 0.5]) + runs(AVG, BAD))
    verdict = judge(Better(LENET, than=AVG, source="a paper"), luck)
    assert verdict.outcome == "undecided"
    assert "lenet failed in 2 of 5 runs" in verdict.sentence
    assert verdict.sentence.count("fails more often") == 1
    assert outcome(Better(AVG, than=LENET, source="a paper"), luck) == "undecided"


def test_a_network_that_fails_more_often_is_not_on_a_par():
    for first, second in ((LENET, AVG), (AVG, LENET)):
        found = compare_runs(runs(LENET, GOOD) + runs(AVG, [None, *GOOD]))
        verdict = judge(Equivalent(first, to=second, source="a paper"), found)
        assert verdict.outcome == "undecided"
        assert f"because {AVG} fails more often" in verdict.sentence
    as_often = compare_runs(runs(LENET, [None, *GOOD]) + runs(AVG, [None, *GOOD]))
    assert outcome(Equivalent(LENET, to=AVG, source="a paper"), as_often) == "supported"


def test_two_trained_runs_support_and_refute_nothing():
    two = compare_runs(runs(LENET, [0.98, 0.981]) + runs(AVG, [0.90, 0.901]))
    assert two.row(AVG).difference.high < 0
    for claim in (Better(LENET, than=AVG, source="a paper"), Better(AVG, than=LENET, source="a paper")):
        assert outcome(claim, two) == "undecided"
    close = compare_runs(runs(LENET, [0.98, 0.98002]) + runs(AVG, [0.98001, 0.98003]))
    assert outcome(Equivalent(LENET, to=AVG, source="a paper"), close) == "undecided"
    assert outcome(Equivalent(LENET, to=AVG, source="a paper", margin=1e-6), two) == "undecided"


def test_an_order_stands_or_falls_with_each_pair():
    made = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD) + runs(TANH, [x - 0.01 for x in BAD]))
    assert outcome(Ordered([LENET, AVG, TANH], source="a report"), made) == "supported"
    assert outcome(Ordered([LENET, TANH, AVG], source="a report"), made) == "refuted"
    close = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD) + runs(TANH, [x + 0.0001 for x in reversed(BAD)]))
    verdict = judge(Ordered([LENET, AVG, TANH], source="a report"), close)
    assert verdict.outcome == "undecided"
    assert verdict.sentence.count("seeds each") == 2
    with pytest.raises(ConvariumError, match="at least two labels"):
        judge(Ordered([LENET], source="a report"), made)


def test_a_claim_is_judged_by_no_less_than_the_tables_family():
    # 0.18 points ± t · 0.114 · √(2 / 5): 0.166 for one comparison, 0.197 for a family of two
    higher = [x + 0.0018 for x in GOOD]
    alone = compare_runs(runs(LENET, GOOD) + runs(AVG, higher))
    among = compare_runs(runs(LENET, GOOD) + runs(AVG, higher) + runs(TANH, BAD))
    assert outcome(Better(AVG, than=LENET, source="a paper"), alone) == "supported"
    assert outcome(Better(AVG, than=LENET, source="a paper"), among) == "undecided"


# Equivalent


def test_equivalence_is_shown_contradicted_or_left_open():
    close = [x + 0.0001 for x in reversed(GOOD)]
    assert outcome(Equivalent(LENET, to=AVG, source="a blog"), compare_runs(runs(LENET, GOOD) + runs(AVG, close))) == (
        "supported"
    )
    assert outcome(Equivalent(LENET, to=AVG, source="a blog")) == "refuted"
    assert outcome(Equivalent(LENET, to=AVG, source="a blog", margin=0.02)) == "supported"
    noisy = compare_runs(runs(LENET, NOISY) + runs(AVG, NOISY[::-1]))
    assert outcome(Equivalent(LENET, to=AVG, source="a blog"), noisy) == "undecided"


def test_no_difference_found_is_not_equivalence():
    noisy = compare_runs(runs(LENET, NOISY) + runs(AVG, [x + 0.001 for x in NOISY[::-1]]))
    verdict = judge(Equivalent(LENET, to=AVG, source="a blog"), noisy)
    assert verdict.outcome == "undecided"
    assert "the margin is 0.3 points" in verdict.sentence


def test_a_real_difference_within_the_margin_is_still_equivalence():
    made = compare_runs(runs(LENET, [0.98, 0.9801, 0.9802, 0.98]) + runs(AVG, [0.981, 0.9811, 0.9812, 0.981]))
    assert outcome(Equivalent(LENET, to=AVG, source="a blog"), made) == "supported"
    assert outcome(Better(AVG, than=LENET, source="a blog"), made) == "supported"


def test_equivalence_in_epochs_needs_a_margin_and_in_losses_is_within_20_percent():
    with pytest.raises(ConvariumError, match=r"no margin of its own.*Equivalent\(…, margin=…\)"):
        judge(Equivalent(LENET, to=AVG, metric="epochs_to(test_accuracy=0.9)", source="a blog"), BOTH)
    assert outcome(Equivalent(LENET, to=AVG, metric="test_loss", source="a blog")) == "refuted"  # 0.02 and 0.03
    assert outcome(Equivalent(LENET, to=AVG, metric="test_loss", source="a blog", margin=1.0)) == "supported"


# Fails


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([None, None, 0.5, 0.5, None], "supported"),  # ½⁵ = 3.1 %
        ([None, None, 0.5, 0.5], "undecided"),  # ½⁴ = 6.3 %
        (GOOD, "refuted"),
        ([*GOOD[:4], None], "undecided"),  # 6 · ½⁵ = 19 %
    ],
)
def test_a_habit_of_failing_takes_five_of_five(accuracies, expected):
    assert outcome(Fails(LENET, source="a blog"), compare_runs(runs(LENET, accuracies))) == expected


def test_an_error_is_no_failure_to_train():
    broken = [run(Recipe(model=LENET, dataset="mnist", seed=s), status="failed") for s in range(5)]
    verdict = judge(Fails(LENET, source="a blog"), compare_runs(broken))
    assert (verdict.outcome, verdict.n) == ("undecided", 0)


# An assumed recipe


def test_under_an_assumed_recipe_nothing_is_refuted_and_every_sentence_is_marked():
    assumed = "Adam, which the blog does not state"
    better, worse = (
        judge(Better(one, than=other, source="a blog", assumed=assumed), BOTH)
        for one, other in ((LENET, AVG), (AVG, LENET))
    )
    assert (better.outcome, worse.outcome) == ("supported", "not seen under the assumed recipe")
    assert worse.sentence.startswith("not seen under the assumed recipe: lenet(pool='avg') is worse than lenet by 1.0")
    assert all(verdict.sentence.endswith(" [recipe assumed]") for verdict in (better, worse))
    for claim in (
        Reproduces(LENET, 0.97, source="a blog", assumed=assumed),
        Ordered([AVG, LENET], source="a blog", assumed=assumed),
        Equivalent(LENET, to=AVG, source="a blog", assumed=assumed),
        Fails(LENET, source="a blog", assumed=assumed),
    ):
        assert outcome(claim) == "not seen under the assumed recipe"
        assert describe(claim).endswith(" [recipe assumed] (a blog)")


def test_what_is_assumed_is_said_once_for_each_source():
    claims = [
        Better(LENET, than=AVG, source="a, section 1", assumed="Adam"),
        Fails(LENET, source="a, section 2", assumed="Adam"),
        Fails(LENET, source="b", assumed="10 epochs"),
        Fails(AVG, source="c"),
    ]
    assert assumptions(claims) == ("[recipe assumed] a: Adam", "[recipe assumed] b: 10 epochs")


# Two halves, overfitting, swings, sizes


def curves(model, *, start, end, gap=0.05, n=4):
    """Runs of two epochs: training accuracies `start` and `end` + gap, validation accuracies `start` and `end`."""
    return [
        run(
            Recipe(model=model, dataset="mnist", seed=seed, epochs=2),
            end,
            history=[
                epoch(1, train=start + 0.001 * seed, validation=start),
                epoch(2, train=end + gap + 0.001 * seed, validation=end + 0.0005 * seed**2),
            ],
        )
        for seed in range(n)
    ]


def test_a_network_overtakes_another_if_it_starts_worse_and_ends_better():
    made = compare_runs(curves(LENET, start=0.3, end=0.9) + curves(AVG, start=0.6, end=0.8))
    parts = {"start": "mean_until(train_loss=1)", "end": "best_epoch_validation_accuracy", "source": "uva"}
    verdict = judge(Overtakes(LENET, than=AVG, **parts), made)
    assert verdict.outcome == "supported"
    assert "in mean running training loss of epochs 1 to 1 lenet(pool='avg') is better than lenet" in verdict.sentence
    assert "; in highest validation accuracy of any epoch lenet is better than lenet(pool='avg')" in verdict.sentence
    assert judge(Overtakes(AVG, than=LENET, **parts), made).outcome == "refuted"
    always = compare_runs(curves(LENET, start=0.7, end=0.9) + curves(AVG, start=0.6, end=0.8))
    assert judge(Overtakes(LENET, than=AVG, **parts), always).outcome == "refuted"
    assert describe(Overtakes(LENET, than=AVG, **parts)) == (
        "lenet starts worse than lenet(pool='avg') in mean running training loss of epochs 1 to 1 and ends better in "
        "highest validation accuracy of any epoch (uva)"
    )


def test_a_network_overfits_if_its_training_accuracy_ends_above_its_validation_accuracy():
    claim = Overfits(LENET, source="uva")
    verdict = judge(claim, compare_runs(curves(LENET, start=0.3, end=0.9)))
    assert (verdict.outcome, verdict.n) == ("supported", 4)
    assert verdict.measured.mean == pytest.approx(0.05 + 0.0015 - 0.00175)
    assert "training minus validation accuracy after the last epoch of 5.0 points" in verdict.sentence
    assert outcome(claim, compare_runs(curves(LENET, start=0.3, end=0.9, gap=-0.03))) == "refuted"
    assert outcome(Overfits(LENET, by=0.08, source="uva"), compare_runs(curves(LENET, start=0.3, end=0.9))) == "refuted"
    assert outcome(claim, compare_runs(curves(LENET, start=0.3, end=0.9, n=2))) == "undecided"
    assert "no run that scored other images" in judge(claim, BOTH).sentence
    assert describe(claim) == "lenet overfits: its training accuracy ends above its validation accuracy (uva)"


def test_a_curve_that_falls_far_is_less_steady():
    def swinging(model, drop):
        return [
            run(Recipe(model=model, dataset="mnist", seed=s, watch_test=True), 0.9 + 0.001 * s,
                history=[epoch(1, test=0.9), epoch(2, test=0.9 - drop + 0.001 * s), epoch(3, test=0.9 + 0.001 * s)])
            for s in range(4)
        ]  # fmt: skip

    made = compare_runs(swinging(LENET, 0.01) + swinging(AVG, 0.1))
    claim = Better(LENET, than=AVG, metric="largest_test_accuracy_drop", source="mnist-report")
    verdict = judge(claim, made)
    assert verdict.outcome == "supported"
    assert "lenet is steadier than lenet(pool='avg') by 9.0 points" in verdict.sentence


def test_sizes_are_judged_without_runs():
    sizes = {LENET: 10, AVG: 20}
    verdict = judge_size(Better(LENET, than=AVG, metric="parameters", source="a paper"), sizes)
    assert (verdict.outcome, verdict.n, verdict.measured.mean) == ("supported", None, 10)
    assert verdict.sentence == (
        "supported: lenet has 10 parameters and lenet(pool='avg') has 20 parameters, counted without a run"
    )
    for claim, expected in (
        (Better(AVG, than=LENET, metric="parameters", source="a paper"), "refuted"),
        (Better(LENET, than=AVG, by=10, metric="parameters", source="a paper"), "refuted"),
        (Reproduces(LENET, 10, metric="parameters", source="a paper"), "supported"),
        (Reproduces(LENET, 11, metric="parameters", source="a paper"), "refuted"),
        (Ordered([LENET, AVG], metric="parameters", source="a paper"), "supported"),
    ):
        assert judge_size(claim, sizes).outcome == expected
    assert not is_about_size(Better(LENET, than=AVG, source="a paper"))
    cheaper = judge_size(Better(LENET, than=AVG, metric="flops", source="a paper"), sizes)
    assert cheaper.sentence.startswith("supported: lenet has 10 FLOPs and lenet(pool='avg') has 20 FLOPs")


def test_classes_of_the_training_split_and_the_mean_of_two_printed_runs():
    made = [
        run(Recipe(model=LENET, dataset="mnist", seed=seed), 0.97, train=train)
        for seed, train in enumerate([0.990, 0.991, 0.992, 0.989, 0.990])
    ]
    claim = ReproducesClasses(LENET, {"zero": 0.9905, "one": 0.9900}, split="train", runs=2, source="a report")
    verdict = judge(claim, compare_runs(made))
    assert verdict.outcome == "supported"
    assert "of the published training accuracies of 2 classes (a report), 2 lie where the mean of 2 more runs" in (
        verdict.sentence
    )
    assert describe(claim) == "lenet: training accuracy of each of 2 classes, the mean of 2 runs (a report)"
    mean = Reproduces(LENET, 0.0132, metric="test_loss", source="a report", runs=2, printed=(0.0177, 0.0087))
    assert published(mean) == "0.0132 nats, the mean of 0.0177 and 0.0087"


# Words


def test_claims_are_sentences_with_their_sources():
    text = [
        describe(Reproduces(LENET, 0.779, source="d2l", metric="last_epoch_test_accuracy")),
        describe(Better(LENET, than=AVG, by=0.01, metric="validation_accuracy", source="uva")),
        describe(Equivalent(LENET, to=AVG, source="memory-blog")),
        describe(Ordered([LENET, AVG], metric="epochs_to(test_accuracy=0.98)", source="mnist-report")),
        describe(Fails(LENET, source="residual-blog")),
    ]
    assert text == [
        "lenet: test accuracy after the last epoch 77.9 % (d2l)",
        "lenet is better than lenet(pool='avg') by more than 1 point in validation accuracy (uva)",
        "lenet is on a par with lenet(pool='avg') in test accuracy (memory-blog)",
        "epochs to test accuracy 98 %, from best to worst: lenet, lenet(pool='avg') (mnist-report)",
        "lenet fails to train (residual-blog)",
    ]


def test_a_claim_names_rows_that_exist():
    with pytest.raises(SpecError, match="unknown row of the comparison 'vgg'"):
        judge(Fails("vgg", source="a paper"), BOTH)
    with pytest.raises(SpecError, match="unknown metric 'speed'"):
        judge(Better(LENET, than=AVG, metric="speed", source="a paper"), BOTH)
