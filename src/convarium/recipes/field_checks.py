"""Checks of a recipe's fields one by one: their types, their ranges, and the texts that have a form of their own."""

import math
from functools import cache, lru_cache
from typing import Any, Literal, get_args, get_origin

from convarium.data.folder_options import parse_ground, parse_groups
from convarium.data.transforms import parse_augment, parse_normalize
from convarium.errors import RecipeError
from convarium.models.index import resolve
from convarium.recipes.schedules import parse_schedule
from convarium.spec import LONGEST, parse, unknown

_LARGEST_INTEGER = 2**63 - 1


@lru_cache(maxsize=512)  # thousands of stored runs have the same few specs
def check_specs(model: str, ground: str, groups: str | None, augment: str, normalize: str, schedule: str) -> str:
    """Reads the fields that have a form of their own; returns the model's spec in one spelling, as `repr` has it.

    Raises:
        SpecError: one cannot be read.
    """
    resolve(model)
    parse_ground(ground)
    if groups is not None:
        parse_groups(groups)
    parse_augment(augment)
    parse_normalize(normalize)
    parse_schedule(schedule)
    return str(parse(model))


def check_range(
    name: str, value: float, low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False
) -> None:
    """Refuses a number that is not from `low` to `high`, or not finite; an integer must also fit into 64 bits.

    Args:
        name: of the field.
        value: of the field.
        low, high: the bounds.
        open_low, open_high: whether the bound itself is refused.

    Raises:
        RecipeError: it is out of range.
    """
    if isinstance(value, int) and value > _LARGEST_INTEGER:  # else no bound that nobody meets is named
        high = min(high, _LARGEST_INTEGER)
    inside = (low < value if open_low else low <= value) and (value < high if open_high else value <= high)
    if inside and abs(value) < math.inf:
        return
    bounds = [f"{'above' if open_low else 'at least'} {low:g}"] if low > -math.inf else []
    bounds += [f"{'below' if open_high else 'at most'} {high:g}"] if high < math.inf else []
    expected = " and ".join(bounds) or "a finite number"
    raise RecipeError(
        f"{name} is out of range", expected=expected, received=value, hint=f"set --{name.replace('_', '-')}"
    )


def _check_text(name: str, text: str) -> None:
    """Refuses what can stand neither in a file's name nor in a record."""
    if len(text) > LONGEST:
        raise RecipeError(f"{name} has {len(text):,} characters", expected=f"{LONGEST:,} or fewer", received=text)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        hint = "rename the folder" if name == "dataset" else None
        raise RecipeError(f"{name} is not valid UTF-8", received=text, hint=hint)
    if "\0" in text:
        raise RecipeError(f"{name} has a NUL character", received=text)


@cache
def _choices_or_types(annotation: Any) -> tuple[bool, tuple[Any, ...]]:
    """Whether a field is a choice among texts, and these; else the types that it may have."""
    return get_origin(annotation) is Literal, get_args(annotation) or (annotation,)


def check_type(name: str, value: Any, annotation: Any) -> None:
    """Refuses a value that a field of this annotation cannot have, and a text that cannot stand in a record.

    Raises:
        RecipeError: it has another type, or is such a text.
        SpecError: it is none of the texts among which the field chooses.
    """
    is_choice, kinds = _choices_or_types(annotation)
    if is_choice:
        if not isinstance(value, str) or value not in kinds:
            raise unknown(name, str(value), kinds)
        return
    fits = type(value) in kinds or any(  # the first alone is enough for nearly every field of a stored run
        isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
        for kind in kinds
    )
    if not fits:
        expected = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
        raise RecipeError(f"{name} has the wrong type", expected=expected, received=value)
    if isinstance(value, str):
        _check_text(name, value)
