"""Comparisons of runs that are made from numbers: tables, verdicts, notes, frames and JSON."""

import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

from convarium.analysis.comparison import (
    METRICS,
    as_json,
    best_epoch,
    class_accuracy,
    class_differences,
    compare_runs,
    first_to_reach,
    metric_of,
)
from convarium.analysis.comparison.curve_metrics import generalization_gap
from convarium.analysis.comparison.formatting import escape_markdown
from convarium.analysis.statistics import LOSS_MARGIN
from convarium.errors import ConvariumError, SpecError
from convarium.pages import as_markdown
from convarium.pages.difference_plot import PLOT_WIDTH, difference_plot
from convarium.recipes.recipe import Recipe
from made_runs import HERE, answering, epoch, run, runs, with_predictions

LENET, AVG, TANH, ELU = "lenet", "lenet(pool='avg')", "lenet(activation='tanh')", "lenet(activation='elu')"
GOOD = [0.980, 0.981, 0.982, 0.979, 0.980]
BAD = [0.970, 0.971, 0.972, 0.969, 0.970]


def verdict(comparison, label):
    return comparison.row(label).verdict


# Verdicts


def test_a_clear_difference_is_stated_with_its_interval_and_its_seeds():
    found = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD))
    # both deviations are 0.00114: 1.00 points ± 2.306 · 0.114 · √(2 / 5) = 0.166
    assert verdict(found, AVG) == (
        "lenet(pool='avg') is worse than lenet by 1.0 points (95 % interval 0.8 to 1.2, 5 seeds each)"
    )
    assert found.row(AVG).decision == "worse"
    assert (found.baseline, found.family, found.margin) == (LENET, 1, 0.003)
    assert verdict(found, LENET) == "lenet: test accuracy 98.0 % (95 % interval 97.9 to 98.2, 5 seeds)"


def test_the_baseline_can_be_any_row_in_any_spelling():
    found = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD), baseline="lenet( pool = 'avg', activation='relu' )")
    assert found.baseline == AVG
    assert verdict(found, "lenet(pool='max')").startswith("lenet is better than lenet(pool='avg') by 1.0 points")


def test_an_undecided_verdict_says_where_the_difference_lies_and_how_many_seeds_would_show_the_margin():
    found = compare_runs(runs(LENET, [0.95, 0.96, 0.97]) + runs(AVG, [0.95, 0.962, 0.97]))
    assert re.fullmatch(
        r"lenet\(pool='avg'\) against lenet is undecided: the difference lies between −2\.\d and 2\.\d points "
        r"\(95 % interval, 3 seeds each\); to detect 0\.3 points you would need \d+ to [\d,]+ seeds each",
        verdict(found, AVG),
    )


def test_an_undecided_verdict_also_says_how_many_seeds_a_difference_as_seen_would_need():
    found = compare_runs(runs(LENET, [0.95, 0.96, 0.97]) + runs(AVG, [0.93, 0.942, 0.955]))
    margin, seen = re.search(
        r"to detect 0\.3 points you would need (\d+) to [\d,]+ seeds each, and (\d+) to \d+ seeds for the 1\.77 points "
        r"seen here$",
        verdict(found, AVG),
    ).groups()
    assert 3 < int(seen) < int(margin)


def test_fewer_than_three_seeds_decide_nothing():
    """Two seeds each, far apart, with an interval that excludes 0; paired, and a size is decided nevertheless."""
    two = compare_runs(runs(LENET, [0.98, 0.981]) + runs(AVG, [0.90, 0.901]))
    assert two.row(AVG).difference.high < 0
    assert two.row(AVG).decision == "undecided"
    assert "is undecided, because fewer than 3 seeds decide nothing: the difference lies between" in verdict(two, AVG)
    close = compare_runs(runs(LENET, [0.98, 0.98002]) + runs(AVG, [0.98001, 0.98003]))
    assert close.row(AVG).decision == "undecided"
    wide = compare_runs(runs(LENET, [0.6, 0.95]) + runs(AVG, [0.6, 0.99]))
    told = "is undecided, because fewer than 3 seeds decide nothing (79.5 % against 77.5 %, 2 seeds each)"
    assert told in verdict(wide, AVG)
    three = compare_runs(runs(LENET, [0.98, 0.981, 0.982]) + runs(AVG, [0.90, 0.901, 0.902]))
    assert three.row(AVG).decision == "worse"
    assert compare_runs(runs(LENET, [0.98]) + runs(AVG, [0.9]), metric="parameters").row(AVG).decision == "equivalent"


def test_a_network_that_fails_more_often_is_neither_better_nor_equivalent_in_either_direction():
    failing = [None, *(accuracy + 0.01 for accuracy in GOOD)]
    ahead = compare_runs(runs(LENET, GOOD) + runs(AVG, failing))
    assert ahead.row(AVG).difference.low > 0
    assert ahead.row(AVG).decision == "undecided"
    told = f"of the trained ones, {AVG} against lenet is undecided, because {AVG} fails more often"
    assert told in verdict(ahead, AVG)
    turned = compare_runs(runs(AVG, failing) + runs(LENET, GOOD))
    assert turned.row(LENET).decision == "undecided"
    assert compare_runs(runs(LENET, GOOD) + runs(AVG, [None, *GOOD])).row(AVG).decision == "undecided"
    as_often = compare_runs(runs(LENET, [None, *GOOD]) + runs(AVG, failing))
    assert as_often.row(AVG).decision == "better"
    behind = compare_runs(runs(LENET, GOOD) + runs(AVG, [None, *BAD]))
    assert behind.row(AVG).decision == "worse"


@pytest.mark.parametrize(
    ("accuracies", "decision"),
    [
        ([None, None, 0.97], "failed"),
        ([None, 0.5, 0.97], "failed"),
        ([None, 0.971, 0.97, 0.972], "worse"),
        ([None, None, 0.971, 0.97], "undecided"),
        ([None] * 3, "failed"),
    ],
)
def test_a_row_has_failed_where_most_of_its_runs_did(accuracies, decision):
    assert compare_runs(runs(LENET, GOOD) + runs(AVG, accuracies)).row(AVG).decision == decision
    if decision == "failed":
        baseline = compare_runs(runs(AVG, accuracies) + runs(LENET, GOOD))
        shown = accuracies == [None] * 3  # 3 of 3 runs against 0 of 5: p = 1 / 56
        assert [row.decision for row in baseline.rows] == ["failed", "fails less often" if shown else "undecided"]
        assert [row.label for row in baseline.ranked] == [LENET, AVG]
        size = compare_runs(runs(LENET, GOOD) + runs(AVG, accuracies), metric="parameters")
        assert size.row(AVG).decision == "equivalent"


def test_every_verdict_begins_with_its_row():
    accuracies = {AVG: BAD, TANH: [None, None, 0.9], ELU: [0.98], "vgg": [0.9, 0.99, 0.94], "nin": [None], "plain": [1]}
    for metric in ("test_accuracy", "test_loss", "parameters", "train_seconds", "epochs_to(validation_accuracy=0.9)"):
        made = sum((runs(model, values) for model, values in accuracies.items()), runs(LENET, GOOD))
        for row in compare_runs(made, metric=metric).rows:
            assert row.verdict.startswith(row.label), row.verdict


