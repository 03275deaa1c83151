"""The section of the page on a study's claims and on the tables that the study adds to its comparison."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from convarium.analysis.claims import NOT_SEEN, Verdict, assumptions


@dataclass(frozen=True)
class ExtraTable:
    """A table with its title. All columns but the first hold numbers, or text that is aligned like numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ClaimsSection:
    """What the page shows beside the comparison.

    Attributes:
        verdicts: the verdict on each of the study's claims, by the claim's short name.
        reasons: why the source may state a claim that these runs refute, by the same names.
        tables: the study's own tables.
    """

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[ExtraTable, ...] = ()

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the runs assume that the claims' sources do not state, once for each source."""
        return assumptions(verdict.claim for verdict in self.verdicts.values())

    @property
    def contradicted(self) -> dict[str, str]:
        """The reasons of those claims that the runs contradict, by their names."""
        outcomes = {name: verdict.outcome for name, verdict in self.verdicts.items()}
        return {name: text for name, text in self.reasons.items() if outcomes.get(name) in ("refuted", NOT_SEEN)}
