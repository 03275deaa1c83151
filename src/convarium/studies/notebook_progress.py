"""How training goes in a notebook: one display that is replaced, with the latest messages and a bar."""

from convarium.notebook import MOST_SENTENCES, UpdatedDisplay
from convarium.recipes.recipe import Recipe
from convarium.studies.events import StudyEvent
from convarium.studies.progress_lines import run_name, scores
from convarium.studies.time_left import TimeLeft, share_trained


class NotebookProgress:
    """Makes a study's events into one display that is replaced as training goes on: the latest messages and a bar.

        5 runs; about 20 s to go; kernels 9.
        ▬▬▬▬▬──  run 2/5  resnet seed 0  epoch 2/3  loss 1.92  validation 31.0 %  about 12 s left

    Args:
        display: where it is shown.
    """

    def __init__(self, display: UpdatedDisplay | None = None) -> None:
        self._display = display or UpdatedDisplay()
        self._time_left = TimeLeft()
        self._messages: list[str] = []
        self._scores: dict[Recipe, list[str]] = {}
        self._shares: dict[Recipe, float] = {}  # of the steps of each run in training that are done
        self._failed = 0
        self._display.show(["preparing …"])

    def on_event(self, event: StudyEvent) -> None:
        """Takes an event, and shows it if enough time has passed or it must not be missed."""
        is_due = self._display.is_due()
        if event.training and not event.training.history and not event.notice and not is_due:
            return  # one of thousands of steps
        self._time_left.on_event(event)
        told = [event.message] if event.message else []
        told += [f"note: {event.notice}"] if event.notice else []
        self._messages = [*self._messages, *told][-MOST_SENTENCES:]
        ends = self._take(event)
        if told or (ends and event.number == event.total) or is_due:
            line, share = self._reading(event) if event.reading else self._training(event)
            self._display.show([*self._messages, line], share)

    def _take(self, event: StudyEvent) -> bool:
        """Remembers what an event tells of a run that later ones do not; whether the run's training ends with it."""
        training, recipe = event.training, event.recipe
        if event.finished:
            outcome = event.finished.outcome
            self._failed += event.trained_now and (outcome.status != "finished" or bool(outcome.is_at_chance))
            self._shares.pop(recipe, None)
            self._scores.pop(recipe, None)
            return True
        if training is None:
            return False
        self._shares[recipe] = share_trained(event)
        if training.history:
            self._scores[recipe] = scores(training.history[-1])
        return bool(training.history) and training.epoch == training.epochs

    def _reading(self, event: StudyEvent) -> tuple[str, float | None]:
        assert event.reading is not None
        what, done, total = event.reading
        return f"reading {what}", done / total if total else None

    def _training(self, event: StudyEvent) -> tuple[str, float | None]:
        failed = f"{self._failed} failed" if self._failed else ""
        if event.finished and event.total <= 1:
            return f"{run_name(event.recipe)}  {event.finished.outcome.sentence}", 1.0
        if event.finished:
            parts = [f"{event.number} of {event.total} runs finished", failed]
            return "  ".join(filter(None, parts)), event.number / event.total
        run = f"run {event.number}/{event.total}" if event.number and event.total > 1 else ""
        share = (max(event.number - 1, 0) + sum(self._shares.values())) / max(event.total, 1)
        training = event.training
        if training is None:
            return run, min(share, 1.0)
        epoch = f"epoch {training.epoch + (training.history is None)}/{training.epochs}"
        left = self._time_left.text() if share < 1 else ""
        parts = [run, run_name(event.recipe), epoch, *self._scores.get(event.recipe, ()), left, failed]
        return "  ".join(filter(None, parts)), min(share, 1.0)