def test_ranked_rows_are_the_best_first_and_the_failed_last():
    made = runs(AVG, BAD) + runs(TANH, [None, None, 0.99]) + runs(LENET, GOOD) + runs(ELU, [0.9])
    by_accuracy = compare_runs(made)
    assert [row.label for row in by_accuracy.ranked] == [LENET, AVG, ELU, TANH]
    assert [row.label for row in by_accuracy.rows] == [AVG, TANH, LENET, ELU]
    assert [row.label for row in compare_runs(made, metric="test_loss").ranked] == [LENET, AVG, ELU, TANH]


def test_where_the_seeds_resolve_the_margin_half_of_it_is_named():
    """Deviation 0.13 points: 5 seeds each resolve 0.3 points, but not the 0.17 that lie between these two."""
    spread = [0.0016 * step for step in (-1, -0.5, 0, 0.5, 1)]
    found = compare_runs(runs(LENET, [0.98 + x for x in spread]) + runs(AVG, [0.9817 + x for x in spread]))
    assert found.row(AVG).decision == "undecided"
    assert re.search(r"to detect 0\.15 points you would need \d+ to \d+ seeds each", verdict(found, AVG))


def test_equivalence_is_stated_with_the_interval_that_shows_it():
    found = compare_runs(runs(LENET, GOOD) + runs(AVG, [x + 0.0001 for x in reversed(GOOD)]))
    assert found.row(AVG).decision == "equivalent"
    # 0.01 points ± t(0.95, 8) = 1.860 · 0.114 · √(2 / 5) = 0.134
    assert verdict(found, AVG) == (
        "lenet(pool='avg') is equivalent to lenet within 0.3 points (90 % interval −0.12 to 0.14, 5 seeds each)"
    )


def test_a_difference_can_be_real_and_too_small_to_matter():
    close = [x + 0.0010 for x in GOOD]
    found = compare_runs(
        runs(LENET, GOOD, learning_rate=0.1) + runs(LENET, [close[0] + 0.0001, *close[1:]], learning_rate=0.2),
        by="learning_rate",
    )
    assert "is better than learning_rate=0.1 by 0.102 points (95 % interval 0.096 to 0.108" in verdict(found, 0.2)
    assert verdict(found, 0.2).endswith("but equivalent within 0.3 points, 5 % fewer errors (2.0 → 1.9 %)")
    assert found.row(0.2).decision == "equivalent"


def test_failures_come_first():
    found = compare_runs(runs(LENET, GOOD) + runs(AVG, [0.97, 0.971, 0.972, 0.5, None]))
    row = found.row(AVG)
    assert (len(row.runs), row.n, row.failed, row.diverged, row.at_chance) == (5, 3, 2, 1, 1)
    assert row.measured.mean == pytest.approx(0.971)
    assert row.verdict.startswith(
        "lenet(pool='avg') failed in 2 of 5 runs (1 diverged, 1 at chance), lenet in 0 of 5, which shows no difference "
        "(Fisher's exact test p = 0.444); of the trained ones, lenet(pool='avg') is worse than lenet by"
    )
    assert any("a run counts as failed if it diverges, ends at chance or stops" in note for note in found.notes)


def test_a_network_that_never_trains_has_a_sentence_that_says_so():
    found = compare_runs(runs(LENET, GOOD) + runs(AVG, [0.5, 0.5, None]))
    assert verdict(found, AVG) == (
        "lenet(pool='avg') failed in 3 of 3 runs (1 diverged, 2 at chance), lenet in 0 of 5: it fails more often "
        "(Fisher's exact test p = 0.018); their test accuracy is not compared, because lenet(pool='avg') has no "
        "trained run"
    )
    assert found.row(AVG).test is None
    assert compare_runs(runs(AVG, [None, None])).rows[0].verdict == (
        "lenet(pool='avg') failed in 2 of 2 runs (2 diverged); lenet(pool='avg') has no trained run"
    )


HALF = [None] * 5 + GOOD
"""Five of ten runs fail; Fisher's exact test against none of ten gives p = 2 · 252 / 15,504."""


def test_failing_more_often_is_tested_in_both_directions_and_decides_where_the_metric_does_not():
    higher = [accuracy and accuracy + 0.01 for accuracy in HALF]
    for accuracies in (HALF, higher):
        found = compare_runs(runs(LENET, GOOD * 2) + runs(AVG, accuracies))
        assert found.row(AVG).decision == "fails more often"
        assert verdict(found, AVG).startswith(
            "lenet(pool='avg') failed in 5 of 10 runs (5 diverged), lenet in 0 of 10: it fails more often "
            "(Fisher's exact test p = 0.033); of the trained ones, "
        )
        turned = compare_runs(runs(AVG, accuracies) + runs(LENET, GOOD * 2))
        assert turned.row(LENET).decision == "fails less often"
        assert verdict(turned, LENET).startswith(
            "lenet failed in 0 of 10 runs, lenet(pool='avg') in 5 of 10: it fails less often (Fisher's exact test "
            "p = 0.033); of the trained ones, "
        )
        for each in (found, turned):
            assert [row.label for row in each.ranked] == [LENET, AVG]
            assert each.answer.startswith("lenet leads with 98.0 %; lenet fails less often than lenet(pool='avg') (9")
            assert r"\textbf" not in each.latex()
            assert set(each.frame()["verdict"]) >= {each.row(AVG).decision, each.row(LENET).decision}


def test_failing_more_often_shares_the_level_of_the_comparisons_family():
    rows = [*runs(LENET, GOOD * 2), *runs(AVG, HALF), *runs(TANH, BAD * 2)]
    found = compare_runs(rows)
    assert found.family == 2
    assert found.row(AVG).decision != "fails more often"
    assert "which shows no difference (Fisher's exact test p = 0.033, above 5 % / 2)" in verdict(found, AVG)


def test_how_the_runs_of_a_baseline_failed_stands_in_its_own_row_alone():
    found = compare_runs(runs(LENET, [None, 0.5, None]) + runs(AVG, GOOD) + runs(TANH, [None, *GOOD]))
    assert [row.verdict.count("(2 diverged, 1 at chance)") for row in found.rows] == [1, 0, 0]
    assert verdict(found, AVG).startswith(f"{AVG} failed in 0 of 5 runs, lenet in 3 of 3: it fails less often")
    assert verdict(found, TANH).startswith(f"{TANH} failed in 1 of 6 runs (1 diverged), lenet in 3 of 3")


def test_failing_decides_nothing_for_fewer_than_three_runs_and_counts_no_run_that_was_stopped_by_an_error():
    few = compare_runs(runs(LENET, GOOD * 4) + runs(AVG, [None, None]))
    assert few.row(AVG).decision == "failed"
    assert "which shows no difference (Fisher's exact test p = 0.004)" in verdict(few, AVG)
    stopped = [run(Recipe(model=AVG, dataset="mnist", seed=seed), status="failed") for seed in range(20, 28)]
    found = compare_runs([*runs(LENET, GOOD * 2), *runs(AVG, [None, *GOOD]), *stopped])
    assert "(Fisher's exact test without errors p = 0.375)" in verdict(found, AVG)


def test_a_run_that_never_trained_is_no_faster_by_ranks():
    """One run of ten diverges, the others reach the level at once, those of the baseline late."""
    level = "epochs_to(validation_accuracy=0.9)"
    early, late = ([epoch(n, validation=0.95 if n >= first else 0.5) for n in range(1, 10)] for first in (1, 9))
    quick = [run(Recipe(model=AVG, dataset="mnist", seed=seed, epochs=9), history=early) for seed in range(9)]
    diverged = run(Recipe(model=AVG, dataset="mnist", seed=9, epochs=9), status="diverged")
    slow = [run(Recipe(model=LENET, dataset="mnist", seed=seed, epochs=9), history=late) for seed in range(10)]
    found = compare_runs([*slow, *quick, diverged], metric=level)
    assert found.row(AVG).decision == "undecided"
    assert f"is undecided, because {AVG} fails more often" in verdict(found, AVG)


