"""The page that is alive: one HTML file in which a study's own networks answer, without a server.

`read_program` reads a network as a list of operations; `write_playground` writes those of a comparison into a page
whose interpreter, in plain JavaScript, carries them out and keeps every value on the way.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convarium.inference.playground.page import Playground, write_playground
    from convarium.inference.playground.program import Program, read_program

__all__ = ["Playground", "Program", "read_program", "write_playground"]


def __getattr__(name: str) -> Any:
    """Imports a public name's module when the name is first used, since PyTorch takes seconds."""
    if name in __all__:
        from convarium.inference.playground import page, program

        return getattr(program if name in ("Program", "read_program") else page, name)
    raise AttributeError(f"module 'convarium.inference.playground' has no attribute {name!r}")
