"""Who trains, and for how long: from the arguments of the verbs that train to the resources of a study."""

from __future__ import annotations

import dataclasses
import errno
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convarium.disk import usable_path
from convarium.errors import RecipeError
from convarium.runs.store import Store
from convarium.workspace.arguments import message_event
from convarium.workspace.outputs import StudyResult

if TYPE_CHECKING:
    from convarium.studies.events import StudyEvent
    from convarium.studies.resources import Resources
    from convarium.studies.study import Study
    from convarium.studies.tuning import Tuned
    from convarium.training.engines import Engine, LightningEngine

    OnEvent = Callable[[StudyEvent], None]

Workers = int | Literal["auto"] | None


def check_minutes(minutes: float | None) -> None:
    """Refuses a time in which nothing can be trained.

    Raises:
        RecipeError: it is not above 0, or not finite.
    """
    if minutes is not None and not (minutes > 0 and math.isfinite(minutes)):
        raise RecipeError("minutes is out of range", expected="more than 0", received=minutes)


@contextmanager
def training(
    resources: Resources,
    *,
    exact: bool,
    runs: int,
    workers: Workers = None,
    minutes: float | None = None,
    keep_weights: int | None = None,
    engine: Engine = None,
    stack: bool = False,
    executor: str | None = None,
    address: str | None = None,
    cpus_per_run: float | None = None,
    gpus_per_run: float | None = None,
) -> Iterator[Resources]:
    """Gives the resources with which a verb trains, and ends its worker processes afterwards.

    Args:
        resources: the store, the data sets and the device.
        exact: as in `Resources`.
        runs: how many there are to train, those included that the store has.
        workers: see `count_workers`.
        executor: "ray", or None for processes on this machine.
        address, cpus_per_run, gpus_per_run: of the Ray cluster and the runs on it, see `RayWorkers`.
        minutes: from now, after which training ends with checkpoints; None: it is not limited.
        keep_weights: as in `Resources`.
        engine: what carries the steps of a run out, see `chosen_engine`.
        stack: whether runs are to train as one model, which only the native loop does.

    Raises:
        RecipeError: a number of workers, minutes or epochs that cannot be, or an argument that the executor does not
            take, or Lightning with workers, stacks or Ray.
        ConvariumError: Ray is not installed.
        RunError: there is no Ray cluster at the address.
    """
    from convarium.studies.executors.local_workers import LocalWorkers, count_workers
    from convarium.training.engines import chosen_engine, is_other_node
    from convarium.training.lightning_nodes import ending_nodes
    from convarium.training.scoring import pick_device

    chosen = chosen_engine(engine, {})
    if chosen and (stack or executor or workers is not None):
        hint = f"leave out {'--stack' if stack else '--executor' if executor else '--workers'}, or --engine lightning"
        raise RecipeError("Lightning trains one run at a time, on all of its devices", hint=hint)
    check_minutes(minutes)
    if keep_weights is not None and (type(keep_weights) is not int or keep_weights < 1):
        raise RecipeError("keep_weights is out of range", expected="1 or more epochs", received=keep_weights)
    if executor not in (None, "ray"):
        raise RecipeError(f"unknown executor {executor!r}", hint="use ray, or none for this machine alone")
    of_ray = {"address": address, "cpus_per_run": cpus_per_run, "gpus_per_run": gpus_per_run}
    given = [name for name, value in of_ray.items() if value is not None]
    if executor is None and given:
        raise RecipeError(f"{' and '.join(given)} take executor='ray'", hint="on the command line, --executor ray")
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    resources = dataclasses.replace(resources, exact=exact, deadline=deadline, engine=chosen, keep_weights=keep_weights)
    if executor == "ray":
        from convarium.studies.executors.ray_workers import RayWorkers

        cpus, gpus = 1.0 if cpus_per_run is None else cpus_per_run, gpus_per_run
        with RayWorkers(address, cpus=cpus, gpus=gpus, device=resources.device, limit=workers) as ray_workers:
            yield dataclasses.replace(resources, executor=ray_workers)
        return
    device = pick_device(resources.device)
    if is_other_node(chosen):
        hint = "convarium.workspace.execution.serve_first_machine, which the command line calls here"
        raise RecipeError("this machine is not the first of several, and only serves it", hint=hint)
    number = count_workers(workers, device, runs=runs)
    if number is None:
        with ending_nodes(chosen.nodes if chosen else 1):
            yield resources
        return
    with LocalWorkers(number, device) as local_workers:
        yield dataclasses.replace(resources, executor=local_workers)


def serve_first_machine(engine: LightningEngine, data_dir: Path | str | None = None, device: str | None = None) -> None:
    """Trains on this machine's devices what the first of several machines says, until it has trained all.

    Args:
        engine: the same as there.
        data_dir: a data folder that is searched before all others.
        device: of which kind the devices are; None: CUDA if it is here, else the CPU.

    Raises:
        RunError: the first machine does not answer, has other data, or has not trained all.
        TimeLimitError: the time limit of the first machine is reached.
    """
    from convarium.studies.resources import Resources
    from convarium.training.lightning_nodes import serve_node
    from convarium.training.scoring import pick_device

    folder = None if data_dir is None else usable_path(data_dir, "data_dir")
    serve_node(engine, Resources(Store(Path()), folder, device).splits, device=pick_device(device))


def carry_out_study(
    study: Study,
    resources: Resources,
    *,
    stack: bool,
    live: bool,
    on_event: OnEvent | None,
    tune: bool = False,
    is_timed: bool = True,
) -> StudyResult:
    """Carries out a study: plan, runs, table, verdicts, report.

    Args:
        study: the question.
        resources: from `training`.
        stack, live, on_event, tune: as for `Workspace.run`.
        is_timed: whether the networks of claims of speed take turns after the runs.
    """
    from convarium.studies.events import StudyEvent
    from convarium.studies.live import followed
    from convarium.studies.plan import plan_study, prepare_study
    from convarium.studies.plan_sentence import describe_plan
    from convarium.studies.report import write_study_report
    from convarium.studies.run import run_prepared
    from convarium.studies.tables import claims_section, study_tables
    from convarium.studies.timing_in_turns import time_study
    from convarium.studies.tuning import tune as tune_study

    notify = on_event or (lambda _: None)
    tuned: tuple[Tuned, ...] = ()
    if tune:
        study, tuned = tune_study(study, dataclasses.replace(resources, keep_weights=None), on_event=on_event)
        for choice in tuned:
            notify(message_event(study, f"{choice.value}: learning rate {choice.learning_rate:g}, by validation"))
    prepared = prepare_study(study, resources, on_event=on_event)
    study = prepared.study
    plan = plan_study(prepared, resources, on_event=on_event)
    notify(dataclasses.replace(message_event(study, describe_plan(plan)), expected=plan.expected))
    with followed(study.name, resources.store, notify, live=live) as notify_all:
        comparison = run_prepared(prepared, resources, stack=stack, on_event=notify_all)
    timings = time_study(study, resources, on_event=notify) if is_timed else ()
    claims = claims_section(study, comparison, study_tables(study, comparison, resources=resources), timings)
    try:
        page = write_study_report(comparison, study.name, resources, claims=claims)
    except OSError as error:
        page = resources.store.root / "studies" / study.name / "report.html"
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not page.exists():
            raise
        notice = f"the report stays as it was, since it may not be written to: {error.strerror}"
        notify(StudyEvent(0, len(study.recipes), study.recipes[0], notice=notice))
    return StudyResult(study, comparison, claims, page, tuned)
