"""Judges claims about the size of networks: by counted parameters or FLOPs, without a run."""

from collections.abc import Mapping
from itertools import pairwise
from typing import TypeGuard

from convarium.analysis.claims.kinds import Better, Claim, Judgement, Ordered, Reproduces, Verdict, labels_of
from convarium.analysis.comparison import Metric, formatting, metric_of
from convarium.analysis.statistics import Estimate


def is_about_size(claim: Claim) -> TypeGuard[Reproduces | Better | Ordered]:
    """Whether a claim is about a number of parameters or FLOPs, or which network has fewer; all runs have the same."""
    return isinstance(claim, (Reproduces, Better, Ordered)) and metric_of(claim.metric).kind == "size"


def judge_size(claim: Reproduces | Better | Ordered, sizes: Mapping[str, int]) -> Verdict:
    """Judges a claim about the size of networks by what is counted on them.

    Args:
        claim: one that `is_about_size`.
        sizes: the parameters, or the FLOPs, of each network that the claim names, by its label.
    """
    metric = metric_of(claim.metric)
    values = [float(sizes[label]) for label in labels_of(claim)]
    text, holds = _compare(claim, metric, values)
    outcome: Judgement = "supported" if holds else "refuted"
    size = Estimate(values[0], None, None, None, 1)
    return Verdict(claim, outcome, f"{outcome}: {text}, counted without a run", size, None)


def _compare(claim: Claim, metric: Metric, values: list[float]) -> tuple[str, bool]:
    counted = [formatting.exact(metric, value) for value in values]
    if isinstance(claim, Reproduces):
        published = f"the published {formatting.exact(metric, claim.value)} ({claim.source})"
        return f"{claim.label} has {counted[0]}, against {published}", values[0] == claim.value
    by = claim.by if isinstance(claim, Better) else 0.0
    listed = [f"{label} has {number}" for label, number in zip(labels_of(claim), counted, strict=True)]
    return formatting.listed(listed), all(more - fewer > by for fewer, more in pairwise(values))