def test_a_run_that_stopped_with_an_error_is_no_result_but_is_counted():
    broken = run(Recipe(model=AVG, dataset="mnist", seed=9), status="failed")
    found = compare_runs([*runs(LENET, GOOD), *runs(AVG, BAD), broken])
    assert verdict(found, AVG).startswith("lenet(pool='avg') failed in 1 of 6 runs (1 stopped by an error); of the")


def test_notes_speak_of_intervals_only_where_there_are_some():
    few = "Fewer than three trained runs of a row decide nothing."
    one = compare_runs(runs(LENET, [0.98]) + runs(AVG, [0.97])).notes
    assert one[1:3] == ("There are no intervals: no row has more than one trained run.", few)
    assert not any("95 %" in note or "Welch" in note for note in one)
    two = compare_runs(runs(LENET, [0.98, 0.97]) + runs(AVG, [0.97])).notes
    assert "95 % intervals" in two[1]
    assert two[2] == few
    assert few not in compare_runs(runs(LENET, GOOD) + runs(AVG, BAD)).notes
    sizes = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD), metric="parameters").notes
    assert not any("interval" in note for note in sizes)


def test_one_seed_cannot_decide():
    found = compare_runs(runs(LENET, [0.98]) + runs(AVG, [0.97]))
    assert verdict(found, AVG) == (
        "lenet(pool='avg') against lenet is undecided: one seed cannot decide (97.0 % against 98.0 %, 1 seed each)"
    )
    against_five = compare_runs(runs(LENET, GOOD) + runs(AVG, [0.97]))
    assert "one seed cannot decide" in verdict(against_five, AVG)
    assert "1 and 5 seeds" in verdict(against_five, AVG)


def test_two_single_models_are_compared_by_mcnemar_on_the_same_images(tmp_path):
    right = np.ones(100, dtype=bool)
    one, other = runs(LENET, [0.95]) + runs(AVG, [0.99])
    first = with_predictions(one, right & (np.arange(100) >= 5))
    second = with_predictions(other, right & (np.arange(100) != 50))
    # 5 images only one gets right, 1 the other: 2 · P(X ≤ 1), X ~ B(6, ½), = 14 / 64
    assert (
        "of 100 test images, 5 are right in the first of these two trained models only and 1 in the second only "
        in (verdict(compare_runs([first, second]), AVG))
    )
    assert "(exact McNemar p = 0.219)" in verdict(compare_runs([first, second]), AVG)


@pytest.mark.parametrize("n", [2, 5])
def test_results_without_spread_decide_nothing(n):
    same = compare_runs(runs(LENET, [0.98] * n) + runs(AVG, [0.98] * n))
    assert "both have the same test accuracy in every seed" in verdict(same, AVG)
    apart = compare_runs(runs(LENET, [0.98] * n) + runs(AVG, [0.97] * n))
    assert f"all {n} runs of {AVG} have 97.0 %, and all {n} of lenet 98.0 %" in verdict(apart, AVG)
    assert {same.row(AVG).decision, apart.row(AVG).decision} == {"undecided"}
    shifted = compare_runs(
        runs(LENET, GOOD[:n], momentum=0.5) + runs(LENET, [x - 0.01 for x in GOOD[:n]], momentum=0.9), by="momentum"
    )
    assert "momentum=0.9 against momentum=0.5 is undecided: they differ by the same 1 point in every seed" in verdict(
        shifted, 0.9
    )


def test_a_loss_that_is_not_finite_is_no_measurement():
    made = runs(LENET, GOOD)
    broken = dataclasses.replace(made[0].outcome.test, loss=float("inf"))
    made[0] = dataclasses.replace(made[0], outcome=dataclasses.replace(made[0].outcome, test=broken))
    row = compare_runs(made, metric="test_loss").rows[0]
    assert (row.n, row.measured.n) == (5, 4)


def test_the_same_question_has_the_same_answer_whatever_the_order_of_the_runs():
    made = runs(LENET, GOOD) + runs(AVG, BAD)
    again = [*made[:5][::-1], *made[5:][::-1], made[2]]
    assert compare_runs(made) == compare_runs(again)


# Pairs and families


def test_other_settings_of_one_network_are_paired_and_other_networks_are_not():
    by_rate = compare_runs(
        runs(LENET, GOOD, learning_rate=0.1) + runs(LENET, BAD, learning_rate=0.2), by="learning_rate"
    )
    by_model = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD))
    assert by_model.row(AVG).difference.paired is False
    assert by_rate.row(0.2).difference is not None
    assert by_rate.row(0.2).difference.paired is True
    assert any(n.startswith("Paired by seed") for n in by_rate.notes)
    assert "Welch's interval, because the networks share no initial weights." in by_model.notes


def test_two_spellings_of_one_network_are_one_row():
    found = compare_runs(
        [*runs(LENET, GOOD[:2]), *runs("lenet(pool='max')", [None, None, *GOOD[2:]])[2:], *runs(AVG, BAD)]
    )
    assert [(row.label, row.n) for row in found.rows] == [(LENET, 5), (AVG, 5)]


def test_another_size_of_images_is_another_set_of_weights():
    found = compare_runs(runs(LENET, GOOD) + runs(LENET, BAD, resize=32), by="resize")
    assert found.row(32).difference.paired is False


def test_pairs_are_of_the_seeds_that_both_have():
    second = runs(LENET, [None, *(x - 0.01 + 0.0001 * i for i, x in enumerate(GOOD[1:]))], learning_rate=0.2)
    found = compare_runs(runs(LENET, GOOD, learning_rate=0.1) + second[:4], by="learning_rate")
    difference = found.row(0.2).difference
    assert (difference.n_first, difference.n_second) == (3, 3)
    assert "3 seeds, paired" in verdict(found, 0.2)
    assert "seeds that only one of them has are left out (0 and 4)" in verdict(found, 0.2)
    assert "learning_rate=0.2 has no run with seed 4." in found.notes


def test_pairs_without_a_common_seed_are_undecided():
    other = [run(Recipe(model=LENET, dataset="mnist", seed=s, momentum=0.9), 0.98) for s in (7, 8)]
    found = compare_runs(runs(LENET, GOOD[:2]) + other, by="momentum")
    assert verdict(found, 0.9) == "momentum=0.9 against momentum=0.0 is undecided: they have no seed in common"


def test_the_family_is_all_comparisons_with_the_baseline_failed_ones_included():
    found = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD) + runs(TANH, GOOD) + runs(ELU, [None, None]))
    assert found.family == 3
    assert found.row(AVG).difference.family == 3
    alone = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD))
    assert found.row(AVG).difference.low < alone.row(AVG).difference.low
    assert any("3 differences to lenet have simultaneous 95 % intervals (Bonferroni)" in note for note in found.notes)


