"""What a study says beside the comparison of its runs: the claims it judges, and tables of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from convarium.analysis.claims import Verdict


@dataclass(frozen=True)
class Panel:
    """A table with its title; all but the first column are numbers, or read like them."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Evidence:
    """What a page tells beside the comparison.

    Attributes:
        verdicts: on the study's claims, by their short names.
        reasons: why a refuted claim may be stated nevertheless, by the same names.
        panels: tables that the study asks for.
    """

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    panels: tuple[Panel, ...] = ()
