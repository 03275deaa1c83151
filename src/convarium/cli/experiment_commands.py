"""Commands that carry out whole studies: the built-in ones, a user's own, and the catalogue of published claims."""

import dataclasses
import io
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console, RenderableType
from tyro.conf import Positional, arg

from convarium.analysis.comparison import as_json as comparison_as_json
from convarium.cli.options import DataFlag, DeviceFlag, JsonFlag, LiveFlag, StoreFlag
from convarium.cli.pages import followed, write_page
from convarium.cli.terminal import OUT, note, say, say_json, study_progress, table
from convarium.errors import ConvariumError
from convarium.pages import as_rich
from convarium.runs.store import Store
from convarium.studies.plan import plan_study, reduced, reseeded, tell_plan, tell_reduction
from convarium.studies.run import run as run_study

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
    from convarium.studies.finding import find_study
    from convarium.studies.panels import evidence, panels
    from convarium.studies.tuning import tune as tune_study

    study = find_study(experiment)
    command = study.command or f"convarium run {shlex.quote(experiment)}"
    study = dataclasses.replace(study, command=command + (f" --seeds {seeds}" if seeds is not None else ""))
    study = reduced(study) if quick else study
    study = study if seeds is None else reseeded(study, seeds)
    mark = MARK if quick else ""
    if quick:
        note(mark + tell_reduction(study))
    kept, rates = Store(store), dict[str, float]()
    with study_progress(mark) as progress:
        if tune:
            study, tuned = tune_study(study, kept, device=device, data_dir=data_dir, on_event=progress)
            rates = {str(found.value): found.learning_rate for found in tuned}
            for name, rate in rates.items():
                note(f"{mark}{name}: learning rate {rate:g}, by validation")
        note(mark + tell_plan(plan_study(study, kept, device=device, data_dir=data_dir)))
        with followed(study.name, kept, progress, live=live) as listen:
            comparison = run_study(study, kept, stack=stack, device=device, data_dir=data_dir, on_event=listen)
    found = evidence(study, comparison, panels(study, comparison, data_dir=data_dir))
    page = write_page(comparison, study.name, kept, data_dir=data_dir, evidence=found)
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
    from convarium.studies.catalogue import catalogue, findings, results_folder, select

    entries = catalogue()
    kept, results = Store(store), Store(results_folder())
    mark = ""
    if record or page:
        if claims or quick:
            raise ConvariumError("--record and --page take no CLAIM and no --quick", hint="run the claims first")
        _keep(kept, results, record=record, page=page)
        return
    chosen = select(claims or ("all",), entries)
    if quick:
        chosen = tuple(dataclasses.replace(entry, study=reduced(entry.study)) for entry in chosen)
        mark = MARK
        note(mark + tell_reduction(chosen[0].study))
    failures: list[ConvariumError] = []
    if claims or quick:
        failures = _run_all(chosen, kept, mark, data_dir, device, stack)
    found = findings(chosen, [kept] if claims or quick else [kept, results])
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
    if failures:
        raise failures[0]


def _run_all(
    chosen: tuple[Any, ...], kept: Store, mark: str, data_dir: Path | None, device: str | None, stack: bool
) -> list[ConvariumError]:
    """Runs the rows that the claims speak of, study by study; one that cannot be run does not keep back the others."""
    from convarium.studies.catalogue import needed

    failures: list[ConvariumError] = []
    for study, values in needed(chosen):
        try:
            plan = plan_study(study, kept, only=values, device=device, data_dir=data_dir)
            note(f"{mark}{study.name}: {tell_plan(plan)}")
            with study_progress(mark) as progress:
                run_study(study, kept, only=values, stack=stack, device=device, data_dir=data_dir, on_event=progress)
        except ConvariumError as error:
            note(f"{mark}{study.name}: {error}")
            failures.append(error)
    return failures


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