def test_equal_networks_are_called_different_in_at_most_a_twentieth_of_studies():
    """Whole comparisons of four networks of equal truth, accuracies skewed and in steps of one image of 10,000."""
    rng, models, studies = np.random.default_rng(0), (LENET, AVG, TANH, ELU), 300
    made = [one for model in models for one in runs(model, GOOD)]
    claimed = 0
    for _ in range(studies):
        own = 0.003 * (rng.gamma(8, size=(4, 5)) - 8) / np.sqrt(8)
        drawn = np.round((0.97 - own + 0.001 * rng.standard_normal(5)) * 10_000) / 10_000
        study = [with_accuracy(one, accuracy) for one, accuracy in zip(made, drawn.ravel(), strict=True)]
        found = compare_runs(study)
        claimed += any(" than lenet by " in row.verdict for row in found.rows)
    assert claimed / studies <= 0.065


def with_accuracy(one, accuracy):
    test = dataclasses.replace(one.outcome.test, accuracy=float(accuracy))
    return dataclasses.replace(one, outcome=dataclasses.replace(one.outcome, test=test))


# What does not fit together


def test_two_recipes_under_one_label_are_refused():
    with pytest.raises(
        ConvariumError, match=r"share the label 'lenet'.*learning_rate \(0.1 and 0.2\).*compare by learning"
    ):
        compare_runs(runs(LENET, GOOD, learning_rate=0.1) + runs(LENET, GOOD, learning_rate=0.2))


def test_two_runs_of_one_seed_are_refused():
    made = runs(LENET, GOOD)
    with pytest.raises(ConvariumError, match="two runs share the label 'lenet' and the seed 0"):
        compare_runs([*made, dataclasses.replace(made[0], key="other data")])


def test_several_data_sets_are_an_axis_of_their_own():
    made = runs(LENET, GOOD) + runs(LENET, BAD, dataset="fashion_mnist")
    with pytest.raises(ConvariumError, match=r"several data sets: mnist and fashion_mnist.*by='dataset'"):
        compare_runs(made)
    found = compare_runs(made, by="dataset")
    assert [row.label for row in found.rows] == ["mnist", "fashion_mnist"]
    assert found.row("fashion_mnist").difference.paired is False
    assert found.margin == 0.003  # the stricter one


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"by": "depth"}, "unknown axis to compare by 'depth'"),
        ({"by": "seed"}, "unknown axis to compare by 'seed'"),
        ({"metric": "accuracy"}, r"unknown metric 'accuracy'; did you mean '.*accuracy'"),
        ({"metric": "epochs_to(accuracy=0.9)"}, "unknown column of the history 'accuracy'; did you mean"),
        ({"baseline": "vgg"}, "unknown row of the comparison 'vgg'; choose one of lenet"),
        ({"baseline": "("}, r"unknown row of the comparison '\('"),
    ],
)
def test_unknown_names_are_answered_with_known_ones(asked, message):
    with pytest.raises(SpecError, match=message):
        compare_runs(runs(LENET, GOOD), **asked)


@pytest.mark.parametrize("metric", ["epochs_to()", "epochs_to(test_accuracy=0.9, test_loss=1)", "epochs_to(0.9)"])
def test_a_level_is_one_column_and_one_number(metric):
    with pytest.raises(ConvariumError, match="expected one level"):
        metric_of(metric)
    with pytest.raises(ConvariumError, match="is not a number"):
        metric_of("epochs_to(test_accuracy='high')")


def test_nothing_to_compare_is_an_error_with_a_way_out():
    with pytest.raises(ConvariumError, match="no runs to compare; train some first"):
        compare_runs([])


def test_other_settings_beside_the_axis_are_a_warning():
    found = compare_runs(runs(LENET, GOOD, epochs=10) + runs(AVG, BAD, epochs=20))
    assert "The rows differ in epochs too: 10 (lenet), 20 (lenet(pool='avg'))." in found.warnings


# Text


def test_markdown_leaves_escaped_text_alone():
    assert escape_markdown("a|b `c_d` <i>\n f_g [h] \\ *i*") == "a\\|b \\`c\\_d\\` &lt;i> f\\_g \\[h\\] \\\\ \\*i\\*"
    assert escape_markdown("a|b `c_d|e` <i> f_g [h", keep_code=True) == "a\\|b `c_d|e` &lt;i> f\\_g \\[h"


# Marks


def test_what_was_watched_or_chosen_on_test_says_so_wherever_it_is_shown():
    watched = runs(LENET, GOOD, watch_test=True)
    chosen = runs(AVG, BAD, watch_test=True, select="best_test")
    found = compare_runs(watched + chosen)
    assert found.row(LENET).marks == ("test watched",)
    assert found.row(AVG).marks == ("test watched", "selected on test")
    assert verdict(found, AVG).endswith("[test watched, selected on test]")
    assert verdict(found, LENET).endswith("[test watched]")
    by_validation = compare_runs(watched + chosen, metric="validation_accuracy")
    assert "[" not in verdict(by_validation, AVG)


def test_the_highest_test_accuracy_of_any_epoch_is_selected_on_test_by_definition():
    made = [
        run(Recipe(model=LENET, dataset="mnist", watch_test=True), history=[epoch(1, test=0.9), epoch(2, test=0.8)])
    ]
    assert compare_runs(made, metric="best_epoch_test_accuracy").rows[0].marks == ("test watched", "selected on test")


def test_a_test_split_read_once_is_noted():
    assert any("read once, after training" in note for note in compare_runs(runs(LENET, GOOD)).notes)


# Times


def test_times_are_compared_within_one_environment_only():
    elsewhere = dataclasses.replace(HERE, threads=8)
    slow = [run(Recipe(model=AVG, dataset="mnist", seed=s), a, environment=elsewhere) for s, a in enumerate(GOOD)]
    found = compare_runs(runs(LENET, GOOD) + slow, metric="train_seconds")
    assert verdict(found, AVG) == (
        f"{AVG} is not compared with lenet: they were timed in environments that differ in threads (2 and 8)"
    )
    assert found.row(AVG).environment == "Some CPU, cpu, 8 threads, torch 2.13.0"
    assert found.row(AVG).difference is None
    assert any(note.startswith("Times are not comparable") for note in found.warnings)


def test_a_mixed_run_is_marked_and_explained_and_its_times_are_not_compared():
    three = runs(LENET, GOOD)
    elsewhere = dataclasses.replace(HERE, threads=8)
    three[1] = dataclasses.replace(three[1], outcome=dataclasses.replace(three[1].outcome, earlier=(elsewhere,)))
    found = compare_runs(three + runs(AVG, GOOD))
    assert found.row(LENET).marks == ("mixed",)
    assert found.row(AVG).marks == ()
    assert (
        "Mixed are runs that were interrupted and went on in another environment: lenet seed 1 (threads 8, then 2). "
        "They keep the rules of the comparison, but no environment gives their last bits again."
    ) in found.warnings
    assert found.row(LENET).environment is None
    assert found.row(LENET).train_seconds is None
    assert (
        "Times are not comparable: the runs were made in environments that differ in threads (2 and 8)." in found.notes
    )
    (line,) = [line for line in as_markdown(found).splitlines() if line.startswith("|") and "mixed" in line]
    assert line.startswith("| lenet ")
    assert found.row(LENET).test == compare_runs(runs(LENET, GOOD)).row(LENET).test
    assert "mixed" not in found.row(AVG).verdict


@pytest.mark.parametrize(
    ("kernels", "label"),
    [("torch", ", PyTorch's kernels"), ("convarium 01234567", ", kernels convarium 01234567"), (None, "")],
)
def test_a_cpus_environment_names_its_kernels_where_they_are_recorded(kernels, label):
    own = dataclasses.replace(HERE, kernels=kernels)
    (row,) = compare_runs([run(Recipe(dataset="mnist"), environment=own)]).rows
    assert row.environment == f"Some CPU, cpu, 2 threads, torch 2.13.0{label}"


