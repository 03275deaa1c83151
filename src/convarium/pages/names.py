"""Names of networks where there is little room: without their middle, or broken where a reader would break them."""

import json
import re
from collections.abc import Sequence

from markupsafe import Markup

LONGEST_NAME = 24
"""Number of characters of a name that is written in full; of a longer one the middle is left out."""

_BREAKS = re.compile(r"(?<!^)(?=[@(])|(?<=[_=:/])(?!$)|(?<=[A-Za-z]\.)(?!$)")
"""Where a line may end: before "@" and "(", after "_", "=", ":" and "/", and after the points of a module's path."""

_PARTS = re.compile(r"(?<!^)(?=[@(])")


def shortened_name(name: str) -> str:
    """A long name without its middle, because two names mostly differ at their ends."""
    return name if len(name) <= LONGEST_NAME else f"{name[:8]}…{name[-(LONGEST_NAME - 9) :]}"


def shortened_names(names: Sequence[str]) -> list[str]:
    """The names, shortened except where that would make two of them the same."""
    shortened = [shortened_name(name) for name in names]
    return [short if shortened.count(short) == 1 else name for short, name in zip(shortened, names, strict=True)]


def shortening_expression(names: Sequence[str]) -> str:
    """The `labelExpr` of an axis or a legend of names."""
    short = {name: written for name, written in zip(names, shortened_names(names), strict=True) if written != name}
    return f"{json.dumps(short)}[datum.label] || datum.label" if short else "datum.label"


def wrapped_name(name: str, width: int) -> list[str]:
    """The lines of a name, of at most `width` characters where it has places to break."""
    lines = [""]
    for part in (part for word in re.split(r"(?<= )", name) for part in _BREAKS.split(word)):
        if lines[-1] and len((lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def breakable(text: str) -> Markup:
    """Names, or sentences with names, in HTML: a line ends between the words of a name rather than within one.

    Each word, and its part from "(" on, goes to the next line as a whole, and is broken only where it is longer than a
    line, at the places of `wrapped_name`.
    """
    return Markup(" ").join(_whole([_whole(_BREAKS.split(p)) for p in _PARTS.split(word)]) for word in text.split(" "))


def _whole(parts: Sequence[str]) -> Markup:
    joined = Markup("<wbr>").join(parts)
    return Markup('<span class="whole">{}</span>').format(joined) if len(parts) > 1 else joined
