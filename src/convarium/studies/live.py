"""A study's page that follows its training: rewritten whole as epochs and runs end, and without a server.

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
from convarium.studies.run import StudyEvent
from convarium.studies.study import compare_finished

SHARE = 0.03
"""Of the time since training began that writing may take."""
PAUSE = 5.0
"""Seconds between two pages that differ in epochs alone; the end of a run need not wait."""
RELOAD = 15.0
"""Seconds between two looks of an open page: drawing it costs a second or so of the machine that trains."""


@contextlib.contextmanager
def live_report(
    name: str, store: Store, *, begun: Callable[[Path], None] | None = None
) -> Iterator[Callable[[StudyEvent], None]]:
    """A listener for `run_study` that keeps the study's page up to date.

        with live_report(study.name, store) as on_event:
            run_study(study, resources, on_event=on_event)

    The page is `report.html` in the study's folder. It is first written when the first run begins, so not at all where
    the store has every run. While the study goes on, an open page looks for news by itself; afterwards, however it
    ended, it does not.

    Args:
        name: of the study.
        store: where it is carried out.
        begun: told where the page is, once.
    """
    page = _Page(name, store, begun)
    try:
        yield page.heard
    finally:
        if page.record:
            page.write(under_way=False)


@contextlib.contextmanager
def followed(
    name: str, store: Store, on_event: Callable[[StudyEvent], None], *, live: bool
) -> Iterator[Callable[[StudyEvent], None]]:
    """The listener; if `live`, it also keeps the study's page up to date, and says once where that is.

    Args:
        name: of the study.
        store: where it is carried out.
        on_event: called with every event first.
        live: whether the page follows the training.
    """
    if not live:
        yield on_event
        return
    last: list[StudyEvent] = []

    def begun(page: Path) -> None:
        on_event(dataclasses.replace(last[0], begins=(), training=None, message=f"live report: {page}"))

    def heard(event: StudyEvent) -> None:
        last[:] = [event]
        on_event(event)
        write(event)

    with live_report(name, store, begun=begun) as write:
        yield heard


class _Page:
    def __init__(self, name: str, store: Store, begun: Callable[[Path], None] | None):
        self.name, self.store, self.begun = name, store, begun
        self.path = store.root / "studies" / name / "report.html"
        self.record: StudyRecord | None = None
        self.finished: dict[str, StoredRun] = {}
        self.underway: dict[Recipe, RunInProgress] = {}
        self.started = self.last = self.spent = 0.0
        self.has_ended = False

    def heard(self, progress: StudyEvent) -> None:
        if progress.finished:  # written when the next one begins, which is at once
            self.finished[progress.finished.key] = progress.finished
            self.underway.pop(progress.recipe, None)
            self.has_ended = True
            return
        if progress.begins:
            self.underway = {recipe: RunInProgress(recipe) for recipe in progress.begins}
        elif progress.training and progress.training.history:  # no step: the clock of an epoch runs
            self.underway[progress.recipe] = RunInProgress(progress.recipe, progress.training.history)
        else:
            return
        if self.record is None:
            self._begin()
        elif self._is_due(time.monotonic()):
            self._write_timed()

    def write(self, *, under_way: bool) -> None:
        """Writes the page as things stand; a page that cannot be written now is no reason to stop training."""
        assert self.record is not None
        retried = self.underway if under_way else {}
        here = {key: run for key, run in self.finished.items() if run.recipe not in retried}
        runs = [here[key] for key in self.record.keys if key in here]
        comparison = compare_finished(self.record, runs)
        with contextlib.suppress(OSError):
            write_report(comparison, self.path, status=self._status(comparison, under_way))

    def _begin(self) -> None:
        self.record = self.store.study(self.name)
        with contextlib.suppress(StoreError):  # a damaged run is set aside, and told of, when its turn comes
            self.finished = {run.key: run for run in self.store.runs_of(self.record)} | self.finished
        self.write(under_way=True)
        self.started = self.last = time.monotonic()
        if self.begun:
            self.begun(self.path)

    def _is_due(self, now: float) -> bool:
        return self.spent <= SHARE * (now - self.started) and (self.has_ended or now - self.last >= PAUSE)

    def _write_timed(self) -> None:
        began = time.monotonic()
        self.write(under_way=True)
        self.has_ended = False
        self.last = time.monotonic()
        self.spent += self.last - began

    def _status(self, comparison: Comparison, under_way: bool) -> StudyStatus | None:
        assert self.record is not None
        planned = len(self.record.keys)
        if not under_way:
            return stopped_status(comparison, planned)
        finished = sum(len(row.runs) for row in comparison.rows)
        return StudyStatus(finished, planned, tuple(self.underway.values()), datetime.now().astimezone(), RELOAD)
