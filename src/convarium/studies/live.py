"""A study's page that follows its training without a server: the file is replaced as epochs and runs end.

The page is written where nothing is timed, between epochs and between runs, and costs a small share of the time.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from convarium.analysis.comparison import Comparison
from convarium.errors import StoreError
from convarium.pages import write_report
from convarium.pages.study_status import RunInProgress, StudyStatus, stopped_status
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store, StoredRun, StudyRecord
from convarium.studies.compare import DRAWN, compare_finished
from convarium.studies.events import StudyEvent

SHARE = 0.03
"""The share of the time since training began that writing the page may take."""
PAUSE = 5.0
"""The least seconds between two pages that differ in epochs alone; the end of a run does not wait."""
RELOAD = 15.0
"""Seconds after which an open page reloads; drawing it costs the machine that trains about a second."""


@contextlib.contextmanager
def live_report(
    name: str, store: Store, *, on_start: Callable[[Path], None] | None = None
) -> Iterator[Callable[[StudyEvent], None]]:
    """Gives an `on_event` for `run_study` that keeps the study's page up to date.

        with live_report(study.name, store) as on_event:
            run_study(study, resources, on_event=on_event)

    The page is `report.html` in the study's folder. It is first written when the first run begins, and not at all if
    the store has every run. While the study continues, an open page reloads by itself; afterwards, however the study
    ended, it does not.

    Args:
        name: the study's name.
        store: the store in which the study is carried out.
        on_start: called once, with the page's path.
    """
    page = _Page(name, store, on_start)
    try:
        yield page.on_event
    finally:
        if page.record:
            page.write(running=False)


@contextlib.contextmanager
def followed(
    name: str, store: Store, on_event: Callable[[StudyEvent], None], *, live: bool
) -> Iterator[Callable[[StudyEvent], None]]:
    """Gives an `on_event` that passes every event on and, if `live`, also keeps the study's page up to date.

    Args:
        name: the study's name.
        store: the store in which the study is carried out.
        on_event: called with every event first, and with a message that says where the page is.
        live: whether the page follows the training.
    """
    if not live:
        yield on_event
        return
    last: list[StudyEvent] = []

    def announce(page: Path) -> None:
        on_event(dataclasses.replace(last[0], begins=(), training=None, message=f"live report: {page}"))

    def pass_on(event: StudyEvent) -> None:
        last[:] = [event]
        on_event(event)
        update_page(event)

    with live_report(name, store, on_start=announce) as update_page:
        yield pass_on


class _Page:
    def __init__(self, name: str, store: Store, on_start: Callable[[Path], None] | None):
        self.name, self.store, self.on_start = name, store, on_start
        self.path = store.study_folder(name) / "report.html"
        self.record: StudyRecord | None = None
        self.finished: dict[str, StoredRun] = {}
        self.in_progress: dict[Recipe, RunInProgress] = {}
        self.started = self.last = self.spent = 0.0
        self.has_ended = False

    def on_event(self, event: StudyEvent) -> None:
        if event.finished:  # the page is written when the next run begins, which is at once
            self.finished[event.finished.key] = event.finished
            self.in_progress.pop(event.recipe, None)
            self.has_ended = True
            return
        if event.begins:
            self.in_progress |= {recipe: RunInProgress(recipe) for recipe in event.begins}
        elif event.training and event.training.history:  # not after a step, while an epoch is being timed
            self.in_progress[event.recipe] = RunInProgress(event.recipe, event.training.history)
        else:
            return
        if self.record is None:
            self._begin()
        elif self._is_due(time.monotonic()):
            self._write_timed()

    def write(self, *, running: bool) -> None:
        """Writes the page; neither a full disk nor a run that can no longer be read stops training."""
        assert self.record is not None
        restarted = self.in_progress if running else {}
        finished = {key: run for key, run in self.finished.items() if run.recipe not in restarted}
        runs = [finished[key] for key in self.record.keys if key in finished]
        with contextlib.suppress(OSError, StoreError):
            comparison = compare_finished(self.record, runs)
            write_report(comparison, self.path, status=self._status(comparison, running))

    def _begin(self) -> None:
        self.record = self.store.study(self.name)
        damaged: list[StoreError] = []  # they are reported and set aside when their turn comes
        stored = self.store.runs_of(self.record, files=DRAWN, damaged=damaged)
        self.finished = {run.key: run for run in stored} | self.finished
        self.write(running=True)
        self.started = self.last = time.monotonic()
        if self.on_start:
            self.on_start(self.path)

    def _is_due(self, now: float) -> bool:
        return self.spent <= SHARE * (now - self.started) and (self.has_ended or now - self.last >= PAUSE)

    def _write_timed(self) -> None:
        began = time.monotonic()
        self.write(running=True)
        self.has_ended = False
        self.last = time.monotonic()
        self.spent += self.last - began

    def _status(self, comparison: Comparison, running: bool) -> StudyStatus | None:
        assert self.record is not None
        planned = len(self.record.keys)
        if not running:
            return stopped_status(comparison, planned)
        finished = sum(len(row.runs) for row in comparison.rows)
        return StudyStatus(finished, planned, tuple(self.in_progress.values()), datetime.now().astimezone(), RELOAD)
