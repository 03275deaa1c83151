"""Findings as JSON, and what tables show of them: on how many runs they rest, and what these cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from convarium.analysis.claims import FEWEST_PAIRS, is_about_speed, published
from convarium.analysis.comparison import formatting
from convarium.studies.catalogue import NOT_RUN, Finding, needs_runs
from convarium.studies.costs import Rate, Rates, expected_seconds, rate_of


def as_json(finding: Finding, rates: Rates) -> dict[str, Any]:
    """Returns a finding as JSON has it; by the rates, what a missing verdict would take."""
    entry, verdict = finding.entry, finding.verdict
    return {
        "name": entry.name,
        "study": entry.study.name,
        "source": entry.claim.source,
        "claim": dataclasses.asdict(entry.claim) | {"kind": type(entry.claim).__name__},
        "published": published(entry.claim),
        "measured": dataclasses.asdict(verdict.measured) if verdict and verdict.measured else None,
        "assumed": entry.claim.assumed,
        "n": verdict.n if verdict else 0,
        "verdict": verdict.outcome if verdict else NOT_RUN,
        "sentence": verdict.sentence if verdict else None,
        "reason": finding.reason,
        "runs": len(finding.runs),
        "planned": finding.planned,
        "pairs": verdict.n if verdict and is_about_speed(entry.claim) else None,
        "train_seconds": finding.seconds,
        "expected_seconds": None if finding.verdict else expected_seconds(finding.missing, rates),
    }


def runs_cell(finding: Finding) -> str:
    """Returns the number of runs, or of pairs, that a verdict rests on for the cell of a table; empty where it needs
    none.
    """
    counts = needs_runs(finding.entry) or is_about_speed(finding.entry.claim)
    return str((finding.verdict.n if finding.verdict else 0) if counts else "")


def cost_cell(finding: Finding, rates: Rates) -> str:
    """Returns the cost of a claim for the cell of a table: what its runs took, or would take by recorded rates."""
    if is_about_speed(finding.entry.claim):
        pairs = formatting.count(finding.verdict.n or 0 if finding.verdict else FEWEST_PAIRS, "pair")
        return f"{pairs}, {formatting.duration(finding.seconds)}" if finding.verdict else pairs
    if not needs_runs(finding.entry):
        return "none"
    if finding.verdict:
        n, planned = len(finding.runs), finding.planned
        runs = f"{n} of {planned} runs" if n <= planned else f"{planned} runs and {n - planned} added later"
        return f"{runs}, {formatting.duration(finding.seconds)}"
    seconds = expected_seconds(finding.missing, rates)
    cost = "not known" if seconds is None else f"about {formatting.duration(seconds)}"
    return f"{formatting.count(len(finding.missing), 'run')}, {cost}"


def rates_behind(findings: Iterable[Finding], rates: Rates) -> tuple[Rate, ...]:
    """Returns the rates by which the costs of the missing runs of findings were computed, each once."""
    used = (rate_of(recipe, rates) for finding in findings for recipe in finding.missing)
    return tuple(dict.fromkeys(rate for rate in used if rate is not None))