def test_runs_with_other_kernels_than_most_are_named():
    ours, torchs = (dataclasses.replace(HERE, kernels=name) for name in ("convarium 01234567", "torch"))
    environments = [ours, ours, torchs, ours, HERE]
    found = compare_runs([run(Recipe(dataset="mnist", seed=s), environment=e) for s, e in enumerate(environments)])
    assert (
        "The steps had different kernels, which moves last bits: torch in lenet seed 2; unknown kernels in lenet seed "
        "4; convarium 01234567 in all others."
    ) in found.notes
    assert found.rows[0].environment is None
    alike = compare_runs([run(Recipe(dataset="mnist", seed=s), environment=torchs) for s in range(3)])
    assert not any("different kernels" in note for note in alike.notes)


def test_steps_that_overflowed_in_float16_are_told():
    history = [epoch(1), epoch(2)]
    made = [run(Recipe(dataset="mnist", precision="float16", seed=seed), history=history) for seed in range(3)]
    made[0] = dataclasses.replace(made[0], outcome=dataclasses.replace(made[0].outcome, skipped_steps=3))
    told = "In float16, 3 of the 600 steps of lenet changed no weight: a gradient overflowed."
    assert told in compare_runs(made).notes
    assert not any("float16" in note for note in compare_runs(runs(LENET, GOOD)).notes)


def test_a_row_from_several_environments_has_no_time():
    other = run(Recipe(dataset="mnist", seed=9), environment=dataclasses.replace(HERE, torch="2.6.0"))
    found = compare_runs([*runs(LENET, GOOD), other])
    assert found.rows[0].train_seconds is None
    assert found.rows[0].environment is None


DIFFERENT = {
    "kernels": ({"kernels": "torch"}, "kernels (torch and unknown)"),
    "code": ({"code": "0123456789abcdef"}, "code of the training step (0123456789abcdef and unknown)"),
    "commit of an older record": ({"commit": "ab" * 20}, "code of the training step (commit abababa and unknown)"),
    "stepping": ({"processor_model": "family 26"}, "processor model (family 26 and unknown)"),
    "instruction sets": ({"instruction_sets": "avx2 fma " * 9}, "instruction sets (2 kinds, one of them unknown)"),
    "workers": ({"workers": 2}, "worker processes (1 and 2)"),
}


@pytest.mark.parametrize(("changed", "named"), DIFFERENT.values(), ids=DIFFERENT)
def test_times_of_unlike_environments_are_compared_nowhere(changed, named):
    unlike = f"environments that differ in {named}"
    elsewhere = dataclasses.replace(HERE, **changed)
    recipes = [Recipe(dataset="mnist", learning_rate=rate, seed=s) for rate in (0.1, 0.2) for s in range(3)]
    pair = [
        run(recipe, seconds=10 + recipe.seed, environment=HERE if recipe.learning_rate == 0.1 else elsewhere)
        for recipe in recipes
    ]
    found = compare_runs(pair, by="learning_rate", metric="images_per_second")
    assert found.answer == f"The training speed cannot be compared, because it was measured in {unlike}."
    assert found.rows[1].decision == "undecided"
    assert found.rows[1].verdict.endswith(f"they were timed in {unlike}")
    assert any(named in warning for warning in found.warnings)
    assert named in as_markdown(found)
    assert found.frame("table")["train_seconds"].notna().tolist() == [True, False]
    assert (
        found.frame("rows")["times_comparable"].tolist()
        == [row["times_comparable"] for row in as_json(found)["rows"]]
        == [True, False]
    )
    alike = [dataclasses.replace(one, outcome=dataclasses.replace(one.outcome, environment=elsewhere)) for one in pair]
    assert compare_runs(alike, by="learning_rate", metric="images_per_second").rows[1].difference is not None


def test_the_commit_does_not_count_where_the_code_of_the_step_is_known():
    known = [dataclasses.replace(HERE, code="0123456789abcdef", commit=commit * 20) for commit in ("ab", "cd")]
    pair = [run(Recipe(dataset="mnist", seed=s), environment=each) for s, each in enumerate(known)]
    assert compare_runs(pair).rows[0].train_seconds is not None


def test_times_in_one_environment_are_faster_or_slower():
    def timed(model, seconds):
        return [run(Recipe(model=model, dataset="mnist", seed=i), seconds=s) for i, s in enumerate(seconds)]

    found = compare_runs(timed(LENET, [10, 11, 12]) + timed(AVG, [20, 21, 22]), metric="train_seconds")
    # 10 s ± t(0.975, 4) = 2.776 · √(1 / 3 + 1 / 3)
    assert verdict(found, AVG) == "lenet(pool='avg') is slower than lenet by 10 s (95 % interval 8 to 12, 3 seeds each)"
    speed = compare_runs(timed(LENET, [10, 11, 12]) + timed(AVG, [20, 21, 22]), metric="images_per_second")
    assert "slower than lenet by 44 images per second" in verdict(speed, AVG)  # 1000 images in each of these times


def test_sizes_are_facts():
    small = [run(Recipe(model=LENET, dataset="mnist"), parameters=61706)]
    large = [run(Recipe(model=AVG, dataset="mnist"), parameters=70000, status="diverged")]
    found = compare_runs(small + large, metric="parameters")
    assert verdict(found, AVG).endswith("lenet(pool='avg') is larger than lenet: 70,000 parameters against 61,706")
    assert verdict(found, LENET) == "lenet: 61,706 parameters"


# Histories


def with_history(model, reaching, *, epochs=10, seed=0):
    """A run whose test accuracy passes 0.98 at the end of epoch `reaching` (None: never)."""
    rows = [epoch(e, test=0.99 if reaching and e >= reaching else 0.9) for e in range(1, epochs + 1)]
    return run(Recipe(model=model, dataset="mnist", seed=seed, epochs=epochs, watch_test=True), history=rows)


def test_the_best_epoch_is_the_first_of_the_best():
    one = run(Recipe(), history=[epoch(1, validation=0.8), epoch(2, validation=0.9), epoch(3, validation=0.9)])
    assert best_epoch(one, "validation_accuracy").epoch == 2
    assert best_epoch(one, "validation_loss").epoch == 2
    assert best_epoch(one, "test_accuracy") is None


def test_a_level_is_reached_by_accuracies_from_below_and_losses_from_above():
    one = run(Recipe(), history=[epoch(1, validation=0.8), epoch(2, validation=0.9)])
    assert first_to_reach(one, "validation_accuracy", 0.85).steps == 200
    assert first_to_reach(one, "validation_loss", 0.2).epoch == 1
    assert first_to_reach(one, "validation_accuracy", 0.95) is None
    assert METRICS["last_epoch_test_accuracy"].measure(one) is None


def test_each_source_finds_the_epoch_that_it_reports():
    rows = [
        epoch(1, validation=0.8, test=0.81),
        epoch(2, validation=0.9, test=0.88),
        epoch(3, validation=0.85, test=0.89),
    ]
    one = run(Recipe(watch_test=True), 0.89, history=rows, selected_epoch=3)
    found = {name: METRICS[name].measure(one) for name in METRICS}
    assert found["best_epoch_test_accuracy"] == 0.89
    assert found["best_validation_epoch_test_accuracy"] == 0.88
    assert found["last_epoch_test_accuracy"] == 0.89
    assert found["last_epoch_test_loss"] == pytest.approx(0.11)
    assert found["best_epoch_validation_accuracy"] == 0.9
    unwatched = run(Recipe(), 0.87, history=[epoch(1, validation=0.9), epoch(2, validation=0.8)], selected_epoch=1)
    assert METRICS["best_validation_epoch_test_accuracy"].measure(unwatched) == 0.87
    assert METRICS["last_epoch_test_accuracy"].measure(unwatched) is None
    last = run(Recipe(), 0.87, history=[epoch(1), epoch(2)], selected_epoch=2)
    assert METRICS["last_epoch_test_accuracy"].measure(last) == 0.87


