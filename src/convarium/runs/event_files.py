"""TensorBoard's event files of a run that was interrupted: what they tell beyond its checkpoint is taken out again."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from convarium.disk import write_file

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

PATTERN = "events.out.tfevents.*"
GRAPH = ("graph_def", "tagged_run_metadata")
"""The kinds of events that a network's graph is made of."""
HPARAMS = "_hparams_/"
"""What the tags of TensorBoard's hyper-parameters begin with."""
RESULT = "result/"
"""What the tags of a run's final scores begin with; those of an epoch are named by their split."""
STEP = "step/"
"""What the tags of values of every training step begin with; the step of others is their epoch."""


def forget_after(files: list[Path], *, epoch: int, step: int, keep_graph: bool) -> None:
    """Removes from event files what a run that goes on after an epoch will write again, and what they tell twice.

    A file in which nothing is left is deleted. One that cannot be read stays as it is.

    Args:
        files: of the run, the oldest first.
        epoch: the last one that stays.
        step: the last training step that stays.
        keep_graph: whether the network's graph stays.

    Raises:
        OSError: a file cannot be written.
    """
    told = set[tuple[str, int]]()
    for path in files:
        try:
            before = list(_events(path))
        except Exception:  # noqa: S112  (a damaged file may raise anything, and event files are an addition)
            continue
        after = [event for event in before if _stays(event, told, epoch, step, keep_graph)]
        keep_graph = keep_graph and not any(event.WhichOneof("what") in GRAPH for event in after)
        if all(event.WhichOneof("what") == "file_version" for event in after):
            path.unlink(missing_ok=True)
        elif after != before:
            _write(path, after)


def _events(path: Path) -> Iterator["Event"]:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    for record in RawEventFileLoader(str(path)).Load():
        yield Event.FromString(record)


def _stays(event: "Event", told: set[tuple[str, int]], epoch: int, step: int, keep_graph: bool) -> bool:
    """Whether an event stays; its values, if so, are told."""
    kind = event.WhichOneof("what")
    if kind != "summary":
        return kind not in GRAPH or keep_graph
    tags = [value.tag for value in event.summary.value]
    if any(tag.startswith((HPARAMS, RESULT)) for tag in tags):
        return False
    values = {(tag, event.step) for tag in tags}
    if values & told or any(at > (step if tag.startswith(STEP) else epoch) for tag, at in values):
        return False
    told |= values
    return True


def _write(path: Path, events: list["Event"]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    def fill(file: IO[bytes]) -> None:
        records = RecordWriter(file)
        for event in events:
            records.write(event.SerializeToString())

    write_file(path, fill)
