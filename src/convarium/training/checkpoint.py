"""`last.ckpt`: the state of an unfinished run after any of its steps, as safetensors, so that loading it runs no code.

It has a digest of all that it holds, and it names its run and the environments in which the run was trained so far. A
run may go on in another one, for example with another number of threads; its record then says so.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from convarium.disk import canonical_json, parts_digest
from convarium.errors import RunError
from convarium.runs.environment import environment_changes, synchronize
from convarium.runs.files import remove_epoch_weights, write_tensors
from convarium.runs.json_forms import environment_from_json
from convarium.training.checkpoint_content import check_content, gather_content
from convarium.training.recording import contiguous_copy, recorded_so_far
from convarium.training.state import TrainingEvent
from convarium.training.stopping import TrainingStoppedError
from convarium.training.timing import Stopwatch
from convarium.training.trainer import Trainer

FORMAT = "2"
QUICK_SECONDS = 0.05
"""A checkpoint that takes longer than this to write is written less often in proportion, so that 1 % of the time goes
into checkpoints at most.
"""


class Resumption(NamedTuple):
    """What `load_checkpoint` found.

    Attributes:
        resumed: whether the run goes on from it.
        notice: what a person should know about it.
    """

    resumed: bool
    notice: str | None = None


class Checkpoints:
    """Writes the checkpoint of one training from time to time, and when training is asked to stop.

    Args:
        path: of the checkpoint; None: none is written.
        trainer: whose runs are saved.
        seconds: between two checkpoints, see QUICK_SECONDS.
        should_stop: asked by every call of `save_if_due`.
        on_notice: called with a sentence, once, where a checkpoint cannot be written.
    """

    def __init__(
        self,
        path: Path | None,
        trainer: Trainer,
        *,
        seconds: float,
        should_stop: Callable[[], bool] | None,
        on_notice: Callable[[str], None],
    ) -> None:
        self.path, self.trainer, self.seconds = path, trainer, seconds
        self.should_stop, self.on_notice = should_stop, on_notice
        self.pause, self.has_failed = seconds, False
        self.since_last = Stopwatch()

    def save_if_due(self) -> None:
        """Writes a checkpoint if the last one is old enough. A full disk does not end training: the next one may be
        written.

        Raises:
            TrainingStoppedError: training is to stop; the checkpoint is written before.
        """
        stop = bool(self.should_stop and self.should_stop())
        if self.path and (stop or self.since_last.seconds() > self.pause):
            synchronize(self.trainer.device)  # the steps so far count as training, the file does not
            with self.trainer.progress.stopwatch.paused():
                self.save(self.path)
        if stop:
            raise TrainingStoppedError

    def save(self, path: Path) -> None:
        """Writes a checkpoint now, or says that it cannot be written."""
        duration = Stopwatch()
        try:
            save_checkpoint(path, self.trainer)
        except OSError as error:
            if not self.has_failed:
                self.on_notice(
                    f"the checkpoint of {self.trainer.name} cannot be written ({error.strerror}: {path}); training "
                    "goes on, and what is done since the last one is lost if it is interrupted"
                )
            self.has_failed = True
        self.pause = self.seconds * max(1.0, duration.seconds() / QUICK_SECONDS)
        self.since_last = Stopwatch()


def resume(
    trainer: Trainer,
    folder: Path | None,
    report: Callable[[int, TrainingEvent], None],
    *,
    exact: bool,
    seconds: float,
    should_stop: Callable[[], bool] | None,
    keep_weights: int | None = None,
) -> Checkpoints:
    """Goes on from the checkpoint in a folder, if there is one, and reports what is known of the runs so far.

    Args:
        trainer: as it was prepared.
        folder: of the checkpoint; None: there is none, and none is written.
        report: called with a run's index and an event.
        exact: as for `load_checkpoint`.
        seconds, should_stop: as for the `Checkpoints` that are returned.
        keep_weights: where it is a number, the initial weights of runs that begin are reported too.
    """
    path, steps = folder and folder / "last.ckpt", len(trainer.batches)

    def notify(notice: str) -> None:
        finished = trainer.finished_epochs
        report(0, TrainingEvent(finished, trainer.recipe.epochs, len(trainer.progress.steps), steps, notice=notice))

    resumed = False
    if path:
        resumed, notice = load_checkpoint(path, trainer, exact=exact)
        if notice:
            notify(notice)
        for index, run in enumerate(trainer.runs):
            if resumed and run.state.history:
                report(index, recorded_so_far(run, steps_per_epoch=steps))
        if not resumed:
            remove_epoch_weights(path.parent)  # of an attempt whose checkpoint is lost
    if keep_weights is not None and not resumed:
        for index, run in enumerate(trainer.runs):
            initial = contiguous_copy(run.network.state_dict())
            report(index, TrainingEvent(0, trainer.recipe.epochs, 0, steps, weights=initial))
    return Checkpoints(path, trainer, seconds=seconds, should_stop=should_stop, on_notice=notify)


def save_checkpoint(path: Path, trainer: Trainer) -> None:
    """Writes `path` completely or not at all. A stack has one file, so that its members are always at one step.

    Raises:
        OSError: it cannot be written.
    """
    tensors, texts = gather_content(trainer)
    environments = [dataclasses.asdict(environment) for environment in (*trainer.earlier, trainer.environment)]
    texts |= {"format": FORMAT, "environments": json.dumps(environments), "keys": json.dumps(trainer.keys)}
    texts["members"] = json.dumps(trainer.members)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_tensors(path, tensors, texts | {"digest": content_digest(tensors, texts)})


def load_checkpoint(path: Path, trainer: Trainer, *, exact: bool = False) -> Resumption:
    """Sets networks, optimizers, generators and run states to what they were when `save_checkpoint` wrote the file.

    A file of another run is renamed to `last.ckpt.other`, and a damaged one to `last.ckpt.damaged`. Neither is an
    error: all of a file is checked before anything is set.

    Args:
        path: of the file, which may be missing.
        trainer: as it was prepared.
        exact: refuse to go on in another environment than that in which the run began.

    Raises:
        RunError: the run was begun in another environment, with `exact`.
        OSError: the file is there and cannot be read.
    """
    _ = trainer.keys  # now, because a user's own file may change while its network trains
    if not path.is_file():
        return Resumption(False)
    try:
        with path.open("rb"):  # safetensors does not tell a file that may not be read from a damaged one
            pass
        with safe_open(path, "pt") as file:
            texts: dict[str, str] = file.metadata() or {}
            # Copies, because Windows replaces no file of which a part is mapped into memory.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  (not a mapping)
        if other := _is_of_another_run(texts, tensors, trainer):
            return _set_aside(path, "other", f"{trainer.name} was begun {other}; it begins anew")
        environments = tuple(environment_from_json(values) for values in json.loads(texts["environments"]))
        changes = environment_changes([environments[-1], trainer.environment])
        all_changes = environment_changes([*environments, trainer.environment])
        loads = check_content(trainer, tensors, texts)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except (SafetensorError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, RecursionError):
        return _set_aside(path, "damaged", f"the checkpoint of {trainer.name} is damaged; it begins anew")
    where = f"{trainer.name} was begun in another environment ({'; '.join(all_changes)})"
    if exact and all_changes:
        hint = f"go on where it began, or without --exact, or delete {path} to begin anew"
        raise RunError(where, expected="one environment for the whole run, as --exact asks", hint=hint)
    trainer.earlier = environments if changes else environments[:-1]
    for load in loads:
        load()
    return Resumption(True, f"{where}; it goes on and is marked as mixed" if changes else None)


def _is_of_another_run(texts: dict[str, str], tensors: Mapping[str, Tensor], trainer: Trainer) -> str | None:
    """Words that follow "begun", where an undamaged checkpoint is another run's; else None.

    Raises:
        KeyError, ValueError: it is damaged.
    """
    if "format" not in texts and "digest" not in texts:
        return "by an older version of Convarium"
    if texts.pop("digest") != content_digest(tensors, texts):
        raise ValueError("it does not have its digest")
    if texts["format"] != FORMAT:
        return "by another version of Convarium"
    members = json.loads(texts["members"])
    if bool(members) != bool(trainer.members):
        return "in a stack of runs" if members else "alone"
    if json.loads(texts["keys"]) != list(trainer.keys):
        return "in a stack of other runs" if members else "with another recipe or other data"
    return None


def _set_aside(path: Path, suffix: str, notice: str) -> Resumption:
    aside = path.with_name(f"{path.name}.{suffix}")
    with suppress(OSError):
        path.replace(aside)
        return Resumption(False, f"{notice}, and the file is kept as {aside.name}")
    return Resumption(False, notice)


def content_digest(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """A digest of everything that a checkpoint holds: names, forms and bytes of its tensors, and its texts."""
    names = sorted(tensors)
    forms = [[name, str(tensors[name].dtype), list(tensors[name].shape)] for name in names]
    parts = (tensors[name].reshape(-1).view(torch.uint8).numpy().data for name in names)
    return parts_digest([canonical_json([dict(texts), forms]).encode(), *parts])
