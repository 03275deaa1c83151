"""The page that is alive: one HTML file in which a study's own networks answer, without a server.

`read_program` reads a network as a list of operations; `write_playground` writes those of a comparison into a page
whose interpreter, in plain JavaScript, carries them out and keeps every value on the way.
"""

from typing import TYPE_CHECKING

from convarium.lazy_names import lazy_names

if TYPE_CHECKING:
    from convarium.inference.playground.page import Playground, write_playground
    from convarium.inference.playground.program import Program, read_program

__all__ = ["Playground", "Program", "read_program", "write_playground"]

__getattr__ = lazy_names(
    __name__,
    {
        "page": ("Playground", "write_playground"),
        "program": ("Program", "read_program"),
    },
)
