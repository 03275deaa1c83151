"""Specs: short texts that name something and its options, such as "resnet(depth=20, shortcut='A')" or "resnet@uva".

The values are Python literals only, so that a spec can be typed on a command line, stored in JSON and read back without
running any code.
"""

import ast
import difflib
import math
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from convarium.errors import SpecError, quoted

LONGEST = 4096
"""Characters that a spec may have, so that reading one takes milliseconds and few MiB whatever it says."""

_DEEPEST = 50
_LARGEST_INTEGER = 2**63 - 1
_FORM = re.compile(r"\s*(?P<name>[^\W\d][\w.:-]*)(?:@(?P<tag>[\w.-]+))?\s*(?:\((?P<body>.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Spec:
    """One parsed spec: `name@tag(*args, **options)`."""

    name: str
    tag: str | None = None
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name with its tag, as the table of presets has it: "resnet@uva"."""
        return self.name if self.tag is None else f"{self.name}@{self.tag}"

    def __str__(self) -> str:
        inner = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.options.items()]
        return self.label + (f"({', '.join(inner)})" if inner else "")


def parse(text: str) -> Spec:
    """Reads one spec.

    Raises:
        SpecError: the text is not of the form `name`, `name@tag` or `name(option=literal, …)`, or is too long.
    """
    spec = _parsed(text)
    return replace(spec, options=dict(spec.options))  # a mapping of its own, since callers may change it


@lru_cache(maxsize=512)  # thousands of stored runs name the same few networks
def _parsed(text: str) -> Spec:
    _check_length(text)
    form = _FORM.fullmatch(text)
    if form is None:
        raise SpecError(
            f"cannot read {quoted(text)}",
            expected="a spec like lenet, lenet@d2l or \"lenet(pool='avg')\"",
            hint="check the quotes",
        )
    spec = Spec(form["name"], form["tag"], *_arguments(form["body"] or "", text))
    if 10 * len(text) > LONGEST:  # an escape is up to ten times as long as its character
        _check_length(str(spec))
    return spec


def parse_list(text: str) -> tuple[Spec, ...]:
    """Reads several specs separated by commas: "flip, pad_crop(4)"; "none" and "" are the empty list.

    Raises:
        SpecError: one of them cannot be read.
    """
    if text.strip() in ("", "none"):
        return ()
    call = _call(text, text)
    if call.keywords:
        raise SpecError(f"cannot read {quoted(text)}", expected="names, or name(value, …), separated by commas")
    return tuple(_from_call(node, text) for node in call.args)


def parse_options(text: str) -> dict[str, Any]:
    """Reads options without a name: "mean=0.1307, std=0.3081".

    Raises:
        SpecError: a part is not of the form `option=literal`.
    """
    args, options = _arguments(text, text)
    if args:
        expected = "option=value pairs separated by commas"
        raise SpecError(f"cannot read {quoted(text)}", expected=expected, received=args[0])
    return options


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> SpecError:
    """Makes the error for a name that is not in a table; it suggests the nearest names, or else lists all."""
    names = sorted(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    nearness = 0.5 if len(name) > 2 else 0.51  # of two letters one is shared by chance: "de" and "en"
    close = difflib.get_close_matches(name[:100].lower(), by_lower, n=3, cutoff=nearness)
    near = [by_lower[lower] for lower in close] or [n for n in names if name and name.lower() in n.lower()][:3]
    listed = " or ".join(map(repr, near)) if near else ", ".join(names)
    suggestion = f"did you mean {listed}?" if near else f"choose one of {listed}"
    return SpecError(f"unknown {kind} {quoted(name)}", hint=f"{suggestion} {hint}".strip())


def _check_length(text: str) -> None:
    if len(text) > LONGEST:
        raise SpecError(
            f"cannot read {quoted(text)}: it has {len(text):,} characters", expected=f"{LONGEST:,} characters or fewer"
        )


def _call(body: str, text: str) -> ast.Call:
    _check_length(body)
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes in quotes that Python does not know, such as \d
            call = ast.parse(f"_({body}\n)", mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise SpecError(f"cannot read {quoted(text)}", expected="Python literals in balanced brackets") from error
    except (RecursionError, MemoryError) as error:  # of Python's parser, whose stack is of a fixed size
        raise _too_deep(text) from error
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise SpecError(f"cannot read {quoted(text)}", expected="option=value pairs separated by commas")
    if _depth(call) > _DEEPEST:
        raise _too_deep(text)
    return call


def _too_deep(text: str) -> SpecError:
    return SpecError(f"cannot read {quoted(text)}: it is nested too deeply", expected=f"{_DEEPEST} levels or fewer")


def _depth(root: ast.AST) -> int:
    """The levels of a syntax tree, counted without recursion."""
    level, depth = [root], 0
    while level and depth <= _DEEPEST:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
    return depth


def _arguments(body: str, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not body.strip():
        return (), {}
    call = _call(body, text)
    if any(keyword.arg is None for keyword in call.keywords):
        raise SpecError(f"cannot read {quoted(text)}", expected="option=value pairs separated by commas")
    names = [str(keyword.arg) for keyword in call.keywords]
    if len(set(names)) < len(names):
        raise SpecError(f"an option is given twice in {quoted(text)}", hint="give each option once")
    args = tuple(_literal(node, text) for node in call.args)
    return args, {str(keyword.arg): _literal(keyword.value, text) for keyword in call.keywords}


def _from_call(node: ast.expr, text: str) -> Spec:
    if isinstance(node, ast.Name):
        return Spec(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return parse(ast.unparse(node))
    raise SpecError(f"cannot read {quoted(ast.unparse(node))} in {quoted(text)}", expected="name or name(value, …)")


def _literal(node: ast.expr, text: str) -> Any:
    try:
        return _plain(ast.literal_eval(node))
    except OverflowError as error:
        hint = "write a finite one, and a whole one of at most 64 bits"
        raise SpecError(f"a number in {quoted(text)} is too large", hint=hint) from error
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise SpecError(
            f"{quoted(ast.unparse(node))} in {quoted(text)} is not a literal",
            hint=f"write a number, True, False, None or a text in quotes, such as {quoted(ast.unparse(node))}",
        ) from error


def _plain(value: Any) -> Any:
    """Turns lists into tuples, and refuses what could not be read back as it is written.

    Raises:
        OverflowError: a number that is not finite, or a whole one of more than 64 bits.
        TypeError: a set, bytes or a complex number.
    """
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (int, float)):
        raise OverflowError(value)
    raise TypeError(value)
