"""The files of one run: an outcome is written to a folder, each file in one step; `stored_run` reads them back.

Reading runs no code: the formats are JSON, npz without pickle, and safetensors.
"""

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convarium.disk import file_digest, parse_json_lines, read_text, write_file, write_json, write_text
from convarium.errors import FileContentError
from convarium.models.layer_tables import description_to_json
from convarium.records import Epoch, Outcome
from convarium.runs.json_forms import (
    history_from_json,
    history_to_json,
    outcome_to_json,
    predicted_from_json,
)
from convarium.runs.model_facts import METADATA, model_facts, without_paths
from convarium.runs.npz import write_arrays
from convarium.runs.seal import (
    FILES,
    HISTORY,
    MODEL,
    NETWORK,
    PREDICTED,
    PREDICTIONS,
    RECIPE,
    RECORD,
    SEAL,
    STEPS,
    WEIGHTS,
    WHOLE,
    epoch_file,
    epoch_of,
    files_of,
    sealed_text,
)
from convarium.runs.sealed_files import LIMIT

if TYPE_CHECKING:
    from torch import Tensor

FAILED = "failed"
"""The folder in a run's folder that keeps the record of a failed run while it is tried again."""

FileState = tuple[tuple[str, int, int], ...]


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Writes an outcome's files into a run's folder, the seal last, and removes files that are none of this run's."""
    write_history(path, outcome.history)
    files = [RECIPE, HISTORY]
    if _has_predicted(path, outcome):
        files.append(PREDICTED)
    arrays = {
        STEPS: {"loss": outcome.step_loss, "accuracy": outcome.step_accuracy},
        PREDICTIONS: {"logits": outcome.logits, "labels": outcome.labels},
    }
    for name, content in arrays.items():
        present = {k: v for k, v in content.items() if v is not None}
        if len(present) == len(content):
            write_file(path / name, partial(write_arrays, arrays=present))
            files.append(name)
    if outcome.network is not None:
        write_text(path / NETWORK, json.dumps(description_to_json(outcome.network), ensure_ascii=False) + "\n")
        files.append(NETWORK)
    if outcome.weights is not None:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in outcome.weights.items()}
        facts = None if outcome.preprocessing is None else model_facts(path, outcome, outcome.preprocessing)
        write_tensors(path / WEIGHTS, weights, {} if facts is None else {METADATA: json.dumps(without_paths(facts))})
        files.append(WEIGHTS)
        if facts is not None:
            write_json(path / MODEL, facts)
            files.append(MODEL)
    for name in set(FILES) - set(files):
        (path / name).unlink(missing_ok=True)
    kind = WHOLE if {*files, MODEL} == files_of(outcome) | {MODEL} else RECORD
    files += _epoch_files(path, epochs=len(outcome.history))
    digests = {name: file_digest(path / name) for name in files}
    write_text(path / SEAL, sealed_text(outcome_to_json(outcome) | {"kind": kind, "files": digests}))


def write_epoch_weights(path: Path, epoch: int, weights: "Mapping[str, Tensor]") -> None:
    """Writes the weights after so many epochs into a run's folder, in one step; before the first, others go."""
    if epoch == 0:
        remove_epoch_weights(path)
    write_tensors(path / epoch_file(epoch), weights, {})


def remove_epoch_weights(path: Path) -> None:
    """Removes the weights by epoch from the folder of a run that begins anew."""
    _epoch_files(path, epochs=-1)


def _epoch_files(path: Path, *, epochs: int) -> list[str]:
    """The files with weights by epoch in a run's folder, in order; those of later epochs than these are removed."""
    names = [file.name for file in path.glob("weights-epoch-*")]
    found = {name: epoch for name in names if (epoch := epoch_of(name)) is not None}
    for name in [name for name, epoch in found.items() if epoch > epochs]:
        (path / name).unlink(missing_ok=True)
        del found[name]
    return sorted(found, key=found.__getitem__)


def _has_predicted(path: Path, outcome: Outcome) -> bool:
    """Whether the run's `predicted.jsonl` has a row for each epoch in which the test split was watched."""
    watched = sum(row.test_accuracy is not None for row in outcome.history)
    try:
        return watched > 0 and len(read_predicted(path)) == watched
    except (OSError, ValueError):
        return False


def file_state(path: Path) -> FileState:
    """Name, size and time of last change of the files of a run that are read first: seal, recipe and history.

    Of a run without a seal, also those of the seal of its failed attempt.

    Raises:
        FileNotFoundError: there is no such folder.
        OSError: the folder may not be read.
    """
    state = [_stat(path, name) for name in (SEAL, RECIPE, HISTORY)]
    if state[0] is None:
        path.stat()
        state.append(_stat(path, f"{FAILED}/{SEAL}"))
    return tuple(entry for entry in state if entry is not None)


def _stat(path: Path, name: str) -> tuple[str, int, int] | None:
    try:
        state = os.stat(f"{path}/{name}")  # noqa: PTH116  (no Path for each of 30,000 files)
    except FileNotFoundError:
        return None
    return name, state.st_size, state.st_mtime_ns


def write_history(path: Path, history: tuple[Epoch, ...]) -> None:
    """Writes `history.jsonl` into a run's folder; a number that JSON has not (a diverged loss) becomes null."""
    rows = [json.dumps(row) for row in history_to_json(history)]
    write_text(path / HISTORY, "".join(row + "\n" for row in rows))


def read_history(path: Path) -> tuple[Epoch, ...]:
    """The rows of a run's `history.jsonl`; a training loss of null comes back as NaN.

    Raises:
        ValueError: a row is damaged, or missing.
        OSError: there is no such file, or it cannot be read.
    """
    return history_from_json(_lines(path / HISTORY))


def write_predicted(path: Path, counts: Sequence[tuple[int, ...]]) -> None:
    """Writes `predicted.jsonl` into a run's folder: how many test images were taken for each class, a row an epoch."""
    rows = [json.dumps({"epoch": i, "images": list(row)}) for i, row in enumerate(counts, start=1)]
    write_text(path / PREDICTED, "".join(row + "\n" for row in rows))


def read_predicted(path: Path) -> tuple[tuple[int, ...], ...]:
    """The rows of an unfinished run's `predicted.jsonl`.

    Raises:
        ValueError: a row is damaged, or missing.
        OSError: there is no such file, or it cannot be read.
    """
    return predicted_from_json(_lines(path / PREDICTED))


def _lines(path: Path) -> list[Any]:
    try:
        return parse_json_lines(read_text(path, LIMIT), str(path))
    except FileContentError as error:
        raise ValueError(str(error)) from error


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]) -> None:
    """Writes tensors and texts as safetensors, in one step."""
    from safetensors.torch import save

    write_file(path, lambda file: file.write(save(dict(tensors), dict(metadata))))