def test_epochs_to_a_level_are_compared_by_their_order_alone():
    """Of 4 and 4 values two orders of 70 are as far apart as can be."""
    fast = [with_history(LENET, e, seed=i) for i, e in enumerate((2, 3, 2, 3))]
    slow = [with_history(AVG, e, seed=i) for i, e in enumerate((7, 8, 7, 8))]
    found = compare_runs(fast + slow, metric="epochs_to(test_accuracy=0.98)")
    assert verdict(found, AVG) == (
        "lenet(pool='avg') is slower than lenet: to test accuracy 98 %, lenet(pool='avg') took 7.5 epochs (7 to 8) and "
        "lenet 2.5 epochs (2 to 3) (Mann–Whitney p = 0.029) [test watched]"
    )
    row = found.row(AVG)
    assert (row.difference, row.measured.low, row.measured.high) == (None, None, None)
    assert verdict(found, LENET) == "lenet: epochs to test accuracy 98 % 2.50 epochs (4 seeds) [test watched]"
    steps = compare_runs(fast + slow, metric="steps_to(test_accuracy=0.98)")
    assert steps.row(LENET).measured.mean == 250


def test_an_order_that_one_comparison_of_several_does_not_show_names_the_level_it_missed():
    epochs = {LENET: (1, 1, 1, 1, 2), AVG: (2, 2, 2, 2, 3), "vgg": (9, 9, 9, 9, 9)}
    made = [with_history(label, e, seed=i) for label, each in epochs.items() for i, e in enumerate(each)]
    found = compare_runs(made, metric="epochs_to(test_accuracy=0.98)")
    assert found.row(AVG).decision == "undecided"
    assert verdict(found, AVG).endswith("(Mann–Whitney p = 0.040, above 5 % / 2) [test watched]")
    assert "above" not in verdict(found, "vgg")


def test_runs_that_all_take_the_same_are_told_so():
    fast = [with_history(LENET, 1, seed=i) for i in range(5)]
    slow = [with_history(AVG, 3, seed=i) for i in range(5)]
    found = compare_runs(fast + slow, metric="epochs_to(test_accuracy=0.98)")
    assert "took 3 epochs, and all 5 runs of lenet 1 epoch (Mann–Whitney p = 0.008)" in verdict(found, AVG)
    assert found.row(AVG).decision == "worse"


@pytest.mark.parametrize(
    ("n", "others", "words"),
    [(3, 1, "three seeds can never show this; four would"), (5, 7, "five seeds can never show this; six would")],
)
def test_an_order_that_so_few_seeds_can_never_show_is_undecided(n, others, words):
    models = [LENET, AVG, TANH, ELU, "vgg", "nin", "alexnet", "resnet"][: others + 1]
    made = [with_history(model, 2 + i, seed=seed) for i, model in enumerate(models) for seed in range(n)]
    found = compare_runs(made, metric="epochs_to(test_accuracy=0.98)")
    assert words in verdict(found, AVG)
    assert {row.decision for row in found.rows} == {"baseline", "undecided"}


# Losses are positive: one network's is 0.82 times another's


def losses(model, values):
    return runs(model, [1 - value for value in values])


def test_losses_are_compared_by_their_ratio():
    """Logarithms 0.1 apart, deviation 0.1: log 2 ± t(0.975, 4) = 2.776 · 0.1 · √(2 / 3) = 0.227."""
    first = [0.1 * math.exp(0.1 * step) for step in (-1, 0, 1)]
    found = compare_runs(losses(LENET, first) + losses(AVG, [2 * loss for loss in first]), metric="test_loss")
    assert verdict(found, AVG) == (
        "lenet(pool='avg') is worse than lenet: its test loss is 2.0 times as large (95 % interval 1.6 to 2.5, "
        "3 seeds each)"
    )
    gap = found.row(AVG).difference
    assert (gap.is_ratio, gap.mean, gap.high) == (True, pytest.approx(2), pytest.approx(2 * math.exp(0.2267), rel=1e-3))
    assert found.margin == LOSS_MARGIN == 0.2
    assert "A difference below 20 % is too small to matter here (the margin)." in found.notes
    assert found.frame("rows")["ratio_mean"][1] == pytest.approx(2)
    assert found.frame()["ratio"][1] == pytest.approx(2)
    turned = compare_runs(losses(AVG, [2 * loss for loss in first]) + losses(LENET, first), metric="test_loss")
    told = "lenet is better than lenet(pool='avg'): its test loss is 0.50 times as large (95 % interval 0.40 to 0.63"
    assert verdict(turned, LENET).startswith(told)


def test_losses_within_20_percent_are_equivalent_and_wide_ones_undecided():
    first = [0.1 * math.exp(0.02 * step) for step in (-1, 0, 1)]
    close = compare_runs(losses(LENET, first) + losses(AVG, first[::-1]), metric="test_loss")
    told = (
        "is equivalent to lenet within 20 % of its test loss (90 % interval 0.97 to 1.04 times as large, 3 seeds each)"
    )
    assert told in verdict(close, AVG)
    wide = [0.1 * math.exp(0.5 * step) for step in (-1, 0, 1)]
    not_told = compare_runs(losses(LENET, wide) + losses(AVG, wide[::-1]), metric="test_loss")
    assert re.search(
        r"undecided: the test loss of lenet\(pool='avg'\) is 0\.3\d* to 3\.\d* times as large \(95 % interval, 3 seeds "
        r"each\); to detect 20 % you would need \d+ to \d+ seeds each",
        verdict(not_told, AVG),
    )


def test_a_ratio_that_is_not_1_is_not_written_as_1():
    """Logarithms log(1.02) apart, deviation 0.0077: log(1.02) ± 2.776 · 0.0077 · √(2 / 3) leaves out 0 by 0.0023."""
    first = [0.1 * math.exp(0.0077 * step) for step in (-1, 0, 1)]
    found = compare_runs(losses(LENET, first) + losses(AVG, [1.02 * loss for loss in first]), metric="test_loss")
    assert "1.020 times as large (95 % interval 1.002 to 1.038" in verdict(found, AVG)


def test_two_losses_that_scatter_beyond_every_measure_are_told_and_drawn():
    rows = [
        losses(model, values)
        for model, values in ((LENET, [0.05, 0.06, 0.05]), (AVG, [1e-12, 0.1, 1e-6]), (TANH, [0.1, 1e-12, 1e-6]))
    ]
    found = compare_runs([each for row in rows for each in row], metric="test_loss")
    assert found.row(AVG).difference.low > 0
    assert "the runs scatter so widely that the difference may be anything" in verdict(found, AVG)
    marks = difference_plot(found, found.rows).marks[1:]
    assert all(mark.may_be_any and mark.low is None and 0 <= mark.mean <= PLOT_WIDTH for mark in marks)


