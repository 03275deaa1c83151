"""The metric that runs are compared by where nobody names one."""

from collections.abc import Sequence

from convarium.analysis.comparison.rows import largest_scores
from convarium.analysis.statistics import IMBALANCE, is_imbalanced
from convarium.runs.store import StoredRun


def primary_metric(runs: Sequence[StoredRun]) -> tuple[str, str]:
    """The name of the metric, and why it is not the test accuracy, as a part of a sentence; "" where it is.

    The balanced accuracy where the training images of a data set are imbalanced, as `is_imbalanced` says, because the
    accuracy then says little of the rare classes.

    Args:
        runs: one or more; of an older run, which has no scores of its training images, the largest scored set counts.
    """
    scored = {run.recipe.dataset: scores for run in runs if (scores := run.outcome.train or largest_scores(run))}
    counts = [[sum(row) for row in scores.confusion if any(row)] for scores in scored.values()]
    ratios = [max(each) / min(each) for each in counts if is_imbalanced(each)]
    if not ratios:
        return "test_accuracy", ""
    reason = (
        f"the mean of all classes' accuracies, because the largest class has {max(ratios):.3g} times as many training "
        f"images as the smallest, more than {IMBALANCE}"
    )
    return "test_balanced_accuracy", reason
