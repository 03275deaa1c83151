"""What a list of 10,000 runs says of each: whether its record is whole, without reading what is in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from convarium.chance import predicts_at_chance
from convarium.disk import parse_json, read_bytes
from convarium.errors import ConvariumError
from convarium.records import Status
from convarium.runs.folders import digits_in_name
from convarium.runs.json_forms import confusion_from_json
from convarium.runs.seal import HISTORY, RECIPE, SEAL, read_seal
from convarium.runs.sealed_files import LIMIT, matches_digest


class QuickLook(NamedTuple):
    """A run whose seal has its digest, and whose recipe and history have theirs."""

    key: str
    status: Status
    is_at_chance: bool | None


def quick_look(path: Path) -> QuickLook | None:
    """The run of a folder where nothing is to be said of it but that it has ended, in one environment and in its place.

    Its recipe, history and scores are not looked into, as `read_run` does: they are what was sealed. That takes a third
    of the time.

    Args:
        path: of the folder.

    Returns:
        The run; None where only `RunReader.read` can say what is the matter.
    """
    try:
        seal = read_seal(path / SEAL, LIMIT)
        status = seal.values.get("status")
        if not seal.has_digest or status not in ("finished", "diverged"):
            return None
        if seal.values.get("earlier") or any(name not in seal.files for name in (RECIPE, HISTORY)):
            return None
        recipe = read_bytes(path / RECIPE, LIMIT)
        history = read_bytes(path / HISTORY, LIMIT)
        if not matches_digest(path, seal.files[RECIPE], recipe) or not matches_digest(
            path, seal.files[HISTORY], history
        ):
            return None
        key = parse_json(recipe.decode(), "its text").get("key")
        is_at_chance = status == "finished" and _is_at_chance(seal.values)
    except (ConvariumError, OSError, ValueError, AttributeError, TypeError, KeyError, ZeroDivisionError):
        return None
    if not isinstance(key, str) or not key.startswith(digits_in_name(path.name) or ""):
        return None
    return QuickLook(key, status, is_at_chance)


def _is_at_chance(values: Mapping[str, Any]) -> bool | None:
    """`Outcome.is_at_chance` from the fields of a seal, of which only one confusion matrix is read."""
    scored = [values[name] for name in ("test", "validation", "train") if values.get(name) and values[name]["n"]]
    if not scored:
        return False
    largest = max(scored, key=lambda scores: scores["n"])
    return predicts_at_chance(confusion_from_json(largest["confusion"], len(largest["per_class"])))
