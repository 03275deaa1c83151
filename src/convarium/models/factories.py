"""A factory's signature as the table of its options, and factories that users bring: `package.module:factory`."""

import hashlib
import importlib
import inspect
import sys
import traceback
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Literal

import torch
from torch import nn

from convarium.errors import ConvariumError, ImageSizeError, SpecError
from convarium.models.zoo import MODELS, Factory
from convarium.models.zoo.layers import ACTIVATIONS, Activation
from convarium.spec import unknown

_FORM = "factory(spec, activation, option=…) -> nn.Module"
_NOT_THE_USERS = (str(Path(__file__).parents[1]), str(Path(torch.__file__).parent), "<frozen")


def load_factory(name: str) -> Factory:
    """Imports `package.module:factory`, from the working folder too.

    Raises:
        SpecError: the module cannot be found or fails, or has no such function.
    """
    module_name, _, attribute = name.partition(":")
    factory = getattr(_load_module(name, module_name), attribute, None)
    if factory is None:
        module = sys.modules[module_name]
        functions = [n for n, value in vars(module).items() if inspect.isfunction(value) and not n.startswith("_")]
        if not functions:
            raise SpecError(f"{module_name} has no {attribute!r}", expected=_FORM)
        raise unknown(f"function of {module_name}", attribute, functions)
    if isinstance(factory, nn.Module) or not callable(factory):
        raise SpecError(f"{name} is not a function", expected=_FORM, received=type(factory).__name__)
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError as error:
        raise SpecError(f"{name} does not show its parameters", expected=_FORM) from error
    if not parameters:
        raise SpecError(f"{name} takes no arguments", expected=_FORM)
    return typing.cast("Factory", factory)


def _load_module(name: str, module_name: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:  # as `python -m` does, so that a file in the working folder is found
        sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            hint = "run from the folder that holds it, or install it"
        else:
            hint = f"{module_name} needs it: install it"
        raise SpecError(f"cannot import {missing!r} for model {name}", hint=hint) from error
    except (Exception, SystemExit) as error:  # whatever stands in the user's file
        raise blame(name, error) from error


def blame(name: str, error: Exception | SystemExit) -> ConvariumError:
    """The error for a user's factory or network that failed: where, and with what.

    PyTorch says by a RuntimeError that shapes do not fit, which another size may mend.
    """
    if isinstance(error, SyntaxError):
        file, line = error.filename or "", error.lineno
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not frame.filename.startswith(_NOT_THE_USERS)]
        file, line = (own or frames)[-1].filename, (own or frames)[-1].lineno
    of_shapes = isinstance(error, RuntimeError) and not isinstance(error, RecursionError)
    kind = ImageSizeError if of_shapes else SpecError
    said = (str(error).splitlines() or [""])[0]
    return kind(f"{name} fails at {Path(file).name}:{line}: {type(error).__name__}: {said}")


def source_digest(name: str, factory: Factory) -> str | None:
    """SHA-256, hexadecimal, of the file that defines the factory; None where there is none."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(factory))
    except TypeError:  # not a function but, say, a functools.partial: the module that names it
        file = sys.modules[name.partition(":")[0]].__file__
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None


@cache
def option_types(factory: Factory) -> dict[str, tuple[Any, Any]]:
    """The options of a factory: name → (type, default). The first parameter, the ImageSpec, is not among them."""
    try:
        hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except (NameError, TypeError):  # annotations that a user imports for the type checker alone
        hints = {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = list(inspect.signature(factory).parameters.values())[1:]
    return {p.name: (hints.get(p.name, Any), p.default) for p in parameters if p.kind in named}


def checked_options(name: str, factory: Factory, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of the factory with its value: the given one, or its default.

    Raises:
        SpecError: an option that the factory does not have, a value that it does not take, or none where it needs one.
    """
    types = option_types(factory)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(factory).parameters.values())
    for option in given:
        if option not in types and not open_ended:
            raise unknown(f"option of {name}", option, types)
    options: dict[str, Any] = {}
    for option, (kind, default) in types.items():
        value = given.get(option, default)
        if option == "activation":
            options[option] = _activation(name, value)
        elif value is inspect.Parameter.empty:
            raise SpecError(f"{name} needs option {option!r}", hint=f"write {name}({option}=…)")
        else:
            options[option] = _checked(name, option, value, kind)
    return options | {option: value for option, value in given.items() if option not in types}


def _activation(name: str, value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "relu"
    if isinstance(value, Activation):
        return value.name
    if not isinstance(value, str):
        raise SpecError(
            f"activation of {name} is {value!r}", expected="a name, or as a default one of convarium.models.zoo.layers"
        )
    if value not in ACTIVATIONS:
        raise unknown("activation", value, ACTIVATIONS)
    return value


def _checked(name: str, option: str, value: Any, kind: Any) -> Any:
    if not _is_a(value, kind):
        raise SpecError(f"option {option!r} of {name} is {value!r}", expected=_type_name(kind))
    if kind is float:
        return float(value)
    if name in MODELS and type(value) is int and value < 1:  # depths, widths and divisors all count something
        raise SpecError(f"option {option!r} of {name} is {value!r}", expected="a whole number of 1 or more")
    return value


def _is_a(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return any(value == a and type(value) is type(a) for a in arguments)
    if origin in (typing.Union, UnionType):
        return any(_is_a(value, a) for a in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return isinstance(value, tuple) and all(_is_a(v, arguments[0]) for v in value)
        return isinstance(value, tuple) and len(value) == len(arguments) and all(map(_is_a, value, arguments))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    return "None" if kind is type(None) else getattr(kind, "__name__", str(kind)).replace("typing.", "")
