"""StudyRecord: what a store holds of a study, `study.json`."""

import dataclasses
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convarium.disk import write_text
from convarium.errors import FileContentError, StoreError
from convarium.recipes.recipe import Recipe
from convarium.runs.seal import read_sealed, sealed_text

_KEY = re.compile("[0-9a-f]{64}")

_MEND = "delete it; the runs stay, and the study is made anew"
STUDY_BYTES = 2**26
"""A study of 10,000 runs takes 700 kB; a file of more than this is none."""


@dataclass(frozen=True)
class StudyRecord:
    """`study.json`: a question, its plan, and the keys of its runs.

    Attributes:
        base: the recipe fields that all runs share; another base under the same name is an error.
        keys: of the runs, in the plan's order.
        planned: number of runs that were planned at the start; runs beyond it were added by an extension.
        command: the command line that made it, so that people can repeat it.
        metric: the primary metric; None: chosen by the runs, see `primary_metric`.
        stacks: keys of runs that train at the same time, stack by stack.
        recommended: one sentence for each network that a recommendation named, with these runs.
    """

    name: str
    question: str
    compare: str
    baseline: Any
    base: Mapping[str, Any]
    keys: tuple[str, ...]
    planned: int
    command: str | None = None
    metric: str | None = "test_accuracy"
    stacks: tuple[tuple[str, ...], ...] = ()
    recommended: tuple[str, ...] = ()


def study_from_json(values: Mapping[str, Any]) -> StudyRecord:
    """The study whose fields `dataclasses.asdict` gave and JSON has kept.

    Raises:
        TypeError, KeyError: a field is missing, of another type or unknown.
    """
    stacks = tuple(map(tuple, values.get("stacks", ())))
    recommended = tuple(values.get("recommended", ()))
    study = StudyRecord(**{**values, "keys": tuple(values["keys"]), "stacks": stacks, "recommended": recommended})
    _check_types(dataclasses.asdict(study))
    return study


def _check_types(values: Mapping[str, Any]) -> None:
    """Refuses what `dataclasses.asdict` of a study never gives, such as a key that would name other files."""
    texts = [values[name] for name in ("name", "question", "metric", "command") if values[name] is not None]
    keys = [*values["keys"], *itertools.chain.from_iterable(values["stacks"])]
    fits = {
        "name, question, metric or command": all(isinstance(text, str) for text in texts),
        "compare": values["compare"] in {field.name for field in dataclasses.fields(Recipe)},
        "baseline": values["baseline"] is None or isinstance(values["baseline"], (str, int, float)),
        "base": isinstance(values["base"], dict),
        "keys": all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys),
        "planned": type(values["planned"]) is int,
        "recommended": all(isinstance(text, str) for text in values["recommended"]),
    }
    for name, is_right in fits.items():
        if not is_right:
            raise TypeError(f"{name} of the study has a value that no study has")


def write_study(path: Path, study: StudyRecord) -> None:
    """Writes a study with the digest of its text, see `sealed_text`."""
    write_text(path, sealed_text(dataclasses.asdict(study)))


def read_study(path: Path) -> StudyRecord:
    """Reads `study.json`.

    Raises:
        StoreError: the file is damaged or may not be read; names it.
    """
    try:
        values, _ = read_sealed(path, STUDY_BYTES)  # older ones have no digest
        return study_from_json(values)
    except FileContentError as error:
        raise StoreError(f"{path} is damaged, or was changed by hand", hint=_MEND) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreError(f"{path} is damaged", hint=_MEND) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
