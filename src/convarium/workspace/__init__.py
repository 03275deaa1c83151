"""One front door: everything that the command line does, for notebooks and scripts, with one call a task.

    import convarium

    result = convarium.compare(["lenet", "residual_cnn"], dataset="digits", seeds=5)
    result.comparison.frame()           # the table, as pandas has it
    result.report                       # the page

Each function of this module is a method of `Workspace` with `store=`, `data_dir=` and `device=` beside it. Use a
`Workspace` of your own for several calls: it loads each data set once and reads each run once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from convarium.runs.store import StoredRun
from convarium.workspace.arguments import compared_recipes, image_of, planned_recipe
from convarium.workspace.execution import Workers
from convarium.workspace.outputs import ReportFiles, StudyResult
from convarium.workspace.workspace import Split, Workspace

if TYPE_CHECKING:
    from convarium.analysis.comparison import Comparison
    from convarium.analysis.recommendation import Recommendation
    from convarium.inference import TrainedNetwork
    from convarium.inference.export import Exported
    from convarium.inference.export_formats import Format
    from convarium.inference.playground import Playground
    from convarium.inference.playground.words import Language
    from convarium.inference.predict import Predictions
    from convarium.recipes.recipe import Recipe
    from convarium.records import Description, Scores
    from convarium.runs.listing import RunEntry
    from convarium.runs.merging import Merge
    from convarium.runs.removal import Removal
    from convarium.studies.catalogue import Finding
    from convarium.studies.events import StudyEvent
    from convarium.studies.plan_sentence import Plan
    from convarium.studies.study import Study
    from convarium.training.engines import Engine

    OnEvent = Callable[[StudyEvent], None]

__all__ = [
    "ReportFiles",
    "StudyResult",
    "Workspace",
    "compare",
    "compared_recipes",
    "describe",
    "evaluate",
    "export",
    "find_run",
    "image_of",
    "list_runs",
    "load_run",
    "merge",
    "plan",
    "planned_recipe",
    "play",
    "predict",
    "recommend",
    "remove",
    "report",
    "reproduce",
    "results",
    "run",
    "train",
]


_Function = TypeVar("_Function", bound=Callable[..., object])


def _documented(function: _Function) -> _Function:
    """Gives a function of this module the docstring of the `Workspace` method of its name, for `help`."""
    text = inspect.getdoc(getattr(Workspace, function.__name__))
    function.__doc__ = f"{text}\n\nThe arguments store, data_dir and device are those of `Workspace`."
    return function


@_documented
def train(
    model: str | Recipe,
    *,
    preset: str | None = None,
    exact: bool = False,
    minutes: float | None = None,
    keep_weights: int | None = None,
    engine: Engine = None,
    on_event: OnEvent | None = None,
    progress: bool | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
    device: str | None = None,
    **fields: Any,
) -> StoredRun:
    """See `Workspace.train`."""
    return Workspace(store, data_dir, device).train(
        model,
        preset=preset,
        exact=exact,
        minutes=minutes,
        keep_weights=keep_weights,
        engine=engine,
        on_event=on_event,
        progress=progress,
        **fields,
    )


@_documented
def compare(
    models: Sequence[str],
    *,
    seeds: int = 5,
    preset: str | None = None,
    baseline: str | None = None,
    name: str | None = None,
    tune: bool = False,
    stack: bool = False,
    live: bool = False,
    workers: Workers = None,
    executor: str | None = None,
    address: str | None = None,
    cpus_per_run: float | None = None,
    gpus_per_run: float | None = None,
    minutes: float | None = None,
    keep_weights: int | None = None,
    engine: Engine = None,
    exact: bool = False,
    on_event: OnEvent | None = None,
    progress: bool | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
    device: str | None = None,
    **fields: Any,
) -> StudyResult:
    """See `Workspace.compare`."""
    return Workspace(store, data_dir, device).compare(
        models,
        seeds=seeds,
        preset=preset,
        baseline=baseline,
        name=name,
        tune=tune,
        stack=stack,
        live=live,
        workers=workers,
        executor=executor,
        address=address,
        cpus_per_run=cpus_per_run,
        gpus_per_run=gpus_per_run,
        minutes=minutes,
        keep_weights=keep_weights,
        engine=engine,
        exact=exact,
        on_event=on_event,
        progress=progress,
        **fields,
    )


@_documented
def recommend(
    models: Sequence[str] = (),
    *,
    budget: str | float = "10m",
    seeds: int = 5,
    name: str | None = None,
    workers: Workers = None,
    minutes: float | None = None,
    exact: bool = False,
    on_event: OnEvent | None = None,
    progress: bool | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
    device: str | None = None,
    **fields: Any,
) -> Recommendation:
    """See `Workspace.recommend`."""
    return Workspace(store, data_dir, device).recommend(
        models,
        budget=budget,
        seeds=seeds,
        name=name,
        workers=workers,
        minutes=minutes,
        exact=exact,
        on_event=on_event,
        progress=progress,
        **fields,
    )


@_documented
def run(
    study: Study | Path | str,
    *,
    seeds: int | None = None,
    tune: bool = False,
    quick: bool = False,
    stack: bool = False,
    live: bool = False,
    workers: Workers = None,
    executor: str | None = None,
    address: str | None = None,
    cpus_per_run: float | None = None,
    gpus_per_run: float | None = None,
    minutes: float | None = None,
    keep_weights: int | None = None,
    engine: Engine = None,
    exact: bool = False,
    on_event: OnEvent | None = None,
    progress: bool | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
    device: str | None = None,
) -> StudyResult:
    """See `Workspace.run`."""
    return Workspace(store, data_dir, device).run(
        study,
        seeds=seeds,
        tune=tune,
        quick=quick,
        stack=stack,
        live=live,
        workers=workers,
        executor=executor,
        address=address,
        cpus_per_run=cpus_per_run,
        gpus_per_run=gpus_per_run,
        minutes=minutes,
        keep_weights=keep_weights,
        engine=engine,
        exact=exact,
        on_event=on_event,
        progress=progress,
    )


@_documented
def plan(
    study: Study | Path | str,
    *,
    seeds: int | None = None,
    quick: bool = False,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
    device: str | None = None,
) -> Plan:
    """See `Workspace.plan`."""
    return Workspace(store, data_dir, device).plan(study, seeds=seeds, quick=quick)


@_documented
def results(study: str, *, store: Path | str = ".") -> Comparison:
    """See `Workspace.results`."""
    return Workspace(store).results(study)


@_documented
def report(
    study: str,
    *,
    out: Path | str | None = None,
    figures: Path | str | None = None,
    panel: str | None = None,
    width: str | float | None = None,
    diagnostics: bool = False,
    on_event: Callable[[str], None] | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
) -> ReportFiles:
    """See `Workspace.report`."""
    return Workspace(store, data_dir).report(
        study, out=out, figures=figures, panel=panel, width=width, diagnostics=diagnostics, on_event=on_event
    )


@_documented
def play(
    study: str,
    *,
    out: Path | str | None = None,
    seeds: int = 1,
    all_networks: bool = False,
    float32: bool = False,
    epochs: bool = False,
    title: str | None = None,
    hide_names: bool = False,
    quiz: bool = False,
    language: Language = "en",
    on_note: Callable[[str], None] | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
) -> Playground:
    """See `Workspace.play`."""
    return Workspace(store, data_dir).play(
        study,
        out=out,
        seeds=seeds,
        all_networks=all_networks,
        float32=float32,
        epochs=epochs,
        title=title,
        hide_names=hide_names,
        quiz=quiz,
        language=language,
        on_note=on_note,
    )


@_documented
def evaluate(
    run: str | None = None,
    *,
    weights: Path | str | None = None,
    model: str | None = None,
    dataset: str | None = None,
    split: Split | None = None,
    skip_broken: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_event: Callable[[str, int, int], None] | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
    device: str | None = None,
) -> Scores:
    """See `Workspace.evaluate`."""
    return Workspace(store, data_dir, device).evaluate(
        run,
        weights=weights,
        model=model,
        dataset=dataset,
        split=split,
        skip_broken=skip_broken,
        on_note=on_note,
        on_event=on_event,
    )


@_documented
def predict(
    run: str | None,
    images: Path | str | Sequence[Path | str],
    *,
    weights: Path | str | None = None,
    ensemble: str | None = None,
    model: str | None = None,
    dataset: str | None = None,
    unknown: bool = False,
    coverage: float = 0.95,
    on_event: Callable[[str, int, int], None] | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
    device: str | None = None,
) -> Predictions:
    """See `Workspace.predict`."""
    return Workspace(store, data_dir, device).predict(
        run,
        images,
        weights=weights,
        ensemble=ensemble,
        model=model,
        dataset=dataset,
        unknown=unknown,
        coverage=coverage,
        on_event=on_event,
    )


@_documented
def export(
    run: str | None = None,
    *,
    weights: Path | str | None = None,
    model: str | None = None,
    dataset: str | None = None,
    format: Format = "onnx",  # noqa: A002
    out: Path | str | None = None,
    int8: bool = False,
    on_note: Callable[[str], None] | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
) -> Exported:
    """See `Workspace.export`."""
    return Workspace(store, data_dir).export(
        run, weights=weights, model=model, dataset=dataset, format=format, out=out, int8=int8, on_note=on_note
    )


@_documented
def reproduce(
    *claims: str,
    quick: bool = False,
    stack: bool = False,
    workers: Workers = None,
    executor: str | None = None,
    address: str | None = None,
    cpus_per_run: float | None = None,
    gpus_per_run: float | None = None,
    minutes: float | None = None,
    exact: bool = False,
    on_event: OnEvent | None = None,
    progress: bool | None = None,
    store: Path | str = ".",
    data_dir: Path | str | None = None,
    device: str | None = None,
) -> tuple[Finding, ...]:
    """See `Workspace.reproduce`."""
    return Workspace(store, data_dir, device).reproduce(
        *claims,
        quick=quick,
        stack=stack,
        workers=workers,
        executor=executor,
        address=address,
        cpus_per_run=cpus_per_run,
        gpus_per_run=gpus_per_run,
        minutes=minutes,
        exact=exact,
        on_event=on_event,
        progress=progress,
    )


@_documented
def load_run(
    name: str, *, model: str | None = None, store: Path | str = ".", device: str | None = None
) -> TrainedNetwork:
    """See `Workspace.load_run`."""
    return Workspace(store, device=device).load_run(name, model=model)


@_documented
def find_run(name: str, *, store: Path | str = ".") -> StoredRun:
    """See `Workspace.find_run`."""
    return Workspace(store).find_run(name)


@_documented
def list_runs(*, store: Path | str = ".") -> list[RunEntry]:
    """See `Workspace.list_runs`."""
    return Workspace(store).list_runs()


@_documented
def remove(*names: str, store: Path | str = ".") -> Removal:
    """See `Workspace.remove`."""
    return Workspace(store).remove(*names)


@_documented
def merge(*stores: Path | str, store: Path | str = ".") -> Merge:
    """See `Workspace.merge`."""
    return Workspace(store).merge(*stores)


@_documented
def describe(model: str, *, dataset: str | None = None, resize: int | None = None) -> Description:
    """See `Workspace.describe`."""
    return Workspace().describe(model, dataset=dataset, resize=resize)
