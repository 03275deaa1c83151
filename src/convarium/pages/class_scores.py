"""Recall, precision and F1 of every class, network by network, for the page."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.pages.class_charts import SHADE
from convarium.pages.table import NO_VALUE

_SCORES = ("accuracy", "precision", "f1")


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class, in per cent with one decimal.

    Attributes:
        name: the class; "mean over the classes" in the last line.
        images: how many the split has of it.
        recall: the share of its images that are recognized, which is the accuracy of the class.
        precision: the share of the predictions of this class that are right; "–" if it is never predicted.
        f1: the harmonic mean of recall and precision.
        shade: how dark its cell is among those of all networks, 0 to SHADE; see `class_matrix_chart`.
        is_hardest: whether the network has its lowest recall on this class.
    """

    name: str
    images: str
    recall: str
    precision: str
    f1: str
    shade: float = 0.0
    is_hardest: bool = False


def class_scores(comparison: Comparison, classes: Collection[str]) -> dict[str, tuple[ClassScores, ...]]:
    """Means over the trained runs, by label of the row.

    Args:
        comparison: the comparison.
        classes: names of the classes to list; the last line is the mean over all of them, listed or not.
    """
    frame = comparison.frame("classes")
    if frame.empty:
        return {}
    frame = frame[(frame["status"] == "trained") & frame["accuracy"].notna()]
    lines = {}
    wrong = 1 - frame[frame["class"].isin(classes)].groupby(["label", "class"])["accuracy"].mean()
    most_wrong = max(float(wrong.max()), 1e-9)
    for label, of_row in frame.groupby("label", sort=False):
        means = of_row.groupby("class", sort=False)[list(_SCORES)].mean()
        images = of_row.groupby("class", sort=False)["images"].first()
        lowest = float(means["accuracy"].min())
        listed = [
            replace(
                _line(str(name), f"{images[name]:,}", means.loc[name]),
                shade=round(SHADE * wrong[label, name] / most_wrong, 3),
                is_hardest=lowest == means["accuracy"][name] < 1,
            )
            for name in means.index
            if str(name) in classes
        ]
        lines[str(label)] = (*listed, _line("mean over the classes", f"{images.sum():,}", means.mean()))
    return lines


def _line(name: str, images: str, scores: pd.Series) -> ClassScores:
    recall, precision, f1 = (f"{100 * v:.1f}" if v == v else NO_VALUE for v in (float(scores[s]) for s in _SCORES))
    return ClassScores(name, images, recall, precision, f1)
