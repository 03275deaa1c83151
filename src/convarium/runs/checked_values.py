"""Records from JSON: every field is checked by its type and its range before it is believed.

All numbers of a record are finite and at least 0, and shares are at most 1; a field that no version of the record has
is refused.
"""

import dataclasses
from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, NamedTuple, TypeVar, get_args

T = TypeVar("T")
_SHARES = ("accuracy", "calibration_error")  # ends of the names of numbers from 0 to 1
_NUMBERS = frozenset((int, float))
_LARGEST_COUNT = 2**63 - 1
_LARGEST_NUMBER = 1e300
_ROUNDING = 1e-6  # by which a loss may lie below 0


class UnknownFieldError(ValueError):
    """A field that this version does not know: where the digests are right, the record is a newer version's."""


class _Rule(NamedTuple):
    """What a field must satisfy: one of the types, and as a number, the bounds."""

    types: frozenset[type]
    lowest: float = 0
    highest: float = _LARGEST_COUNT


_UNKNOWN = _Rule(frozenset())
_LIST = _Rule(frozenset((object,)))  # which nothing is, so that the texts in a list are looked at


def record_from_json(record: type[T], values: Any, given: Mapping[str, Any] | None = None) -> T:
    """A record of the fields that `dataclasses.asdict` gave and JSON has kept.

    Args:
        record: a dataclass of texts, numbers, and tuples of texts.
        values: the fields; those with a default may be missing, as they are in older records.
        given: fields that the caller has read from `values` and checked.

    Raises:
        UnknownFieldError: names a field that the record does not have.
        ValueError: says which field is missing, or has a value that it cannot have.
    """
    rules, required = _rules(record)  # type: ignore[arg-type]  # a class can be hashed
    if type(values) is not dict:
        raise ValueError(f"{_shown(values)} cannot be read as {record.__name__}")
    given = dict(given or {})
    for name, value in values.items():
        kind = type(value)
        types, lowest, highest = rules.get(name, _UNKNOWN)
        if kind in types and (kind not in _NUMBERS or lowest <= value <= highest):
            continue
        if types is _UNKNOWN.types:
            raise UnknownFieldError(f"it has an unknown field {_shown(name)}")
        if name in given:
            continue
        if not (types is _LIST.types and kind in (list, tuple) and all(map(is_text, value))):
            raise ValueError(f"{name} cannot be {_shown(value)}")
        given[name] = tuple(value)
    if not required <= values.keys():
        raise ValueError(f"it has no {' and no '.join(sorted(required - values.keys()))}")
    return record(**values | given)


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 0 to 2⁶³ − 1."""
    return type(value) is int and 0 <= value <= _LARGEST_COUNT


def is_text(value: object) -> bool:
    """Whether a value is a text."""
    return type(value) is str


@cache
def _rules(record: Any) -> tuple[dict[str, _Rule], frozenset[str]]:
    """What each field of a record must satisfy, and the names of the fields without a default."""
    fields, missing = dataclasses.fields(record), dataclasses.MISSING
    required = {f.name for f in fields if f.default is missing and f.default_factory is missing}
    return {field.name: _rule(field.name, field.type) for field in fields}, frozenset(required)


def _rule(name: str, annotation: Any) -> _Rule:
    kinds = get_args(annotation)
    if NoneType in kinds:
        rule = _rule(name, kinds[0])
        return rule._replace(types=rule.types | {NoneType})
    if annotation is float:
        lowest = -_ROUNDING if name.endswith("loss") else 0.0
        return _Rule(_NUMBERS, lowest, 1.0 if name.endswith(_SHARES) else _LARGEST_NUMBER)
    if annotation in (int, str):
        return _Rule(frozenset((annotation,)))
    return _LIST


def _shown(value: object) -> str:
    text = f"a {type(value).__name__}" if isinstance(value, (list, dict)) else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
