"""Whether a module's forward pass changes attributes, so that a copy of the module would lead a life of its own."""

import dis
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType

from torch import nn

_DYNAMIC = {"setattr", "delattr", "vars", "__dict__", "__setattr__", "__delattr__"}
"""Names by which Python code changes attributes that it does not name."""
_TRUSTED = ("torch.", "convarium.models.")
"""Packages whose layers do not change their Python attributes in `forward`."""


def stores_attributes(module: nn.Module) -> bool:
    """True if the forward pass of a module of an unknown class may set a Python attribute, such as a counter or a flag.

    The bytecode of `forward` is read, and that of the methods, properties and functions that it names. Parameters and
    buffers do not count: a copy shares them. Neither do changes inside lists and other objects, which it shares too.
    """
    if _is_trusted(type(module)):
        return False
    classes = {cls for child in module.modules() for cls in type(child).__mro__ if not _is_trusted(cls)}
    own = [cls for cls in type(module).__mro__ if cls in classes]
    shared = module._parameters.keys() | module._buffers.keys()
    entries = ("forward", "__call__")
    waiting: list[object] = [vars(cls)[name] for cls in own for name in entries if name in vars(cls)]
    if not all(isinstance(_unwrapped(entry), FunctionType) for entry in waiting):  # its code cannot be read
        return True
    seen: set[int] = set()
    while waiting:
        function = _unwrapped(waiting.pop())
        if not isinstance(function, FunctionType) or id(function) in seen or _is_trusted(function):
            continue
        seen.add(id(function))
        names: set[str] = set()
        for code in _codes(function.__code__):
            names.update(code.co_names)
            stored = {i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_ATTR", "DELETE_ATTR")}
            if stored - shared:
                return True
        if names & _DYNAMIC:
            return True
        waiting += [cell.cell_contents for cell in function.__closure__ or () if _is_function(cell)]
        waiting += [function.__globals__.get(name) for name in names]
        waiting += [vars(cls)[name] for cls in classes for name in names - {*entries} if name in vars(cls)]
    return False


def _is_trusted(value: object) -> bool:
    return f"{getattr(value, '__module__', None)}.".startswith(_TRUSTED) or value is object


def _unwrapped(value: object) -> object:
    """The function of a method or a property."""
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    return value.fget if isinstance(value, property) else value


def _is_function(cell: CellType) -> bool:
    try:
        return isinstance(cell.cell_contents, FunctionType)
    except ValueError:  # an empty cell
        return False


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code and that of the functions written inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
