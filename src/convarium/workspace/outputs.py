"""What the verbs return beside runs, comparisons and scores: the result of a study, and the files of a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convarium.characters import visible
from convarium.runs.store import StoredRun

if TYPE_CHECKING:
    from convarium.analysis.comparison import Comparison
    from convarium.pages.claims_section import ClaimsSection
    from convarium.studies.study import Study
    from convarium.studies.tuning import Tuned


@dataclass(frozen=True, repr=False)
class StudyResult:
    """What a finished study leaves.

    Attributes:
        study: as it was carried out, with its name in the store.
        comparison: of its runs: table, intervals, differences, verdicts.
        claims: the verdicts on its claims, and its tables.
        report: the page.
        tuned: the learning rates that were chosen, where they were tuned.
    """

    study: Study
    comparison: Comparison
    claims: ClaimsSection
    report: Path
    tuned: tuple[Tuned, ...] = ()

    def __repr__(self) -> str:
        """The question, the answer, the verdict on each row and on each claim, and the page."""
        verdicts = [row.verdict for row in self.comparison.ranked]
        claims = [f"{name}: {verdict.sentence}" for name, verdict in self.claims.verdicts.items()]
        answer = [self.study.question, self.comparison.answer]
        claims += self.claims.assumptions
        return visible("\n".join([*answer, *verdicts, *claims, f"report: {self.report}"]))

    def _repr_html_(self) -> str:
        """Question, answer, a small table, the verdicts on the claims, and the page."""
        from convarium.analysis.comparison.shown import as_html

        claims = [f"{name}: {verdict.sentence}" for name, verdict in self.claims.verdicts.items()]
        return as_html(self.comparison, notes=[*claims, *self.claims.assumptions, f"report: {self.report}"])

    @property
    def runs(self) -> tuple[StoredRun, ...]:
        """Every finished run, row by row."""
        return tuple(run for row in self.comparison.rows for run in row.runs)


@dataclass(frozen=True, repr=False)
class ReportFiles:
    """The files that a report is made of.

    Attributes:
        report: the page.
        figures: every chart as SVG, PDF and PNG, and the data behind them; empty unless a folder was given.
    """

    report: Path
    figures: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        return f"ReportFiles({str(self.report)!r}, {len(self.figures)} files of figures)"
