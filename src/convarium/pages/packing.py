"""Tables as they stand in the page: a column that repeats its values, as names do, is written as runs."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

Packed = Sequence[Any] | Mapping[str, Sequence[Any]]
"""A column: its values, or {"runs": [value, times, value, times, …]}, whichever is shorter."""


def pack(column: Sequence[Any]) -> Packed:
    """Writes a column as runs of equal values where that is shorter."""
    runs = [part for value, group in itertools.groupby(column) for part in (value, len(list(group)))]
    return {"runs": runs} if len(json.dumps(runs)) < len(json.dumps(column)) else column


def unpack(column: Packed) -> Sequence[Any]:
    """The values of a column; `columnOf` in page.js does the same."""
    if not isinstance(column, Mapping):
        return column
    runs = column["runs"]
    return [value for value, times in zip(runs[::2], runs[1::2], strict=True) for _ in range(times)]
