"""The page of a study: its comparison, its claims, its tables and, where the data set is at hand, its test images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from convarium.analysis.comparison import Comparison
from convarium.diagnostics import Diagnoses, MissingDiagnosis
from convarium.errors import ConvariumError
from convarium.pages import write_report
from convarium.pages.claims_section import ClaimsSection
from convarium.pages.disagreements import TestImages
from convarium.pages.study_status import stopped_status
from convarium.runs.store import Store
from convarium.runs.timings import read_timings
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.resources import Resources
from convarium.studies.tables import claims_section, study_tables


def write_study_report(
    comparison: Comparison,
    name: str,
    resources: Resources,
    *,
    out: Path | None = None,
    diagnoses: Diagnoses = (),
    claims: ClaimsSection | None = None,
) -> Path:
    """Writes a study's page. It shows the images on which networks differ if the data set is on this machine.

    Args:
        comparison: the comparison of the study's finished runs.
        name: the study's name.
        resources: the store that holds the study, and the data sets.
        out: the file; None: report.html in the study's folder.
        diagnoses: from `diagnose_rows`; without them the page has no such section.
        claims: the study's verdicts and tables; None: those of the built-in study of that name, from its records.

    Returns:
        The page's path.
    """
    store = resources.store
    return write_report(
        comparison,
        out or store.study_folder(name) / "report.html",
        test_images=scored_images(comparison, resources),
        status=stopped_status(comparison, len(store.study(name).keys)),
        diagnoses=diagnoses,
        claims=_built_in(comparison, name, store) if claims is None else claims,
    )


def diagnose_rows(
    comparison: Comparison, resources: Resources, *, on_event: Callable[[str], None] | None = None
) -> Diagnoses:
    """The diagnostics of every network of a comparison.

    Args:
        comparison: of runs that have their weights.
        resources: the data sets, none of which is downloaded, and the device.
        on_event: called with a sentence before each network, and for each that cannot be diagnosed.
    """
    # These import PyTorch, which a page without diagnostics does not need.
    from convarium.diagnostics import diagnose
    from convarium.training.scoring import pick_device

    notify = on_event or (lambda _: None)
    runs = {row.label: row.runs for row in comparison.rows}
    diagnoses = diagnose(
        runs,
        lambda recipe: resources.splits(recipe, download=False),
        device=pick_device(resources.device),
        on_event=lambda label: notify(f"diagnosing {label}"),
    )
    for diagnosis in diagnoses:
        if isinstance(diagnosis, MissingDiagnosis):
            notify(f"{diagnosis.label} has no diagnostics: {diagnosis.reason}")
    return diagnoses


def _built_in(comparison: Comparison, name: str, store: Store) -> ClaimsSection | None:
    study = EXPERIMENTS.get(name)
    if study is None:
        return None
    return claims_section(study, comparison, study_tables(study, comparison), read_timings([store.root], name))


def scored_images(comparison: Comparison, resources: Resources) -> TestImages | None:
    """The images and labels that the runs were scored on; None if they differ between runs or are not available.

    A data set of this name on this machine may be another one than where the runs were made: its labels are compared.
    """
    runs = [run for row in comparison.rows for run in row.runs]
    if len({(run.recipe.dataset, run.recipe.resize) for run in runs}) != 1:
        return None
    try:
        images = resources.test_images(runs[0])
    except ConvariumError:  # A page is drawn from records alone; the images are an addition.
        return None
    stored = next((pair for row in comparison.rows for run in row.runs if (pair := run.predictions())), None)
    return images if images is None or stored is None or np.array_equal(images[1], stored[1]) else None
