"""A call in a traced graph, and what it is read as."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor


class Value(NamedTuple):
    """A value of the program: its number, and its shape without the batch."""

    number: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """A call in the graph.

    Attributes:
        arguments: by name: values of the program, tensors that do not depend on the image, numbers and lists.
        shape: of the result, without the batch.
    """

    arguments: Mapping[str, Any]
    shape: tuple[int, ...]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


class Found(NamedTuple):
    """How a call is read; one without a name is the value that it is given. An input may be a constant tensor."""

    name: str | None
    inputs: Sequence[Value | Tensor]
    settings: Mapping[str, Any] = {}
    tensors: Mapping[str, Tensor | None] = {}


Read = Callable[[Call], Found | None]
"""None: the interpreter has no operation that computes this."""


def image_of(call: Call, name: str = "input") -> Value | None:
    """The argument, if it is a value of call.shape (c, h, w)."""
    value = call[name]
    return value if isinstance(value, Value) and len(value.shape) == 3 else None
