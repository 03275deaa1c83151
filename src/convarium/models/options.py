"""The options of a network: which values an option takes, and every option with its value."""

import ast
import inspect
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal

from convarium.errors import SpecError, quoted
from convarium.spec import unknown

ACTIVATION = "activation"
"""The option that names an activation function; every network and every factory may have it."""

REQUIRED = inspect.Parameter.empty
"""The default of an option that has none."""


@dataclass(frozen=True)
class Option:
    """One option of a network.

    Attributes:
        type: a type that annotations are made of: `int`, `int | None`, `Literal["max", "avg"]`, `tuple[int, ...]`; of
            an activation `str`.
        default: its value where a spec does not give one, or `REQUIRED`; of an activation its name.
    """

    type: Any
    default: Any


def check_options(
    name: str,
    options: Mapping[str, Option],
    given: Mapping[str, Any],
    *,
    activations: Collection[str],
    takes_any: bool = False,
) -> dict[str, Any]:
    """Every option of a network with its value: the given one, or its default.

    Args:
        name: the network's, for messages; a colon in it makes it a user's own, whose integers may be below 1.
        options: those that the network has.
        given: those that a spec gives.
        activations: the names that an activation can have.
        takes_any: whether the factory takes options that its signature does not name (`**options`).

    Raises:
        SpecError: an option that the network does not have, a value that it does not take, or none where it needs one.
    """
    for option in given:
        if option not in options and not takes_any:
            raise unknown(f"option of {name}", option, options)
    values: dict[str, Any] = {}
    for option, declared in options.items():
        value = given.get(option, declared.default)
        if option == ACTIVATION:
            values[option] = _check_activation(name, value, activations)
        elif value is REQUIRED:
            raise SpecError(f"{name} needs option {option!r}", hint=f"write {name}({option}=…)")
        else:
            values[option] = _check_value(name, option, value, declared.type)
    return values | {option: value for option, value in given.items() if option not in options}


def type_text(kind: Any) -> str:
    """A type as it is written in the index and in messages: "int | None", "'max' | 'avg'", "tuple[int, ...]"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin in (typing.Union, UnionType):
        return " | ".join(map(type_text, arguments))
    if kind is type(None):
        return "None"
    return str(kind) if arguments else getattr(kind, "__name__", str(kind))


def parse_type(text: str) -> Any:
    """The type that `type_text` wrote, of those that networks of the zoo have.

    Raises:
        ValueError, KeyError: another type.
    """
    parts = text.split(" | ")
    if parts[0] not in _TYPES:
        return Literal[tuple(map(ast.literal_eval, parts))]
    kind = _TYPES[parts[0]]
    for part in parts[1:]:
        kind = kind | _TYPES[part]
    return kind


_TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "None": None,
    "tuple[int, ...]": tuple[int, ...],
}


def _check_activation(name: str, value: Any, activations: Collection[str]) -> str:
    if value is REQUIRED:
        return "relu"
    if not isinstance(value, str):
        raise SpecError(
            f"activation of {name} is {quoted(value)}",
            expected="a name such as 'relu'",
            hint="as the default of an argument of your own network, RELU of convarium.models.zoo.layers works, too",
        )
    if value not in activations:
        raise unknown("activation", value, activations)
    return value


def _check_value(name: str, option: str, value: Any, kind: Any) -> Any:
    if not _is_instance(value, kind):
        raise SpecError(f"option {option!r} of {name} is {quoted(value)}", expected=_type_name(kind))
    if kind is float:
        return float(value)
    numbers = [number for number in (value if isinstance(value, tuple) else (value,)) if type(number) is int]
    if ":" not in name and any(number < 1 for number in numbers):  # depths, widths and divisors all count something
        raise SpecError(f"option {option!r} of {name} is {quoted(value)}", expected="a whole number of 1 or more")
    if ":" not in name and option in _LAYERS and sum(numbers) > _MOST_LAYERS:
        raise SpecError(f"option {option!r} of {name} is {quoted(value)}", expected=f"at most {_MOST_LAYERS:,} layers")
    return value


_LAYERS = ("depth", "blocks", "layers")
"""The options of networks of the zoo that count layers, each of which takes time and memory to build."""

_MOST_LAYERS = 2000
"""More than the deepest networks of the papers have, 1,202 layers in He et al. 2016."""


def _is_instance(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return any(value == a and type(value) is type(a) for a in arguments)
    if origin in (typing.Union, UnionType):
        return any(_is_instance(value, a) for a in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return isinstance(value, tuple) and all(_is_instance(v, arguments[0]) for v in value)
        return isinstance(value, tuple) and len(value) == len(arguments) and all(map(_is_instance, value, arguments))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    return "None" if kind is type(None) else getattr(kind, "__name__", str(kind)).replace("typing.", "")
