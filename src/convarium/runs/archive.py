"""A records file: many runs in one `runs.jsonl`, a line a run, without weights and predictions.

A line holds the run's key, the name of its folder, its recipe, history and outcome, the test images predicted as each
class after each epoch if the run watched the test split, and the digest of all that.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from convarium.disk import parse_json, read_text, write_text
from convarium.errors import ConvariumError, FileContentError, StoreError
from convarium.recipes.recipe import recipe_from_json
from convarium.runs.checked_values import is_text
from convarium.runs.json_forms import (
    history_from_json,
    history_to_json,
    outcome_from_json,
    outcome_to_json,
    predicted_from_json,
)
from convarium.runs.names import is_file_name
from convarium.runs.stored_run import StoredRun

RECORDS = "runs.jsonl"
_MOST_BYTES = 2**30
_MEND = "get it again from where it comes"


def read_records(path: Path) -> dict[str, StoredRun]:
    """The runs of a records file by their keys, in the file's order.

    Args:
        path: of the file. The runs' own paths are those of the folders beside it in which they would lie.

    Raises:
        StoreError: a line is damaged; names it.
    """
    runs = {}
    for key, values in _read(path).items():
        try:
            runs[key] = _run(values, path.parent)
        except ConvariumError as error:
            raise StoreError(f"run {key[:8]} of {path} cannot be read: {error}", hint=_MEND) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"run {key[:8]} of {path} is damaged: {error}", hint=_MEND) from error
    return runs


def add_records(path: Path, runs: Iterable[StoredRun]) -> None:
    """Adds runs to a records file, or makes one. A run that it has already is replaced; all others stay as they are.

    The lines are in the order of the runs' folder names, and the file is written whole or not at all.

    Raises:
        StoreError: a line of the file is damaged.
    """
    lines = _read(path) if path.exists() else {}
    lines |= {run.key: _values(run) for run in runs}
    ordered = sorted(lines.values(), key=lambda values: str(values["folder"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(_line(values) for values in ordered))


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The lines by the keys of their runs, without their digests, which are compared."""
    try:
        text = read_text(path, _MOST_BYTES)
    except FileContentError as error:
        raise StoreError(str(error), hint=_MEND) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
    lines: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
        try:
            values = parse_json(line, f"line {number}")
            digest = values.pop("digest")
            is_sound = digest == _digest(values) and values["key"] not in lines
            if not is_text(values["key"]):
                raise ValueError("its key is not a text")
            lines[values["key"]] = values
        except (FileContentError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"line {number} of {path} is damaged", hint=_MEND) from error
        if not is_sound:
            raise StoreError(
                f"line {number} of {path} is damaged: it does not have its digest, or is there twice", hint=_MEND
            )
    return lines


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps({**values, "digest": _digest(values)}, ensure_ascii=False, allow_nan=False) + "\n"


def _run(values: Mapping[str, Any], root: Path) -> StoredRun:
    predicted, source = values.get("predicted"), values.get("source")
    if not is_file_name(values["folder"]) or not (source is None or is_text(source)):
        raise ValueError("it names no folder that a run can have, or no digest of a source")
    if predicted is not None:
        predicted = predicted_from_json({"epoch": n, "images": row} for n, row in enumerate(predicted, start=1))
    return StoredRun(
        values["key"],
        root / "runs" / values["folder"],
        recipe_from_json(values["recipe"]),
        outcome_from_json(values["outcome"], history_from_json(values["history"])),
        predicted,
        source,
    )


def _values(run: StoredRun) -> dict[str, Any]:
    predicted = run.predicted()
    source = {} if run.source is None else {"source": run.source}
    return (
        {
            "key": run.key,
            "folder": run.path.name,
            "recipe": run.recipe.to_json(),
            "history": history_to_json(run.outcome.history),
            "outcome": outcome_to_json(run.outcome),
        }
        | source
        | ({} if predicted is None else {"predicted": predicted})
    )


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
