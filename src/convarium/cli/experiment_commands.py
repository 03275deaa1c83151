"""Commands that carry out whole studies: the built-in ones, a user's own, and the catalogue of published claims."""

import dataclasses
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console, RenderableType
from tyro.conf import Positional, arg

from convarium.analysis.comparison import as_json as comparison_as_json
from convarium.cli.options import DataFlag, DeviceFlag, JsonFlag, LiveFlag, StoreFlag
from convarium.cli.terminal import OUT, say, say_json, study_progress, table
from convarium.errors import ConvariumError
from convarium.pages import as_rich
from convarium.runs.store import Store
from convarium.workspace import Workspace

ExperimentArgument = Annotated[str, arg(metavar="EXPERIMENT")]
QuickFlag = Annotated[bool, arg(help="a reduced version within minutes: shows how it works, answers nothing")]
StackFlag = Annotated[
    bool, arg(help="train each network's seeds at the same time: side by side on a CPU, as one model on CUDA")
]

MARK = "[reduced] "
WIDTH = 160
"""Columns of a table where it is written into a file: there is no window that it must fit."""


def run(
    experiment: Positional[ExperimentArgument],
    *,
    seeds: int | None = None,
    tune: bool = False,
    quick: QuickFlag = False,
    stack: StackFlag = False,
    live: LiveFlag = False,
    store: StoreFlag = Path(),
    data_dir: DataFlag = None,
    device: DeviceFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """A study: a built-in one, or a Python file that defines `study`. Plan, runs, table, verdicts, report.

    Args:
        experiment: a name of `convarium list experiments`, or a file: my_study.py.
        seeds: runs of each row; none: as the study says.
        tune: first choose each network's learning rate on validation, with other seeds.
    """
    mark = MARK if quick else ""
    with study_progress(mark) as progress:
        result = Workspace(store, data_dir, device).run(
            experiment, seeds=seeds, tune=tune, quick=quick, stack=stack, live=live, on_event=progress
        )
    study, comparison, found, page = result.study, result.comparison, result.evidence, result.report
    rates = {str(tuned.value): tuned.learning_rate for tuned in result.tuned}
    if as_json:
        say_json(
            comparison_as_json(comparison)
            | {
                "study": study.name,
                "reduced": mark.strip() or None,
                "claims": {n: {"outcome": v.outcome, "sentence": v.sentence} for n, v in found.verdicts.items()},
                "tuned": rates,
                "panels": [dataclasses.asdict(panel) for panel in found.tables],
                "report": str(page),
            }
        )
        return
    tell = _speaker(mark)
    tell(as_rich(comparison))
    for panel in found.tables:
        tell(f"\n{panel.title}")
        tell(table(panel.columns, panel.rows, right=panel.columns[1:]))
    for name, verdict in found.verdicts.items():
        tell(f"{name}: {verdict.sentence} ({verdict.claim.source})")
    tell(f"study:  {study.name}\nreport: {page}")


def reproduce(
    claims: Positional[Annotated[tuple[str, ...], arg(metavar="CLAIM...")]] = (),
    *,
    quick: QuickFlag = False,
    stack: StackFlag = False,
    record: bool = False,
    page: bool = False,
    store: StoreFlag = Path(),
    data_dir: DataFlag = None,
    device: DeviceFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """The published claims: without a CLAIM the catalogue as measured, with one its runs and its verdict.

    Args:
        claims: names of the catalogue, studies, sources (mnist-report, uva), or all. Finished runs are kept.
        record: copy the store's studies into results/, without weights and predictions.
        page: write docs/reproductions.md from results/.
    """
    from convarium.studies.catalogue import as_json as finding_as_json
    from convarium.studies.catalogue import results_folder

    if record or page:
        if claims or quick:
            raise ConvariumError("--record and --page take no CLAIM and no --quick", hint="run the claims first")
        _keep(Store(store), Store(results_folder()), record=record, page=page)
        return
    mark = MARK if quick else ""
    with study_progress(mark) as progress:
        found = Workspace(store, data_dir, device).reproduce(*claims, quick=quick, stack=stack, on_event=progress)
    if as_json:
        say_json([finding_as_json(finding) | {"reduced": mark.strip() or None} for finding in found])
    elif claims or quick:
        tell = _speaker(mark)
        for finding in found:
            told = finding.verdict.sentence if finding.verdict else "not run yet"
            tell(f"{finding.entry.name}: {told} ({finding.entry.claim.source})")
            if finding.verdict and finding.verdict.outcome == "refuted" and finding.entry.reason:
                tell(f"    why it may be: {finding.entry.reason}")
    else:
        say("\n".join(_lines(_listing(found), OUT.width)))
    for finding in found:
        if finding.error is not None:
            raise finding.error


def _keep(kept: Store, results: Store, *, record: bool, page: bool) -> None:
    from convarium.studies.builtin import EXPERIMENTS
    from convarium.studies.catalogue import export_study
    from convarium.studies.reproductions_page import page as as_page

    names = [study.name for study in EXPERIMENTS.values() if record and kept.find_study(study.name) is not None]
    if record and not names:
        raise ConvariumError(f"{kept.root} holds none of the built-in studies", hint="name their --store")
    for name in names:
        say(f"{name}: {export_study(name, kept, results)} runs in {results.root}")
    if page:
        path = results.root.parent / "docs" / "reproductions.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_page(results), "utf-8")
        say(str(path))


def _listing(found: tuple[Any, ...]) -> RenderableType:
    from convarium.analysis.claims import measured, published
    from convarium.studies.catalogue import tag
    from convarium.studies.reproductions_page import cost

    columns = ("claim", "source", "published", "measured", "n", "verdict", "cost")
    rows = [
        (
            finding.entry.name,
            tag(finding.entry.claim),
            published(finding.entry.claim),
            measured(finding.verdict),
            finding.verdict.n if finding.verdict else 0,
            finding.verdict.outcome if finding.verdict else "not run yet",
            cost(finding),
        )
        for finding in found
    ]
    return table(columns, rows, right=("published", "measured", "n"))


def _speaker(mark: str) -> Callable[[str | RenderableType], None]:
    """`say`, with a mark before every line."""

    def tell(text: str | RenderableType) -> None:
        if not mark:
            say(text)
            return
        lines = text.splitlines() or [""] if isinstance(text, str) else _lines(text, OUT.width - len(mark))
        for line in lines:
            sys.stdout.write(f"{mark}{line}\n")

    return tell


def _lines(drawing: RenderableType, width: int) -> list[str]:
    """A table as lines of text, as wide as the window, or where there is none as wide as it needs."""
    console = Console(file=io.StringIO(), width=width if OUT.is_terminal else WIDTH, highlight=False)
    with console.capture() as captured:
        console.print(drawing)
    return [line.rstrip() for line in captured.get().splitlines()]


def experiments() -> list[dict[str, object]]:
    """The built-in studies for `convarium list`."""
    from convarium.studies.builtin import EXPERIMENTS

    rows = EXPERIMENTS.items()
    return [{"experiment": name, "runs": len(study.recipes), "question": study.question} for name, study in rows]
