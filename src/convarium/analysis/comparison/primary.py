"""The metric that runs are compared by where nobody names one."""

from collections.abc import Sequence
from typing import Literal

from convarium.analysis.comparison.formatting import three_digits
from convarium.analysis.comparison.metrics import METRICS, Metric
from convarium.chance import IMBALANCE, is_imbalanced
from convarium.runs.store import StoredRun


def primary_metric(runs: Sequence[StoredRun]) -> tuple[str, str]:
    """The name of the metric, and why it is not the test accuracy, as a part of a sentence; "" where it is.

    The balanced accuracy where the training images of a data set are imbalanced, as `is_imbalanced` says, because the
    accuracy then says little of the rare classes. That of the validation images where a run has no test images.

    Args:
        runs: one or more; of an older run, which has no scores of its training images, the largest scored set counts.
    """
    reasons = []
    scored = {run.recipe.dataset: scores for run in runs if (scores := run.outcome.train or run.outcome.largest_scores)}
    counts = [[sum(row) for row in scores.confusion if any(row)] for scores in scored.values()]
    ratios = [max(each) / min(each) for each in counts if is_imbalanced(each)]
    if ratios:
        times = three_digits(max(ratios))
        reasons.append(
            f"the mean of all classes' accuracies, because the largest class has {times} times as many training images "
            f"as the smallest, more than {IMBALANCE}"
        )
    split = result_split(runs)
    if split == "validation":
        reasons.append("because no images were held out for a test")
    return f"{split}_{'balanced_accuracy' if ratios else 'accuracy'}", ", and ".join(reasons)


def validation_metric(runs: Sequence[StoredRun]) -> Metric:
    """The metric by which settings are chosen: the validation accuracy, balanced where `primary_metric` is."""
    return METRICS[primary_metric(runs)[0].replace("test_", "validation_")]


def result_split(runs: Sequence[StoredRun]) -> Literal["test", "validation"]:
    """The split by whose scores runs can be compared: validation as soon as one of them has no test images."""
    return "validation" if any(run.result_split == "validation" for run in runs) else "test"