def test_losses_of_0_are_compared_by_their_order():
    none = losses(LENET, [0.0, 0.001, 0.002, 0.0])
    found = compare_runs(none + losses(AVG, [0.1, 0.2, 0.3, 0.4]), metric="test_loss")
    assert found.row(AVG).decision == "worse"
    assert "in test loss, by order alone because a loss is 0 (Mann–Whitney p = 0.029)" in verdict(found, AVG)
    assert "(4 seeds, no interval because a loss is 0 or far from the others)" in verdict(found, LENET)


# Spreads that are unlike


def test_an_interval_is_wider_where_one_network_scatters_much_more():
    """Spreads of 0.1 and 1 point: t at 99 % in place of 95 %."""
    steps = (-1, -0.5, 0, 0.5, 1)
    calm, wild = [0.98 + 0.001 * step for step in steps], [0.95 + 0.01 * step for step in steps]
    found = compare_runs(runs(LENET, calm) + runs(AVG, wild))
    gap = found.row(AVG).difference
    theirs = stats.ttest_ind(wild, calm, equal_var=False).confidence_interval(0.99)
    assert gap.is_unlike
    assert (gap.low, gap.high) == pytest.approx((theirs.low, theirs.high))
    assert "(95 % interval 1.4 to 4.6, wider because the spreads are unlike, 5 seeds each)" in verdict(found, AVG)
    near = compare_runs(runs(LENET, calm) + runs(AVG, [x + 0.02 for x in wild]))
    assert near.row(AVG).decision == "undecided"
    assert "wider because the spreads are unlike" in verdict(near, AVG)
    assert "you would need" not in verdict(near, AVG)


def test_an_interval_is_wider_for_few_seeds_in_a_large_family():
    """Three seeds and five networks beside the baseline, which scatter alike: a twentieth of 5 % / 5."""
    names = ["lenet", "alexnet", "vgg", "nin", "googlenet", "resnet"]
    values = {name: [0.9 - 0.05 * i + step for step in (-0.001, 0, 0.001)] for i, name in enumerate(names)}
    found = compare_runs([run for name, each in values.items() for run in runs(name, each)])
    theirs = stats.ttest_ind(values["alexnet"], values["lenet"], equal_var=False).confidence_interval(1 - 0.01 / 20)
    gap = found.row("alexnet").difference
    assert (gap.low, gap.high, gap.caution) == (pytest.approx(theirs.low), pytest.approx(theirs.high), 20)
    assert "wider because few seeds are compared in a family of 5, 3 seeds each)" in verdict(found, "alexnet")


def test_an_interval_wider_than_possible_is_not_shown():
    found = compare_runs(runs(LENET, [0.6, 0.7, 0.95]) + runs(AVG, [0.9, 0.9, 0.9]))
    assert found.row(AVG).difference.low is None
    told = (
        "is undecided: the runs scatter so widely that the difference may be anything (90.0 % against 75.0 %, 3 seeds"
    )
    assert told in verdict(found, AVG)


def test_runs_that_never_reach_a_level_have_no_mean_but_an_order():
    fast = [with_history(LENET, e, seed=i) for i, e in enumerate((2, 3, 2, 3, 4))]
    slow = [with_history(AVG, e, seed=i) for i, e in enumerate((7, None, None, 8, 9))]
    found = compare_runs(fast + slow, metric="epochs_to(test_accuracy=0.98)")
    assert found.row(AVG).measured is None
    # all of one group before all of the other: p = 2 / 252
    assert verdict(found, AVG).startswith(
        "lenet(pool='avg') is slower than lenet: test accuracy 98 % was reached by 3 of 5 runs of lenet(pool='avg') "
        "and by 5 of 5 runs of lenet (Mann–Whitney p = 0.008)"
    )
    swapped = compare_runs(slow + fast, metric="epochs_to(test_accuracy=0.98)")
    assert "lenet is faster than lenet(pool='avg')" in verdict(swapped, LENET)
    assert "epochs to test accuracy 98 %: reached by 3 of 5 runs" in verdict(swapped, AVG)


def test_a_diverged_run_never_reaches_a_level_and_three_against_three_do_not_settle_an_order():
    fast = [with_history(LENET, e, seed=i) for i, e in enumerate((2, 3, 2))]
    slow = [with_history(AVG, 4, seed=i) for i in range(2)]
    diverged = run(Recipe(model=AVG, dataset="mnist", seed=2, watch_test=True), None, status="diverged")
    found = compare_runs([*fast, *slow, diverged], metric="epochs_to(test_accuracy=0.98)")
    assert "reached by 2 of 3 runs of lenet(pool='avg')" in verdict(found, AVG)
    assert found.row(AVG).decision == "undecided"


def test_a_level_that_was_not_recorded_is_not_a_level_that_was_not_reached():
    found = compare_runs(runs(LENET, GOOD) + runs(AVG, BAD), metric="epochs_to(test_accuracy=0.98)")
    assert "recorded the epochs to test accuracy 98 %" in verdict(found, AVG)
    assert "no mean of epochs to test accuracy 98 %" in verdict(found, LENET)


def test_different_budgets_censor_differently():
    made = [with_history(LENET, None, seed=0), with_history(AVG, None, epochs=20, seed=0)]
    assert "had different budgets" in verdict(compare_runs(made, metric="epochs_to(test_accuracy=0.98)"), AVG)


# Frames, tables, JSON


def six_runs(tmp_path):
    made = runs(LENET, GOOD[:3]) + runs(AVG, [0.97, 0.5, None])
    made = [dataclasses.replace(r, outcome=dataclasses.replace(r.outcome, history=(epoch(1), epoch(2)))) for r in made]
    right = np.arange(50) > 2
    made = [with_predictions(r, right) for i, r in enumerate(made)]
    steps = np.array([2.0, 1.0]), np.array([0.1, 0.5])
    return compare_runs([answering(made[0], "steps", steps), *made[1:]])


def test_frames_are_tidy(tmp_path):
    found = six_runs(tmp_path)
    by_run = found.frame("runs")
    assert len(by_run) == 6
    assert by_run["status"].tolist() == ["trained"] * 3 + ["trained", "at chance", "diverged"]
    assert {"label", "seed", "key", "test_accuracy", "learning_rate", "torch", "parameters"} <= set(by_run)
    assert len(found.frame("epochs")) == 12
    assert len(found.frame("rows")) == 2
    assert found.frame("rows").loc[1, "verdict"] == verdict(found, AVG)
    assert found.frame("classes").groupby("label").size().to_dict() == {LENET: 6, AVG: 4}
    steps = found.frame("steps")
    assert steps[["step", "train_loss"]].to_numpy().tolist() == [[1, 2], [2, 1]]
    assert compare_runs(runs(LENET, GOOD)).frame("steps").columns.tolist() == ["label", "seed", "status"]
    with pytest.raises(ConvariumError, match="there is no table 'seeds'"):
        found.frame("seeds")


def test_the_mean_of_the_trained_runs_carries_an_interval_over_images(tmp_path):
    row = six_runs(tmp_path).row(LENET)
    # 47 of 50 images are right: √(0.94 · 0.06 / 50) = 0.0336
    assert 0.94 in row.images
    assert row.images.high - row.images.low == pytest.approx(2 * 1.96 * 0.0336, abs=0.02)
    assert compare_runs(runs(LENET, GOOD)).rows[0].images is None


def test_json_holds_numbers_verdicts_and_the_runs_keys(tmp_path):
    found = six_runs(tmp_path)
    read = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert read["baseline"] == LENET
    assert [row["verdict"] for row in read["rows"]] == [row.verdict for row in found.rows]
    assert read["rows"][1]["runs"][2] == {
        "key": found.rows[1].runs[2].key, "seed": 2, "status": "diverged", "test_accuracy": None,
    }  # fmt: skip
    assert read["rows"][0]["test"]["mean"] == pytest.approx(0.981)


