"""The page of a study, with the test images where they are at hand, and while it is trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from convarium.analysis.comparison import Comparison
from convarium.cli.terminal import note
from convarium.data import load_data
from convarium.data.splits import ImageData
from convarium.diagnostics import Undiagnosed, diagnose
from convarium.errors import ConvariumError
from convarium.pages import write_report
from convarium.pages.claims_section import ClaimsSection
from convarium.pages.inside import Diagnoses
from convarium.pages.study_status import stopped_status
from convarium.runs.store import Store
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.live import live_report
from convarium.studies.panels import evidence as evidence_of
from convarium.studies.panels import recorded_panels
from convarium.studies.run import StudyEvent


def write_page(
    comparison: Comparison,
    study: str,
    store: Store,
    *,
    out: Path | None = None,
    data_dir: Path | None = None,
    diagnoses: Diagnoses = (),
    evidence: ClaimsSection | None = None,
) -> Path:
    """Writes a study's report; the images on which networks differ are shown where the data set lies on this machine.

    Args:
        comparison: of the study's finished runs.
        study: its name.
        store: that holds it.
        out: the file; None: report.html in the study's folder.
        data_dir: where to look for data sets first.
        diagnoses: of `look_inside`; none: the page has no such section.
        evidence: the study's verdicts and tables; None: those of the built-in study of that name, from its records.
    """
    return write_report(
        comparison,
        out or store.root / "studies" / study / "report.html",
        images=_test_images(comparison, data_dir),
        status=stopped_status(comparison, len(store.study(study).keys)),
        diagnoses=diagnoses,
        claims=_built_in(comparison, study) if evidence is None else evidence,
    )


def _built_in(comparison: Comparison, name: str) -> ClaimsSection | None:
    study = EXPERIMENTS.get(name)
    return evidence_of(study, comparison, recorded_panels(study, comparison)) if study else None


def look_inside(comparison: Comparison, data_dir: Path | None = None) -> Diagnoses:
    """The diagnostics of every network, told one by one on standard error as they are computed."""
    runs = {row.label: row.runs for row in comparison.rows}
    found = diagnose(runs, data_dir=data_dir, tell=lambda label: note(f"looking inside {label}"))
    for one in found:
        if isinstance(one, Undiagnosed):
            note(f"{one.label} cannot be looked into: {one.reason}")
    return found


@contextmanager
def followed(
    study: str, store: Store, listen: Callable[[StudyEvent], None], *, live: bool
) -> Iterator[Callable[[StudyEvent], None]]:
    """The listener; with `live` it also keeps the study's page up to date, and tells once where that is."""
    if not live:
        yield listen
        return

    def begun(page: Path) -> None:
        note(f"live report: {page}")

    def heard(progress: StudyEvent) -> None:
        listen(progress)
        write(progress)

    with live_report(study, store, begun=begun) as write:
        yield heard


def _test_images(comparison: Comparison, data_dir: Path | None) -> ImageData | None:
    recipes = [run.recipe for row in comparison.rows for run in row.runs]
    if len({(recipe.dataset, recipe.resize) for recipe in recipes}) != 1:
        return None
    first = recipes[0]
    try:
        return load_data(
            first.dataset, data_dir=data_dir, validation=first.validation, resize=first.resize, download=False
        ).test
    except ConvariumError:  # a report is drawn from records alone; images are a courtesy
        return None
