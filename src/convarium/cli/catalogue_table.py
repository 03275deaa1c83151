"""The catalogue of published claims in a terminal, and as Markdown."""

import itertools
from collections.abc import Sequence

from convarium.analysis.claims import ASSUMED, NOT_SEEN, assumptions, measured, published, source_tag
from convarium.analysis.comparison.formatting import escape_markdown
from convarium.cli.terminal import columns_of_terminal, say, say_wrapped, table
from convarium.studies.catalogue import NOT_RUN, Finding
from convarium.studies.costs import Rates, describe_rates
from convarium.studies.finding_cells import cost_cell, rates_behind, runs_cell

_STAR = "*"
"""Stands for the mark of an assumed recipe in a narrow column."""
_WIDE = 150
"""Columns in which the catalogue's whole table is not folded."""
_NUMBERS = ("published", "measured", "n")


def say_catalogue(findings: Sequence[Finding], rates: Rates, *, markdown: bool) -> None:
    """Prints the claims as measured, what their runs assume, and by which rates costs were computed.

    It is one table, without cost and source by source where 80 columns are too few for all.
    """
    notes = assumptions(finding.entry.claim for finding in findings)
    costs = describe_rates(rates_behind(findings, rates))
    if costs and (markdown or columns_of_terminal() >= _WIDE):
        notes += (costs,)
    if markdown:
        _say_markdown(findings, rates)
        if notes:
            say("\n".join(["", *(f"- {escape_markdown(note)}." for note in notes)]))
        return
    if columns_of_terminal() >= _WIDE:
        say(table(_COLUMNS, [_cells(finding, rates) for finding in findings], right=_NUMBERS))
    else:
        _say_narrow(findings)
        say("")
        say_wrapped(f"{_STAR} {ASSUMED}; {_short(NOT_SEEN)}: {NOT_SEEN}")
    for note in notes:
        say_wrapped(note)


_COLUMNS = ("claim", "source", "published", "measured", "n", "verdict", "cost")


def _cells(finding: Finding, rates: Rates) -> tuple[str, ...]:
    claim = finding.entry.claim
    return (
        finding.entry.name,
        source_tag(claim),
        published(claim),
        measured(finding.verdict),
        runs_cell(finding),
        _verdict(finding),
        cost_cell(finding, rates),
    )


def _verdict(finding: Finding) -> str:
    outcome = finding.verdict.outcome if finding.verdict else NOT_RUN
    return f"{outcome} {ASSUMED}" if finding.entry.claim.assumed is not None else outcome


def _say_markdown(findings: Sequence[Finding], rates: Rates) -> None:
    rule = tuple("---:" if name in _NUMBERS else "---" for name in _COLUMNS)
    rows = [tuple(escape_markdown(cell, keep_code=True) for cell in _cells(finding, rates)) for finding in findings]
    say("\n".join(f"| {' | '.join(line)} |" for line in (_COLUMNS, rule, *rows)))


def _say_narrow(findings: Sequence[Finding]) -> None:
    rows: list[tuple[object, ...]] = []
    for source, group in itertools.groupby(findings, key=lambda finding: source_tag(finding.entry.claim)):
        rows += [(), (f"{source}:",), *map(_narrow_cells, group)]
    say(table(("claim", "verdict", "n", "published, then measured"), rows[1:], right=("n",)))


def _narrow_cells(finding: Finding) -> tuple[object, ...]:
    stated, value = published(finding.entry.claim).partition(", the mean of")[0], measured(finding.verdict)
    runs = finding.verdict.n if finding.verdict else None
    return (finding.entry.name, _short(_verdict(finding)), runs or "", stated if value == "–" else (stated, value))


def _short(verdict: str) -> str:
    """A verdict for a narrow column: "not run", "not seen", and an asterisk in place of the mark."""
    return verdict.replace(NOT_RUN, "not run").replace(NOT_SEEN, "not seen").replace(f" {ASSUMED}", _STAR)