@pytest.mark.parametrize(
    ("of_lenet", "of_avg", "metric", "told"),
    [
        ([0.98], [0.97], "test_accuracy", {"measured": "one run has no spread", "difference": "one run has no spread"}),
        ([0.98] * 3, [0.97] * 3, "test_accuracy", {"measured": "all 3 runs have the same value",
                                                   "difference": "nothing varies from seed to seed"}),
        ([0.1, 1.0, 0.9], [0.97, 0.98, 0.99], "test_loss", {"measured": "a loss of 0 has no logarithm"}),
        ([0.1, 0.9, 1 - 1e-6], [0.97, 0.98, 0.99], "test_loss", {"measured": "the runs scatter so widely that the"}),
        (GOOD, BAD, "test_accuracy", {}),
    ],
)  # fmt: skip
def test_json_says_why_an_interval_is_missing(of_lenet, of_avg, metric, told):
    read = as_json(compare_runs(runs(AVG, of_avg) + runs(LENET, of_lenet), metric=metric))["rows"][1]
    found = {name: reason for name, reason in read["no_interval"].items() if name in ("measured", "difference")}
    assert found.keys() == told.keys()
    assert all(found[name].startswith(reason) for name, reason in told.items())
    named = ("measured", "validation", "test", "train_seconds", "images_per_second", "difference")
    assert set(read["no_interval"]) == {name for name in named if read[name] and read[name]["low"] is None}


def test_json_says_that_epochs_to_a_level_have_no_interval():
    watched = [epoch(n, test=0.3 * n) for n in (1, 2, 3)]
    made = [run(Recipe(model=LENET, seed=seed, epochs=3, watch_test=True), 0.9, history=watched) for seed in range(3)]
    read = as_json(compare_runs(made, metric="epochs_to(test_accuracy=0.5)"))["rows"][0]
    assert read["no_interval"]["measured"].startswith("epochs and steps up to a level are multiples")


def test_an_accuracys_interval_ends_before_100_percent_and_a_losss_before_0():
    """On the logit of (errors + ½) / (images + 1): 98 % is 3.89, the deviation of 1.41 points 0.72, times 12.7 / √2."""
    found = compare_runs(runs(LENET, [0.97, 0.99])).rows[0]
    assert 0 < found.measured.low < 0.08
    assert 0.99 < found.measured.high <= 1
    assert found.verdict == "lenet: test accuracy 98.0 % (95 % interval 7.1 to 100.0, 2 seeds)"
    three = compare_runs(runs(LENET, [0.97, 0.99, 0.999])).rows[0]
    assert 0.999 < three.measured.high < 1
    loss = three.estimate(METRICS["test_loss"])
    assert 0 < loss.low < loss.mean < loss.high


@pytest.mark.parametrize("metric", [*METRICS, "test_accuracy_of('zero')"])
def test_the_metric_decides_the_scale_and_every_accuracy_counts_its_images(metric):
    measured = METRICS.get(metric) or class_accuracy("zero")
    made = run(Recipe(model=LENET, dataset="mnist"), 0.97, train=0.99, history=[epoch(1, validation=0.9, test=0.9)])
    is_share = measured.kind == "accuracy" and measured.measure is not generalization_gap
    images = {"train": 20_000, "validation": 1000, "test": 5000 if metric not in METRICS else 10_000}
    split = max(images, key=metric.rfind)
    assert measured.images(made) == (images[split] if is_share else None)
    assert measured.scale == ("logit" if is_share else "log" if measured.kind == "loss" else "plain")
    row = compare_runs([made]).rows[0]
    assert row.counted(measured) == measured.images(made)


def test_older_records_know_the_number_of_their_training_images_by_the_time_they_took():
    made = run(Recipe(model=LENET, dataset="mnist", epochs=2), 0.97, history=[epoch(1), epoch(2)])
    assert made.outcome.train is None  # 1000 images in 10 seconds, two epochs
    assert METRICS["train_accuracy"].images(made) == 500


def test_a_stored_study_is_compared_without_torch():
    code = (
        "import sys; from convarium.analysis.comparison import as_json, compare_runs; "
        "from convarium.runs.store import Store; store = Store(sys.argv[1]); "
        "found = compare_runs(store.runs_of(store.study('memory_vs_residual'))); "
        "as_json(found); found.frame('rows'); print(found.rows[1].decision, 'torch' in sys.modules)"
    )
    results = Path(__file__).parents[2] / "results"
    answer = subprocess.run([sys.executable, "-c", code, str(results)], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["better", "False"]


def test_class_differences_hold_for_all_classes_at_once():
    def made(model, shift):
        return [run(Recipe(model=model, dataset="mnist", seed=i), a, per_class=(a + shift, a - shift))
                for i, a in enumerate((0.90, 0.91, 0.92))]  # fmt: skip

    found = class_differences(compare_runs(made(LENET, 0.0) + made(AVG, 0.05)), AVG, LENET)
    assert found["class"].tolist() == ["zero", "one"]
    assert found["difference"].tolist() == pytest.approx([0.05, -0.05])
    # t at 97.5 % two-sided with 4 degrees of freedom is 3.495: ± 3.495 · 0.01 · √(2 / 3)
    assert found["high"][0] - 0.05 == pytest.approx(3.4954 * 0.01 * (2 / 3) ** 0.5, rel=1e-3)


def test_the_interval_of_a_class_needs_three_seeds_and_is_not_wider_than_possible():
    def made(model, accuracies):
        return [run(Recipe(model=model, dataset="mnist", seed=i), 0.9, per_class=(a, 0.9))
                for i, a in enumerate(accuracies)]  # fmt: skip

    two = class_differences(compare_runs(made(LENET, (0.1, 0.9)) + made(AVG, (0.2, 0.3))), AVG, LENET)
    assert two["low"].isna().all()
    assert two["high"].isna().all()
    three = class_differences(compare_runs(made(LENET, (0.2, 0.2, 1.0)) + made(AVG, (1.0, 0.2, 1.0))), AVG, LENET)
    assert (three["low"][0], three["high"][0]) == (None, None)


def test_class_frame_counts_precision_and_f1_as_scikit_learn_does():
    one = run(Recipe(model=LENET, dataset="mnist"), 0.9, per_class=(0.8, 0.6))
    found = compare_runs([one]).frame("classes")
    confusion = one.outcome.test.confusion
    true, predicted = zip(*[(i, j) for i in (0, 1) for j in (0, 1) for _ in range(confusion[i][j])], strict=True)
    precision, recall, f1, images = precision_recall_fscore_support(true, predicted)
    np.testing.assert_allclose(found["accuracy"], recall)
    np.testing.assert_allclose(found["precision"], precision)
    np.testing.assert_allclose(found["f1"], f1)
    assert found["images"].tolist() == images.tolist()


def test_class_differences_need_scores_and_common_seeds():
    found = compare_runs(runs(LENET, GOOD) + runs(AVG, [None]))
    with pytest.raises(ConvariumError, match="has test scores"):
        class_differences(found, LENET, AVG)
    other = [run(Recipe(model=LENET, dataset="mnist", seed=9, momentum=0.9))]
    with pytest.raises(ConvariumError, match="no seed in common"):
        class_differences(compare_runs(runs(LENET, GOOD) + other, by="momentum"), 0.0, 0.9)
