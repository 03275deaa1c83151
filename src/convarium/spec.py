"""Specs: short texts that name something and its options, such as "resnet(depth=20, shortcut='A')" or "resnet@uva".

The values are Python literals only, so that a spec can be typed on a command line, stored in JSON and read back without
running any code.
"""

import ast
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from convarium.errors import SpecError

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
        SpecError: the text is not of the form `name`, `name@tag` or `name(option=literal, …)`.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise SpecError(
            f"cannot read {text!r}",
            expected="a spec like lenet, lenet@d2l or \"lenet(pool='avg')\"",
            hint="check the quotes",
        )
    args, options = _arguments(form["body"] or "", text)
    return Spec(form["name"], form["tag"], args, options)


def parse_list(text: str) -> tuple[Spec, ...]:
    """Reads several specs separated by commas: "flip, pad_crop(4)"; "none" and "" are the empty list.

    Raises:
        SpecError: one of them cannot be read.
    """
    if text.strip() in ("", "none"):
        return ()
    call = _call(text, text)
    if call.keywords:
        raise SpecError(f"cannot read {text!r}", expected="names, or name(value, …), separated by commas")
    return tuple(_from_call(node, text) for node in call.args)


def parse_options(text: str) -> dict[str, Any]:
    """Reads options without a name: "mean=0.1307, std=0.3081".

    Raises:
        SpecError: a part is not of the form `option=literal`.
    """
    args, options = _arguments(text, text)
    if args:
        raise SpecError(f"cannot read {text!r}", expected="option=value pairs separated by commas", received=args[0])
    return options


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> SpecError:
    """Makes the error for a name that is not in a table; it suggests the nearest names, or else lists all."""
    names = sorted(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    near = [by_lower[lower] for lower in close] or [n for n in names if name and name.lower() in n.lower()][:3]
    listed = " or ".join(map(repr, near)) if near else ", ".join(names)
    suggestion = f"did you mean {listed}?" if near else f"choose one of {listed}"
    return SpecError(f"unknown {kind} {name!r}", hint=f"{suggestion} {hint}".strip())


def _call(body: str, text: str) -> ast.Call:
    try:
        call = ast.parse(f"_({body}\n)", mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise SpecError(f"cannot read {text!r}", expected="Python literals in balanced brackets") from error
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise SpecError(f"cannot read {text!r}", expected="option=value pairs separated by commas")
    return call


def _arguments(body: str, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    call = _call(body, text)
    if any(keyword.arg is None for keyword in call.keywords):
        raise SpecError(f"cannot read {text!r}", expected="option=value pairs separated by commas")
    names = [str(keyword.arg) for keyword in call.keywords]
    if len(set(names)) < len(names):
        raise SpecError(f"an option is given twice in {text!r}", hint="give each option once")
    args = tuple(_literal(node, text) for node in call.args)
    return args, {str(keyword.arg): _literal(keyword.value, text) for keyword in call.keywords}


def _from_call(node: ast.expr, text: str) -> Spec:
    if isinstance(node, ast.Name):
        return Spec(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return parse(ast.unparse(node))
    raise SpecError(f"cannot read {ast.unparse(node)!r} in {text!r}", expected="name or name(value, …)")


def _literal(node: ast.expr, text: str) -> Any:
    try:
        return _plain(ast.literal_eval(node))
    except OverflowError as error:
        raise SpecError(f"a number in {text!r} is too large", hint="write a finite one") from error
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise SpecError(
            f"{ast.unparse(node)!r} in {text!r} is not a literal",
            hint=f"write a number, True, False, None or a text in quotes, such as {ast.unparse(node)!r}",
        ) from error


def _plain(value: Any) -> Any:
    """Turns lists into tuples, and refuses a number too large for a float, which could not be read back."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    if isinstance(value, float) and math.isinf(value):
        raise OverflowError(value)
    return value
